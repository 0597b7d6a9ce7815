"""Chances that hold, and the threshold that costs least."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.answer.parsing.calibrate import Platt, cheapest_threshold, fit_platt, fit_weighing, likelihood_odds
from aag_ray.config import CostsSection
from aag_ray.evaluate.extraction import calibration


def test_odds_that_are_too_sure_become_chances_that_hold():
    draw = random.Random(3)
    true_odds = [draw.gauss(0, 1.5) for _ in range(4000)]
    labels = [draw.random() < 1 / (1 + math.exp(-odds)) for odds in true_odds]
    said = [3 * odds - 2 for odds in true_odds]  # three times too sure, and too low
    platt = fit_platt(said, labels)
    assert platt.scale == pytest.approx(1 / 3, abs=0.03)
    assert platt.shift == pytest.approx(2 / 3, abs=0.1)
    before = calibration([Platt()(odds) for odds in said], labels).ece
    after = calibration([platt(odds) for odds in said], labels).ece
    assert after < 0.03 < before


@given(st.lists(st.tuples(st.floats(-50, 50), st.booleans()), min_size=1, max_size=40))
def test_the_fit_is_finite_for_any_odds_and_labels(rows: list[tuple[float, bool]]):
    platt = fit_platt([odds for odds, _ in rows], [label for _, label in rows])
    assert math.isfinite(platt.scale)
    assert math.isfinite(platt.shift)
    assert all(0 <= platt(odds) <= 1 for odds, _ in rows)


def test_both_signals_are_weighed_by_what_they_tell():
    draw = random.Random(4)
    rows = [(draw.gauss(0, 1.5), draw.random()) for _ in range(4000)]
    chances = [1 / (1 + math.exp(-(0.5 * odds - likelihood_odds(likelihood) + 0.3))) for odds, likelihood in rows]
    labels = [draw.random() < chance for chance in chances]
    weighing = fit_weighing([odds for odds, _ in rows], [likelihood for _, likelihood in rows], labels)
    assert (weighing.scale, weighing.likelihood, weighing.shift) == pytest.approx((0.5, -1.0, 0.3), abs=0.12)
    assert calibration([weighing(*row) for row in rows], labels).ece < 0.03
    assert weighing(1.0, 0.9) < weighing(1.0, 0.2), "what memory finds likely needs the web less"


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
def test_weighing_is_finite_for_any_odds_likelihoods_and_labels(rows: list[tuple[float, float, bool]]):
    weighing = fit_weighing([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
    assert all(0 <= weighing(odds, likelihood) <= 1 for odds, likelihood, _ in rows)


def test_nothing_to_fit_on_is_refused():
    with pytest.raises(ValueError, match="a label for each"):
        fit_platt([], [])
    with pytest.raises(ValueError, match="2 and 1"):
        fit_platt([1.0, 2.0], [True])


def cost(chances: list[float], labels: list[bool], costs: CostsSection, threshold: float) -> float:
    pairs = [(label, chance >= threshold) for chance, label in zip(chances, labels, strict=True)]
    return sum(costs.missed * (need and not did) + costs.needless * (did and not need) for need, did in pairs)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=20),
    st.floats(0.1, 5),
    st.floats(0.1, 5),
)
def test_no_threshold_is_cheaper(rows: list[tuple[float, bool]], missed: float, needless: float):
    chances, labels = [chance for chance, _ in rows], [label for _, label in rows]
    costs = CostsSection(missed=missed, needless=needless)
    chosen = cost(chances, labels, costs, cheapest_threshold(chances, labels, costs))
    for other in [0.0, 1.1, *chances]:
        assert chosen <= cost(chances, labels, costs, other) + 1e-9


def test_dear_misses_lower_the_threshold():
    chances, labels = [0.1, 0.3, 0.5, 0.7, 0.9], [False, True, False, True, True]
    dear = cheapest_threshold(chances, labels, CostsSection(missed=5, needless=1))
    cheap = cheapest_threshold(chances, labels, CostsSection(missed=1, needless=5))
    assert dear < 0.3 < 0.5 < cheap


def test_of_equal_thresholds_the_believed_one_is_taken():
    assert cheapest_threshold([0.1, 0.2, 0.9], [False, False, True], CostsSection(missed=1, needless=1)) == pytest.approx(0.55)
