"""The lexical rule, condition by condition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.answer.support import claim, subjects
from aag_ray.answer.words import content_words, say_the_same, words


def test_facts_are_what_the_question_did_not_say():
    said = claim("The capital of Peru is Lima, a large city.", "Which is the capital of Peru?")
    assert (said.strict, said.loose) == ({"lima"}, {"large", "city"})


def test_an_answer_out_of_the_question_is_all_fact():
    assert claim("Peru", "Which is larger, Peru or Chile?").facts == {"peru"}


def test_a_share_of_ordinary_words_is_enough_but_of_names_is_not():
    said = claim("Lima was once built near some river", "What of it?")
    assert said.held_by({"lima", "once", "built", "near", "some"}, 0.8)
    assert not said.held_by({"once", "built", "near", "some", "river"}, 0.8)
    assert not said.held_by({"lima", "once"}, 0.8)


def test_a_claim_without_facts_is_held_by_nothing():
    assert not claim("It is the.", "").held_by({"it", "is", "the"}, 0.0)


def test_negations_are_facts():
    assert "not" in claim("It is not green.", "Is it green?").facts


def test_subjects_are_names_and_numbers_after_the_first_word():
    assert subjects("Which city in Peru had 2 mayors in 1990?") == {"peru", "2", "1990"}
    assert subjects("which city?") == set()


@given(st.text(), st.text())
def test_any_text_has_a_claim(sentence: str, question: str):
    said = claim(sentence, question)
    assert said.facts == said.strict | said.loose
    assert not said.strict & said.loose
    assert said.missing(said.facts) == frozenset()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It's 1,250.50 km (10:30).", ["it", "s", "1250.50", "km", "10:30"]),
        ("Ünïcode ＡＢＣ", ["ünïcode", "abc"]),  # noqa: RUF001
        ("首都は東京", ["首", "都", "は", "東", "京"]),
        ("", []),
    ],
)
def test_words(text: str, found: list[str]):
    assert words(text) == found


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Lima", "It is Lima.", True),
        ("Lima is the capital of Peru.", "lima", True),
        ("Lima", "Cusco", False),
        ("New York", "York", True),
        ("New York", "the York of New England", False),
        ("1990", "19901", False),
        ("", "Lima", False),
        ("the", "the", False),
        ("東京", "首都は東京です", True),
    ],
)
def test_two_answers_say_the_same(one: str, other: str, same: bool):
    assert say_the_same(one, other) is same
    assert say_the_same(other, one) is same


@given(st.text())
def test_an_answer_agrees_with_itself_if_it_says_anything(text: str):
    assert say_the_same(text, text) is bool(content_words(text))
