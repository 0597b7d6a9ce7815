"""Retrieval metrics against published examples, and what they must never do."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.evaluate.retrieval_metrics import dcg, mean_reciprocal_rank, ndcg, recall, reciprocal_rank

GAINS = st.dictionaries(st.integers(0, 9), st.integers(0, 3), min_size=1).filter(lambda gains: any(gains.values()))
ORDERS = st.permutations(range(10))


def test_ndcg_of_the_encyclopedias_example() -> None:
    """Wikipedia, "Discounted cumulative gain": D1..D6 judged 3, 2, 3, 0, 1, 2, and D7, D8 (3, 2) never found."""
    gains = {"D1": 3, "D2": 2, "D3": 3, "D4": 0, "D5": 1, "D6": 2, "D7": 3, "D8": 2}
    assert dcg([3, 2, 3, 0, 1, 2]) == pytest.approx(6.861, abs=1e-3)
    assert dcg([3, 3, 3, 2, 2, 2]) == pytest.approx(8.740, abs=1e-3)
    assert ndcg(["D1", "D2", "D3", "D4", "D5", "D6"], gains, 6) == pytest.approx(0.785, abs=1e-3)


def test_ndcg_of_scikit_learns_example() -> None:
    """scikit-learn, `ndcg_score`: relevance [10, 0, 0, 1, 5], ranked by [.1, .2, .3, 4, 70] and by [.05, 1.1, 1., .5, .0]."""
    gains = {0: 10, 1: 0, 2: 0, 3: 1, 4: 5}
    assert ndcg([4, 3, 2, 1, 0], gains) == pytest.approx(0.69, abs=6e-3)
    assert ndcg([1, 2, 3, 0, 4], gains) == pytest.approx(0.49, abs=6e-3)
    assert ndcg([1, 2, 3, 0, 4], gains, k=4) == pytest.approx(0.35, abs=6e-3)


def test_mrr_of_the_encyclopedias_example() -> None:
    """Wikipedia, "Mean reciprocal rank": plurals found at ranks 3, 2 and 1 give 11/18."""
    proposed = [["catten", "cati", "cats"], ["torii", "tori", "toruses"], ["viruses", "virii", "viri"]]
    assert mean_reciprocal_rank(proposed, [["cats"], ["tori"], ["viruses"]]) == pytest.approx(11 / 18)


@pytest.mark.parametrize(("k", "share"), [(1, 1 / 3), (2, 1 / 3), (3, 2 / 3), (10, 2 / 3), (None, 2 / 3)])
def test_recall_counts_what_was_found_of_what_there_is(k: int | None, share: float) -> None:
    assert recall(["a", "x", "b", "y"], {"a", "b", "c"}, k) == pytest.approx(share)


@pytest.mark.parametrize(("k", "score"), [(None, 1 / 3), (3, 1 / 3), (2, 0.0)])
def test_the_first_relevant_item_decides_the_reciprocal_rank(k: int | None, score: float) -> None:
    assert reciprocal_rank(["x", "y", "b", "a"], ["a", "b"], k) == score


def test_nothing_found_scores_nothing() -> None:
    assert ndcg([], {"a": 1}) == recall([], ["a"]) == reciprocal_rank([], ["a"]) == 0.0


@given(GAINS, ORDERS, st.integers(1, 12))
def test_scores_are_bounded_and_the_ideal_order_is_perfect(gains: dict[int, int], order: list[int], k: int) -> None:
    relevant = [item for item, gain in gains.items() if gain]
    assert 0 <= ndcg(order, gains, k) <= 1 + 1e-12
    assert ndcg(sorted(gains, key=lambda item: -gains[item]), gains, k) == pytest.approx(1.0)
    assert 0 <= recall(order, relevant, k) <= 1
    assert recall(order, relevant) == 1
    assert reciprocal_rank(order, relevant, k) <= reciprocal_rank(order, relevant)


@given(GAINS, ORDERS)
def test_moving_a_better_item_up_never_hurts(gains: dict[int, int], order: list[int]) -> None:
    for at, (above, below) in enumerate(itertools.pairwise(order)):
        if gains.get(below, 0) > gains.get(above, 0):
            swapped = [*order[:at], below, above, *order[at + 2 :]]
            assert ndcg(swapped, gains) > ndcg(order, gains)


@given(ORDERS, st.integers(0, 9))
def test_of_one_relevant_item_ndcg_is_the_discount_of_its_rank(order: list[int], item: int) -> None:
    assert ndcg(order, {item: 1}) == pytest.approx(1 / math.log2(order.index(item) + 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ndcg(["a"], {"a": 0}), "one of them above 0"),
        (lambda: ndcg(["a"], {"a": 1, "b": -1}), "gains must be 0 or more"),
        (lambda: ndcg(["a", "a"], {"a": 1}), "an item is ranked twice"),
        (lambda: ndcg(["a"], {"a": 1}, 0), "k=0 must be at least 1"),
        (lambda: recall(["a"], []), "without a relevant item"),
        (lambda: recall(["a", "a"], ["a"]), "an item is ranked twice"),
        (lambda: reciprocal_rank(["a"], []), "without a relevant item"),
        (lambda: mean_reciprocal_rank([], []), "0 rankings for 0 questions"),
        (lambda: mean_reciprocal_rank([["a"]], []), "1 rankings for 0 questions"),
    ],
)
def test_what_cannot_be_scored_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
