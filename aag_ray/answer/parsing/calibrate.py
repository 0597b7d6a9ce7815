"""From the model's own odds to a probability that can be believed, and to the threshold that costs least. Fitted on dev."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aag_ray.config import CostsSection

_STEPS = 100
_RIDGE = 1e-3
_SMALL = 1e-9


@dataclass(frozen=True, slots=True)
class Platt:
    """probability = sigmoid(scale * log odds + shift)."""

    scale: float = 1.0
    shift: float = 0.0

    def __call__(self, log_odds: float) -> float:
        return float(_sigmoid(np.asarray(self.scale * log_odds + self.shift)))


def fit_platt(log_odds: Sequence[float], labels: Sequence[bool]) -> Platt:
    """Logistic regression with softened targets (Platt 1999), by Newton's method. Raises ValueError without examples.

    The targets keep the fit finite where log odds separate the labels, or where there is one kind of label only.
    """
    if len(log_odds) != len(labels) or not labels:
        raise ValueError(f"calibration needs a label for each of at least one example, got {len(log_odds)} and {len(labels)}")
    right = np.asarray(labels, dtype=bool)
    ones, zeros = int(right.sum()), int((~right).sum())
    target = np.where(right, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    inputs = np.stack([np.asarray(log_odds, dtype=np.float64), np.ones(len(right))], axis=1)
    start = weights = np.array([1.0, 0.0])

    def loss(at: NDArray[Any]) -> float:
        logits = inputs @ at
        return float((np.logaddexp(0.0, logits) - target * logits).sum() + _RIDGE / 2 * ((at - start) ** 2).sum())

    for _ in range(_STEPS):
        chance = _sigmoid(inputs @ weights)
        gradient = inputs.T @ (chance - target) + _RIDGE * (weights - start)
        curvature = (inputs * (chance * (1 - chance))[:, None]).T @ inputs + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        # A full step overshoots where the curve is flat, so it is halved until it gains something (Lin, Lin and Weng 2007).
        while np.abs(step).max() > _SMALL and loss(weights - step) > loss(weights):
            step = step / 2
        weights = weights - step
        if np.abs(step).max() <= _SMALL:
            break
    return Platt(float(weights[0]), float(weights[1]))


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
