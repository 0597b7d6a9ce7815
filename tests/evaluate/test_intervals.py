"""Bootstrap intervals: percent, deterministic, as wide as the data say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aag_ray.evaluate import intervals
from aag_ray.evaluate.intervals import Interval, bootstrap, paired_difference

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def test_scores_become_percent() -> None:
    interval = bootstrap([1.0, 0.0, 1.0, 1.0])
    assert interval.value == 75.0
    assert interval.n == 4
    assert 0 <= interval.low < 75 < interval.high <= 100


@settings(max_examples=30, deadline=None)
@given(SCORES)
def test_the_interval_holds_the_mean_and_stays_in_range(scores: list[float]) -> None:
    interval = bootstrap(scores, samples=500)
    assert -1e-9 <= interval.low <= interval.value + 1e-9
    assert interval.value - 1e-9 <= interval.high <= 100 + 1e-9


def test_equal_seeds_give_equal_intervals_and_other_seeds_others() -> None:
    scores = np.random.default_rng(0).random(50)
    assert bootstrap(scores, seed=1) == bootstrap(scores, seed=1)
    assert bootstrap(scores, seed=1) != bootstrap(scores, seed=2)


def test_the_interval_covers_the_truth_about_19_times_in_20() -> None:
    draw = np.random.default_rng(29)
    covered = 0
    for trial in range(200):
        interval = bootstrap((draw.random(120) < 0.3).astype(float), samples=300, seed=trial)
        covered += interval.low <= 30 <= interval.high
    assert 180 <= covered <= 198


def test_more_questions_give_a_narrower_interval() -> None:
    few, many = bootstrap([0.0, 1.0] * 20), bootstrap([0.0, 1.0] * 500)
    assert many.high - many.low < (few.high - few.low) / 3


def test_memory_stays_bounded_on_large_test_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(0).random(1000)
    at_once = bootstrap(scores, samples=400)
    monkeypatch.setattr(intervals, "_DRAWS_AT_ONCE", 7000)
    in_parts = bootstrap(scores, samples=400)
    assert in_parts.value == at_once.value
    assert in_parts.low == pytest.approx(at_once.low, abs=0.5)
    assert in_parts.high == pytest.approx(at_once.high, abs=0.5)


def test_pairing_takes_out_how_hard_the_questions_are() -> None:
    draw = np.random.default_rng(3)
    hard = draw.random(300)
    better, worse = (hard < 0.6).astype(float), (hard < 0.5).astype(float)
    paired = paired_difference(better, worse)
    one, other = bootstrap(better), bootstrap(worse)
    assert paired.value == pytest.approx(one.value - other.value)
    unpaired_width = np.hypot(one.high - one.low, other.high - other.low)
    assert paired.high - paired.low < 0.6 * unpaired_width
    assert paired.above_zero


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40))
def test_exchanging_the_systems_turns_the_sign(pairs: list[tuple[float, float]]) -> None:
    a, b = [first for first, _ in pairs], [second for _, second in pairs]
    there, back = paired_difference(a, b, samples=300), paired_difference(b, a, samples=300)
    assert there.value == pytest.approx(-back.value)
    assert there.low == pytest.approx(-back.high)
    assert there.high == pytest.approx(-back.low)


def test_a_system_does_not_differ_from_itself() -> None:
    scores = [1.0, 0.0, 0.5]
    assert paired_difference(scores, scores) == Interval(0.0, 0.0, 0.0, 3)
    assert not paired_difference(scores, scores).above_zero


def test_one_question_gives_an_interval_of_no_width() -> None:
    assert bootstrap([1.0]) == Interval(100.0, 100.0, 100.0, 1)


def test_impossible_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one question"):
        bootstrap([])
    with pytest.raises(ValueError, match="score 1 is not a finite number"):
        bootstrap([0.0, float("nan")])
    with pytest.raises(ValueError, match="samples=0"):
        bootstrap([1.0], samples=0)
    with pytest.raises(ValueError, match="got 2 and 3 scores"):
        paired_difference([1.0, 0.0], [1.0, 0.0, 1.0])


def test_an_interval_survives_json() -> None:
    interval = Interval(50.0, 40.0, 60.0, 10)
    assert interval.to_dict() == {"value": 50.0, "low": 40.0, "high": 60.0, "n": 10}
    assert Interval.from_dict(interval.to_dict()) == interval
