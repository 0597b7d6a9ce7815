"""Needles are made up, complete, of every kind and language, and the same for the same seed."""

from __future__ import annotations

from itertools import pairwise

import pytest
import regex

from aag_ray.extract.gold import holds_answer
from aag_ray.extract.needles import LANGUAGES, NeedleKind, make_needles

NEEDLES = make_needles(240, seed=3)


def of(kind: NeedleKind):
    return [needle for needle in NEEDLES if needle.kind is kind]


def test_kinds_and_languages_take_turns():
    assert [(needle.kind, needle.language) for needle in NEEDLES[:8]] == [(k, lang) for k in NeedleKind for lang in LANGUAGES]


def test_a_seed_gives_the_same_needles_and_another_seed_others():
    assert make_needles(240, seed=3) == NEEDLES
    assert make_needles(50, seed=3) == NEEDLES[:50]
    others = {needle.question for needle in make_needles(240, seed=4)}
    assert len(others & {needle.question for needle in NEEDLES}) <= 2


def test_no_sentence_comes_twice_and_decoys_are_not_needles():
    sentences = [sentence for needle in NEEDLES for sentence in (*needle.sentences, *needle.decoys)]
    assert len(set(sentences)) == len(sentences)


def test_every_answer_stands_in_the_needle_and_not_in_question_or_decoys():
    for needle in NEEDLES:
        for answer in needle.answers:
            assert any(holds_answer(sentence, [answer]) for sentence in needle.sentences), needle
            assert not holds_answer(needle.question, [answer])
            assert not any(holds_answer(decoy, [answer]) for decoy in needle.decoys)


def test_languages_keep_to_their_script():
    for needle in NEEDLES:
        text = "".join((needle.question, *needle.sentences, *needle.decoys))
        assert bool(regex.search(r"\p{Han}", text)) == (needle.language == "zh")
        assert bool(regex.search("[A-Za-z]", text)) == (needle.language == "en")
        assert "{" not in text


def test_a_single_needle_has_one_sentence_with_one_answer():
    assert all(len(needle.sentences) == len(needle.answers) == 1 for needle in of(NeedleKind.SINGLE))


def test_a_list_tells_several_things_of_one_subject():
    for needle in of(NeedleKind.LIST):
        assert 3 <= len(needle.sentences) == len(needle.answers) == len(set(needle.answers)) <= 5


def test_topics_are_asked_together_and_answered_each():
    for needle in of(NeedleKind.MULTI_TOPIC):
        marks = needle.question.count("?") + needle.question.count("？")  # noqa: RUF001
        assert 2 <= marks == len(needle.sentences) == len(needle.answers)


def test_hops_form_a_chain_of_which_only_the_end_is_the_answer():
    lengths = set()
    for needle in of(NeedleKind.MULTI_HOP):
        lengths.add(len(needle.sentences))
        assert len(needle.answers) == 1
        assert holds_answer(needle.sentences[-1], needle.answers)
        assert not any(holds_answer(sentence, needle.answers) for sentence in needle.sentences[:-1])
        for one, two in pairwise(needle.sentences):  # neighbours share the name of the hop
            common = set(regex.findall(r"\w+", one.lower())) & set(regex.findall(r"\w+", two.lower()))
            assert needle.language == "zh" or common - {"the", "of", "a", "by", "was", "in", "to"}, needle
    assert lengths == {2, 3}


def test_kinds_and_languages_can_be_chosen():
    made = make_needles(6, 0, kinds=[NeedleKind.LIST], languages=["zh"])
    assert {(needle.kind, needle.language) for needle in made} == {(NeedleKind.LIST, "zh")}
    assert make_needles(0, 0) == []
    with pytest.raises(ValueError, match="at least one kind"):
        make_needles(1, 0, kinds=[])
