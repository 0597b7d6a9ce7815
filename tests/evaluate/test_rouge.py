"""ROUGE-L against published values, and the longest common subsequence against its definition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.evaluate.rouge import common_length, rouge_l, words

ITEMS = st.lists(st.integers(0, 4), max_size=12)


@pytest.mark.parametrize(
    ("prediction", "answer", "score"),
    [
        # Lin (2004), section 3.1: both have the bigram "the gunman", only one keeps the order.
        ("police kill the gunman", "police killed the gunman", 3 / 4),
        ("the gunman kill police", "police killed the gunman", 2 / 4),
        # The tests of Google's rouge_score.
        ("testing one", "testing one two", 4 / 5),
        ("testing two", "testing one two", 4 / 5),
        ("", "testing one two", 0.0),
        ("/", "w1 w2 w3 w4 w5", 0.0),
    ],
)
def test_scores_are_those_that_were_published(prediction: str, answer: str, score: float):
    assert rouge_l(prediction, [answer]) == pytest.approx(score)


def test_the_best_accepted_answer_counts_over_all_lines():
    assert rouge_l("The cat\nsat.", ["a dog", "the cat sat"]) == 1.0


def test_characters_of_languages_without_spaces_are_words():
    assert rouge_l("东京是首都", ["首都是东京"]) == pytest.approx(2 / 5)
    assert rouge_l("GPT4的答案", ["gpt4的答案"]) == 1.0
    assert words("GPT4的答案: “东京”!") == ["gpt4", "的", "答", "案", "东", "京"]


def test_a_row_without_answers_cannot_be_scored():
    with pytest.raises(ValueError, match="without an accepted answer"):
        rouge_l("anything", [])


def test_the_example_of_a_common_subsequence():
    assert common_length([1, 2, 3, 4, 5], [2, 5, 3, 4]) == 3
    assert common_length([1, 2, 3], [8, 9]) == 0


@given(ITEMS, ITEMS)
def test_bits_find_the_length_that_the_recurrence_defines(a: list[int], b: list[int]):
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, one in enumerate(a, start=1):
        for j, two in enumerate(b, start=1):
            table[i][j] = table[i - 1][j - 1] + 1 if one == two else max(table[i - 1][j], table[i][j - 1])
    assert common_length(a, b) == table[-1][-1]
