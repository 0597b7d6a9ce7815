"""Batches are a pure function of seed, step and lengths; every example is used exactly once an epoch."""

from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aag_ray.train.sampler import BatchPlan

lengths = st.lists(st.integers(1, 500), min_size=1, max_size=120)


@given(lengths, st.integers(1, 40), st.integers(0, 9), st.integers(1, 5), st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_each_epoch_of_the_stream_holds_every_example_once(lengths, batch, seed, window, epochs):
    plan = BatchPlan(lengths, batch, seed, window)
    for epoch in range(epochs):
        assert sorted(plan.epoch_order(epoch).tolist()) == list(range(len(lengths)))


@given(lengths, st.integers(1, 40), st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_after_any_number_of_steps_no_example_is_more_than_one_use_ahead(lengths, batch, seed):
    plan = BatchPlan(lengths, batch, seed)
    steps = 2 * len(lengths) // batch + 2
    uses = Counter(chain.from_iterable(plan.batch_at(step) for step in range(steps)))
    complete, begun = divmod(steps * batch, len(lengths))
    assert sum(uses.values()) == steps * batch
    assert {uses[index] for index in range(len(lengths))} <= {complete, complete + (begun > 0)}


@given(lengths, st.integers(1, 5), st.integers(1, 4), st.integers(1, 6), st.integers(0, 30))
@settings(max_examples=150, deadline=None)
def test_ranks_and_accumulation_steps_partition_the_batch(lengths, ranks, accumulation, per_part, step):
    plan = BatchPlan(lengths, ranks * accumulation * per_part, seed=3)
    parts = [plan.micro_batches(step, rank, ranks, accumulation) for rank in range(ranks)]
    assert all(len(part) == accumulation for part in parts)
    assert sorted(index for rank in parts for micro in rank for index in micro) == sorted(plan.batch_at(step))


def test_a_batch_depends_on_nothing_that_was_asked_before():
    first = BatchPlan(list(range(1, 60)), 8, seed=5)
    for step in range(20):
        first.batch_at(step)
    assert first.batch_at(11) == BatchPlan(list(range(1, 60)), 8, seed=5).batch_at(11)


def test_seeds_and_epochs_give_different_orders():
    plan, other = BatchPlan([1] * 50, 5, seed=1), BatchPlan([1] * 50, 5, seed=2)
    assert plan.epoch_order(0).tolist() != other.epoch_order(0).tolist()
    assert plan.epoch_order(0).tolist() != plan.epoch_order(1).tolist()


def test_batches_hold_similar_lengths_so_that_little_is_padding():
    lengths = np.random.default_rng(0).integers(5, 300, size=2000).tolist()
    plan = BatchPlan(lengths, 16, seed=0)
    batches = [[lengths[index] for index in plan.batch_at(step)] for step in range(125)]
    padded = sum(max(batch) * len(batch) for batch in batches)
    assert padded / sum(map(sum, batches)) < 1.1


def test_the_order_of_batches_is_not_the_order_of_lengths():
    lengths = list(range(1, 641))
    means = [np.mean(BatchPlan(lengths, 16, seed=0).batch_at(step)) for step in range(40)]
    assert means != sorted(means)


def test_workers_that_compute_at_the_same_time_get_neighbouring_lengths():
    plan = BatchPlan(list(range(1, 65)), 8, seed=0, window=8)
    first, second = (plan.micro_batches(2, rank, 2, 2) for rank in range(2))
    assert max(first[0]) < min(second[0]) < min(first[1]) < min(second[1])


def test_fewer_examples_than_the_batch_repeat_evenly():
    plan = BatchPlan([3, 1, 2], 8, seed=0)
    assert set(Counter(plan.batch_at(0)).values()) == {2, 3}


def test_impossible_plans_are_refused():
    with pytest.raises(ValueError, match="no example"):
        BatchPlan([], 4, seed=0)
    with pytest.raises(ValueError, match="at least 1"):
        BatchPlan([1], 0, seed=0)
    with pytest.raises(ValueError, match="cannot be shared by 4 workers"):
        BatchPlan([1, 2], 4, seed=0).micro_batches(0, 0, 4, 2)
