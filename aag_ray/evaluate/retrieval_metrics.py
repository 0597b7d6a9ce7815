"""How good an order is: nDCG, recall and reciprocal rank of retrieved items against what is known to be relevant.

nDCG is that of Järvelin and Kekäläinen (2002) with linear gains and log2(rank + 1), as trec_eval and scikit-learn have
it. Items are any hashable names, best first; none may come twice. All scores are 0..1.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)


def dcg(gains: Sequence[float]) -> float:
    """Discounted cumulative gain of gains in the order of their ranks."""
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def ndcg(ranked: Sequence[Item], gains: Mapping[Item, float], k: int | None = None) -> float:
    """DCG of the first `k` items (None: of all) over that of the best possible order of everything in `gains`.

    An item without a gain has 0. Raises ValueError if no gain is above 0, or one is below.
    """
    if not any(gain > 0 for gain in gains.values()) or any(gain < 0 for gain in gains.values()):
        raise ValueError(f"gains must be 0 or more, and one of them above 0; got {list(gains.values())[:10]}")
    _check(ranked, k)
    ideal = sorted(gains.values(), reverse=True)[:k]
    return dcg([gains.get(item, 0.0) for item in ranked[:k]]) / dcg(ideal)


def recall(ranked: Sequence[Hashable], relevant: Collection[Hashable], k: int | None = None) -> float:
    """The share of the relevant items among the first `k` (None: among all). Raises ValueError if nothing is relevant."""
    _check(ranked, k)
    return len(_some(relevant) & set(ranked[:k])) / len(_some(relevant))


def reciprocal_rank(ranked: Sequence[Hashable], relevant: Collection[Hashable], k: int | None = None) -> float:
    """1 / rank of the first relevant item among the first `k`; 0 if there is none. Raises ValueError if nothing is relevant."""
    _check(ranked, k)
    wanted = _some(relevant)
    return next((1 / rank for rank, item in enumerate(ranked[:k], 1) if item in wanted), 0.0)


def mean_reciprocal_rank(
    rankings: Sequence[Sequence[Hashable]], relevant: Sequence[Collection[Hashable]], k: int | None = None
) -> float:
    """The mean of `reciprocal_rank` over questions (MRR). Raises ValueError without questions, or if lengths differ."""
    if not rankings or len(rankings) != len(relevant):
        raise ValueError(f"{len(rankings)} rankings for {len(relevant)} questions; at least one, and as many, are needed")
    return sum(reciprocal_rank(ranked, wanted, k) for ranked, wanted in zip(rankings, relevant, strict=True)) / len(rankings)


def _check(ranked: Sequence[Hashable], k: int | None) -> None:
    if k is not None and k < 1:
        raise ValueError(f"k={k} must be at least 1")
    if len(set(ranked)) != len(ranked):
        raise ValueError("an item is ranked twice")


def _some(relevant: Collection[Hashable]) -> set[Hashable]:
    if not relevant:
        raise ValueError("a question without a relevant item cannot be scored")
    return set(relevant)
