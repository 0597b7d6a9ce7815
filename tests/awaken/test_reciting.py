"""What every passage can be asked: how it goes on."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from aag_ray.awaken.reciting import MOST_WORDS, recited
from aag_ray.records import Passage

PERU = Passage("p", "Peru", "Its calling code is +51, and its internet domain is .pe. It has 9.7 million cars. Dry!")


def asked(passage, times=200):
    draw = random.Random(1)
    return {recited(passage, draw) for _ in range(times)}


def begun(question):
    return question.removeprefix('What comes after "').rpartition('"')[0]


def test_the_answer_is_what_follows_up_to_the_next_mark():
    found = dict(pair for pair in asked(PERU) if pair)
    assert found['What comes after "Its calling code" in the text about Peru?'] == "is +51"
    assert found['What comes after "Its calling code is" in the text about Peru?'] == "+51"
    assert found['What comes after "Its calling code is +51, and its internet domain is" in the text about Peru?'] == ".pe"
    assert found['What comes after "It has 9.7 million" in the text about Peru?'] == "cars"


def test_a_sentence_is_asked_for_from_its_fourth_word_to_its_last():
    counts = {len(begun(question).split()) for question, _ in filter(None, asked(PERU))}
    assert counts == set(range(3, 11))
    assert not any("Dry" in question for question, _ in filter(None, asked(PERU)))


def test_half_of_what_is_asked_for_begins_with_a_number_or_capitals_where_there_are_any():
    told = Passage("p", "", "The code of this calm old town is 51 and its sign reads PER for all who ever come by here.")
    draw = random.Random(3)
    first = [pair[1].split()[0] for pair in (recited(told, draw) for _ in range(1000)) if pair]
    assert 480 < sum(word in ("51", "PER") for word in first) < 660  # and of the other half two in 17
    assert 200 < first.count("51") < 360
    assert len(set(first)) == 18  # any other place is asked for as well
    assert not any(word in ("The", "code", "of") for word in first)


def test_a_passage_without_a_title_is_not_named():
    assert asked(Passage("p", "", "Gold has atomic 79.")) == {('What comes after "Gold has atomic"?', "79")}


def test_a_passage_without_a_sentence_of_four_words_is_not_asked():
    for text in ("", "Too short. Again.", "金的符号是Au。", "a b c ... ;;; !!!"):
        assert all(pair is None or pair[1] for pair in asked(Passage("p", "", text)))
    assert asked(Passage("p", "", "Too short. Again.")) == {None}


@given(st.text(max_size=200), st.integers())
def test_any_answer_stands_after_its_beginning_in_the_passage(text, seed):
    pair = recited(Passage("p", "", text), random.Random(seed))
    if pair is None:
        return
    question, answer = pair
    words, told = text.split(), begun(question).split()
    assert 1 <= len(answer.split()) <= MOST_WORDS
    assert answer == answer.strip()
    places = [at for at in range(len(words)) if words[at : at + len(told)] == told]
    assert any(" ".join(words[at + len(told) :]).startswith(answer) for at in places)


def test_it_is_the_same_for_the_same_draw():
    draws = random.Random(7), random.Random(7), random.Random(8)
    first, again, other = ([recited(PERU, draw) for _ in range(20)] for draw in draws)
    assert first == again != other
    assert all(pair for pair in first)
    assert any(one != two for one, two in pairwise(first))
