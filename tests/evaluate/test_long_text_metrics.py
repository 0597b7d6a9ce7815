"""LongBench's scores by hand and by published examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.evaluate.long_text_metrics import accuracy, character_f1, edit_similarity, numbers

CLASSES = ["Date", "Date of birth", "Place", "Person"]


@pytest.mark.parametrize(
    ("prediction", "right", "score"),
    [
        ("Place", "Place", 1.0),
        ("It is a Place.", "Place", 1.0),
        ("Place or Person", "Place", 1 / 2),
        ("place", "Place", 0.0),
        ("Person", "Place", 0.0),
        ("", "Place", 0.0),
        # "Date" stands in "Date of birth" whoever is right: it is no second class there, and is one where it is right.
        ("Date of birth", "Date of birth", 1.0),
        ("Date of birth, Place", "Date of birth", 1 / 2),
        ("Date of birth", "Date", 1 / 2),
        ("Date", "Date of birth", 0.0),
    ],
)
def test_a_named_class_counts_as_much_less_as_more_are_named(prediction: str, right: str, score: float):
    assert accuracy(prediction, [right], CLASSES) == score


@given(st.lists(st.text("ab ", min_size=1), min_size=1, unique=True), st.data())
def test_the_name_alone_is_always_right(classes: list[str], data: st.DataObject):
    right = data.draw(st.sampled_from(classes))
    assert accuracy(right, [right], classes) == 1.0


def test_an_answer_that_is_no_class_is_never_found():
    assert accuracy("Animal", ["Animal"], CLASSES) == 0.0
    assert accuracy("Animal, Person", ["Animal", "Person"], CLASSES) == 1.0


@pytest.mark.parametrize(
    ("prediction", "answer", "score"),
    [
        # The examples of Python's documentation of difflib; the order of the two texts may matter.
        ("abcd", "bcde", 0.75),
        ("tide", "diet", 0.25),
        ("diet", "tide", 0.5),
        # That of fuzzywuzzy's: 97 %.
        ("this is a test", "this is a test!", 28 / 29),
        ("    return x", "return x", 16 / 20),
        ("", "x", 0.0),
    ],
)
def test_code_is_as_similar_as_was_published(prediction: str, answer: str, score: float):
    assert edit_similarity(prediction, [answer]) == pytest.approx(score)


@pytest.mark.parametrize(
    "prediction",
    ["x = 1", "\n\nx = 1\ny = 2", "```python\nx = 1\n```", "# one\n// two\nx = 1", "y = 0  # no\nx = 1"],
)
def test_the_first_line_without_fence_or_comment_is_the_code(prediction: str):
    assert edit_similarity(prediction, ["x = 2", "x = 1"]) == 1.0


def test_only_comments_are_no_code():
    assert edit_similarity("# x = 1", ["x = 1"]) == 0.0


@pytest.mark.parametrize(
    ("prediction", "answer", "score"),
    [
        ("7", "7", 1.0),
        ("There are 7 paragraphs, 7 of 12.", "7", 2 / 3),
        ("17", "7", 0.0),
        ("seven", "7", 0.0),
        ("Paragraph 15", "Paragraph 15", 1.0),
        ("15", "Paragraph 15", 1.0),
        ("Paragraph 1, Paragraph 15", "Paragraph 15", 1 / 2),
        ("答案是段落3。", "段落3", 1.0),
    ],
)
def test_of_all_numbers_the_right_ones_count(prediction: str, answer: str, score: float):
    assert numbers(prediction, [answer]) == pytest.approx(score)


def test_an_answer_without_a_number_is_refused():
    with pytest.raises(ValueError, match="answer 'seven' holds no number"):
        numbers("7", ["seven"])


@pytest.mark.parametrize(
    ("prediction", "answer", "score"),
    [
        ("东京", "东京", 1.0),
        ("东京。", "「东京」", 1.0),
        ("京东", "东京", 1.0),
        ("首都是东京", "东京都", 2 * 3 / 8),
        ("GPT模型", "gpt的模型", 2 * 3 / 7),
        ("大阪", "东京", 0.0),
        ("", "东京", 0.0),
        ("。", "。", 0.0),
    ],
)
def test_chinese_answers_are_bags_of_characters(prediction: str, answer: str, score: float):
    assert character_f1(prediction, [answer]) == pytest.approx(score)


def test_the_best_accepted_answer_counts():
    assert character_f1("东京", ["大阪", "东京"]) == numbers("7", ["8", "7"]) == 1.0
