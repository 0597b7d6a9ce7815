"""Reciprocal-rank fusion: its arithmetic, and what no order of votes or items may change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.web.rank.fusion import Vote, fuse, places, total

VALUES = st.dictionaries(st.integers(0, 7), st.integers(-3, 3).map(float), max_size=8)


@pytest.mark.parametrize(
    ("values", "ranks"),
    [
        ({}, {}),
        ({0: 0.5, 1: 0.9, 2: 0.1}, {0: 2, 1: 1, 2: 3}),
        ({0: 1.0, 1: 1.0, 2: 0.0}, {0: 1, 1: 1, 2: 3}),
        ({4: -2.0, 7: -1.0}, {4: 2, 7: 1}),
    ],
)
def test_the_highest_value_is_first_and_equals_share_a_rank(values, ranks):
    assert places(values) == ranks


def test_a_contribution_is_weight_over_k_plus_rank():
    both, only = fuse(2, [Vote("a", 1.0, {0: 9.0, 1: 8.0}), Vote("b", 2.0, {0: 0.1})], 60)
    assert [(signal.name, signal.rank, signal.value, signal.weight) for signal in both] == [
        ("a", 1, 9.0, 1.0),
        ("b", 1, 0.1, 2.0),
    ]
    assert total(both) == pytest.approx(3 / 61)
    assert total(only) == pytest.approx(1 / 62)


def test_strength_scales_a_vote():
    (signals,) = fuse(1, [Vote("recency", 1.0, {0: -30.0}, {0: 0.5})], 60)
    assert signals[0].contribution == pytest.approx(0.5 / 61)


def test_weight_zero_takes_no_part():
    assert fuse(1, [Vote("a", 0.0, {0: 1.0})], 60) == [()]


@given(st.lists(VALUES, max_size=4), st.randoms(use_true_random=False), st.integers(1, 100))
def test_the_order_of_votes_changes_no_score(values, random, k):
    votes = [Vote(str(at), 1.0 + at, each) for at, each in enumerate(values)]
    shuffled = random.sample(votes, len(votes))
    first, second = fuse(8, votes, k), fuse(8, shuffled, k)
    assert [total(each) for each in first] == pytest.approx([total(each) for each in second])


@given(st.lists(VALUES, min_size=1, max_size=4), st.integers(0, 7))
def test_a_better_rank_in_one_list_never_lowers_an_item(values, item):
    votes = [Vote(str(at), 1.0, each) for at, each in enumerate(values)]
    lifted = [Vote("0", 1.0, {**values[0], item: 99.0}), *votes[1:]]
    assert total(fuse(8, lifted, 60)[item]) >= total(fuse(8, votes, 60)[item])
