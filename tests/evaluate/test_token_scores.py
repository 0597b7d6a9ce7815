"""Token accuracy and perplexity: every question counts once, with an interval over questions."""

import math

import pytest

from aag_ray.evaluate.token_scores import token_scores
from aag_ray.llm.gold_answers import GoldAnswer


def test_are_means_over_questions_whatever_the_length_of_their_answers():
    scores = token_scores([GoldAnswer(1.0, math.log(2)), GoldAnswer(0.5, math.log(8))], 200, 1)
    assert scores["token_accuracy"]["value"] == pytest.approx(75)
    assert scores["perplexity"]["value"] == pytest.approx(4)  # the geometric mean of 2 and 8
    assert scores["perplexity"]["n"] == 2


def test_the_interval_of_the_perplexity_is_that_of_the_mean_cross_entropy():
    perplexity = token_scores([GoldAnswer(0.0, math.log(2)), GoldAnswer(0.0, math.log(8))] * 4, 500, 1)["perplexity"]
    assert 2 <= perplexity["low"] < perplexity["value"] < perplexity["high"] <= 8


def test_a_model_that_foresees_everything_has_perplexity_one():
    scores = token_scores([GoldAnswer(1.0, 0.0)] * 3, 50, 1)
    assert scores["token_accuracy"] == {"value": 100.0, "low": 100.0, "high": 100.0, "n": 3}
    assert scores["perplexity"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 3}


def test_what_is_no_number_is_refused():
    with pytest.raises(ValueError, match="score 1 is not a finite number"):
        token_scores([GoldAnswer(1.0, 0.0), GoldAnswer(0.0, math.nan)], 50, 1)
