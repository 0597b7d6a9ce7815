"""Token accuracy and perplexity of gold answers, as the result table shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aag_ray.evaluate.intervals import Interval, bootstrap

if TYPE_CHECKING:
    from aag_ray.llm.gold_answers import GoldAnswer


def token_scores(answers: Sequence[GoldAnswer], samples: int, seed: int) -> dict[str, dict[str, Any]]:
    """`token_accuracy` in percent and `perplexity`, each with its bootstrap interval over questions.

    Of a question with several accepted answers, the one that is trained on counts: its `target`, or else the first. Every
    question counts once, however long its answer is: the accuracy is a mean over questions of the share of the answer's
    tokens that are the model's likeliest, the perplexity e to the mean over questions of their mean cross-entropy. It compares
    systems of one tokenizer only. Raises ValueError for no answers and for a cross-entropy that is no number.
    """
    accuracy = bootstrap([each.accuracy for each in answers], samples, seed)
    entropy = bootstrap([each.cross_entropy / 100 for each in answers], samples, seed)  # it gives percent
    # e^x grows with x, so that the interval of the mean becomes the interval of the perplexity
    perplexity = Interval(math.exp(entropy.value), math.exp(entropy.low), math.exp(entropy.high), entropy.n)
    return {"token_accuracy": accuracy.to_dict(), "perplexity": perplexity.to_dict()}
