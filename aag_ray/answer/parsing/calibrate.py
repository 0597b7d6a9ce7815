"""From what a model makes of a question to a probability that can be believed, and to the threshold that costs least.

All of it is fitted on dev.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aag_ray.config import CostsSection

_STEPS = 100
_RIDGE = 1e-3
_SMALL = 1e-9
SILENT = 1e-4


@dataclass(frozen=True, slots=True)
class Platt:
    """probability = sigmoid(scale * log odds + shift)."""

    scale: float = 1.0
    shift: float = 0.0

    def __call__(self, log_odds: float) -> float:
        return float(_sigmoid(np.asarray(self.scale * log_odds + self.shift)))


@dataclass(frozen=True, slots=True)
class Weighing:
    """The probability that the web is needed, once memory has answered: from the parser's log odds, and from the geometric mean
    of the probabilities of memory's own tokens, as log odds too. From `threshold` on the web is asked."""

    scale: float
    likelihood: float
    shift: float
    threshold: float = 0.5

    def __call__(self, log_odds: float, likelihood: float) -> float:
        own = likelihood_odds(likelihood)
        return float(_sigmoid(np.asarray(self.scale * log_odds + self.likelihood * own + self.shift)))


def likelihood_odds(likelihood: float) -> float:
    """Log odds of a likelihood in [0, 1]; one of 0, where memory was silent, counts as a very small one."""
    kept = min(max(likelihood, SILENT), 1 - SILENT)
    return math.log(kept / (1 - kept))


def fit_platt(log_odds: Sequence[float], labels: Sequence[bool]) -> Platt:
    """What turns log odds into probabilities of the labels (Platt 1999). Raises ValueError without examples."""
    return Platt(*_fitted([[odds] for odds in log_odds], labels, [1.0, 0.0]))


def fit_weighing(log_odds: Sequence[float], likelihoods: Sequence[float], labels: Sequence[bool]) -> Weighing:
    """What turns both signals into the probability of the labels, by the same regression. Its threshold is still 0.5, that of a
    believed probability at equal costs. Raises ValueError without examples."""
    rows = [[odds, likelihood_odds(each)] for odds, each in zip(log_odds, likelihoods, strict=True)]
    return Weighing(*_fitted(rows, labels, [1.0, 0.0, 0.0]))


def _fitted(rows: Sequence[Sequence[float]], labels: Sequence[bool], begin: Sequence[float]) -> list[float]:
    """Logistic regression with softened targets (Platt 1999), by Newton's method: a weight for each column, and the shift.

    The targets keep the fit finite where the columns separate the labels, or where there is one kind of label only.
    """
    if len(rows) != len(labels) or not labels:
        raise ValueError(f"calibration needs a label for each of at least one example, got {len(rows)} and {len(labels)}")
    right = np.asarray(labels, dtype=bool)
    ones, zeros = int(right.sum()), int((~right).sum())
    target = np.where(right, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    inputs = np.column_stack([np.asarray(rows, dtype=np.float64), np.ones(len(right))])
    start = weights = np.asarray(begin, dtype=np.float64)

    def loss(at: NDArray[Any]) -> float:
        logits = inputs @ at
        return float((np.logaddexp(0.0, logits) - target * logits).sum() + _RIDGE / 2 * ((at - start) ** 2).sum())

    for _ in range(_STEPS):
        chance = _sigmoid(inputs @ weights)
        gradient = inputs.T @ (chance - target) + _RIDGE * (weights - start)
        curvature = (inputs * (chance * (1 - chance))[:, None]).T @ inputs + _RIDGE * np.eye(len(start))
        step = np.linalg.solve(curvature, gradient)
        # A full step overshoots where the curve is flat, so it is halved until it gains something (Lin, Lin and Weng 2007).
        while np.abs(step).max() > _SMALL and loss(weights - step) > loss(weights):
            step = step / 2
        weights = weights - step
        if np.abs(step).max() <= _SMALL:
            break
    return [float(weight) for weight in weights]


def cheapest_threshold(probabilities: Sequence[float], labels: Sequence[bool], costs: CostsSection) -> float:
    """The probability from which on searching costs least on these examples; midway between two of them, 0 for always.

    Among equally cheap ones that which is nearest to where a believed probability has it: needless / (needless + missed).
    """
    chance, right = np.asarray(probabilities, dtype=np.float64), np.asarray(labels, dtype=bool)
    values = np.unique(chance)
    candidates = np.concatenate([[0.0], (values[:-1] + values[1:]) / 2, [1.0 + 1e-9]])
    searched = chance[None, :] >= candidates[:, None]
    cost = costs.missed * (right & ~searched).sum(axis=1) + costs.needless * (~right & searched).sum(axis=1)
    best = candidates[cost <= cost.min() + 1e-12]
    expected = costs.needless / (costs.needless + costs.missed)
    return float(best[np.abs(best - expected).argmin()])


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * (1 + np.tanh(values / 2))
