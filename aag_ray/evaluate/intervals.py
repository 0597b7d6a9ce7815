"""Confidence intervals of a mean score by the percentile bootstrap (Efron 1979), in percent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
_DRAWS_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over `n` questions and its 95 % interval, in percent (or in percentage points, for a difference)."""

    value: float
    low: float
    high: float
    n: int

    @property
    def above_zero(self) -> bool:
        return self.low > 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Interval:
        return cls(**{name: values[name] for name in cls.__slots__})


def bootstrap(values: Sequence[float] | NDArray[np.floating], samples: int = 2000, seed: int = 0) -> Interval:
    """The mean of per-question scores (0..1) and its interval, both times 100.

    Equal seeds draw equal questions, so scores of several systems on the same questions are resampled alike. One question
    gives an interval of no width: nothing can be resampled. Raises ValueError for no questions, NaN or no samples.
    """
    scores = _checked(values, samples)
    means = _resampled_means(scores, samples, seed)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(100 * float(scores.mean()), 100 * float(low), 100 * float(high), len(scores))


def paired_difference(
    a: Sequence[float] | NDArray[np.floating], b: Sequence[float] | NDArray[np.floating], samples: int = 2000, seed: int = 0
) -> Interval:
    """How much the first system scores above the second on the same questions, in percentage points.

    Questions are resampled with both scores. Raises ValueError if the systems did not answer equally many questions.
    """
    if len(a) != len(b):
        raise ValueError(f"a paired difference needs the same questions on both sides, got {len(a)} and {len(b)} scores")
    return bootstrap(_checked(a, samples) - _checked(b, samples), samples, seed)


def _checked(values: Sequence[float] | NDArray[np.floating], samples: int) -> NDArray[np.float64]:
    scores = np.asarray(values, dtype=np.float64)
    if samples < 1:
        raise ValueError(f"samples={samples}: the bootstrap needs at least 1 sample")
    if scores.ndim != 1 or scores.size == 0:
        raise ValueError(f"an interval needs one score for each of at least one question, got shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(f"score {int(np.flatnonzero(~np.isfinite(scores))[0])} is not a finite number")
    return scores


def _resampled_means(scores: NDArray[np.float64], samples: int, seed: int) -> NDArray[np.float64]:
    """Means of `samples` draws with replacement; a few draws at a time, so that large test sets fit into memory."""
    draw, size = np.random.default_rng(seed), len(scores)
    rows = max(1, _DRAWS_AT_ONCE // size)
    counts = (min(rows, samples - done) for done in range(0, samples, rows))
    return np.concatenate([scores[draw.integers(size, size=(count, size))].mean(axis=1) for count in counts])
