"""Weighted reciprocal-rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009), with its arithmetic kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aag_ray.web.rank.ranked import Signal


@dataclass(frozen=True, slots=True)
class Vote:
    """One ranker's values, higher is better, by the number of the item; an item it knows nothing of has none.

    `strengths` scales single votes (0..1, 1 where nothing is said).
    """

    name: str
    weight: float
    values: Mapping[int, float]
    strengths: Mapping[int, float] | None = None


def places(values: Mapping[int, float]) -> dict[int, int]:
    """Rank of each item from 1, the highest value first; equal values share the better rank."""
    ordered = sorted(values, key=lambda item: -values[item])
    ranks: dict[int, int] = {}
    for place, item in enumerate(ordered, 1):
        before = ordered[place - 2] if place > 1 else None
        ranks[item] = ranks[before] if before is not None and values[before] == values[item] else place
    return ranks


def fuse(items: int, votes: Sequence[Vote], k: int) -> list[tuple[Signal, ...]]:
    """For each of `items` items the signals of all votes that know it; their contributions' sum is its score."""
    signals: list[list[Signal]] = [[] for _ in range(items)]
    for vote in votes:
        if vote.weight <= 0:
            continue
        for item, rank in places(vote.values).items():
            strength = 1.0 if vote.strengths is None else vote.strengths.get(item, 1.0)
            contribution = vote.weight * strength / (k + rank)
            signals[item].append(Signal(vote.name, rank, vote.values[item], vote.weight, contribution))
    return [tuple(each) for each in signals]


def total(signals: Sequence[Signal]) -> float:
    return sum(signal.contribution for signal in signals)
