"""Extraction is scored by spans, by empty answers, by answers kept, and by what it costs."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.config import ExtractSection
from aag_ray.evaluate.extraction import (
    Prediction,
    calibration,
    keeps_answer,
    milliseconds,
    predict,
    soft_empty,
    span_score,
    summarise,
)
from aag_ray.extract.baselines import Bm25Extractor, WholePageExtractor
from aag_ray.extract.evidence import ExtractOutcome
from aag_ray.extract.examples import ExtractionExample, example
from aag_ray.pages.page import BlockKind, Metadata, Piece, assemble

NUMBERS = st.sets(st.integers(1, 12))


def made(text: str, gold: tuple[int, ...], *answers: str, identity: str = "q") -> ExtractionExample:
    page = assemble([Piece(BlockKind.PARAGRAPH, text)], "u", Metadata(), 10**6).page
    assert page is not None
    return example(identity, "Where is the stone?", page, gold, "test", answers=answers)


def prediction(gold: tuple[int, ...], chosen: tuple[int, ...], outcome=ExtractOutcome.RELEVANT, **more) -> Prediction:
    known = {"answer_kept": None, "tokens_in": 100, "tokens_kept": 20, "seconds": 0.01}
    return Prediction("q", gold, chosen, 10, outcome, **(known | more))


@pytest.mark.parametrize(
    ("chosen", "gold", "expected"),
    [
        ({1, 2}, {1, 2}, (1.0, 1.0, 1.0)),
        ({1}, {1, 2}, (1.0, 0.5, 2 / 3)),
        ({1, 2, 3, 4}, {1}, (0.25, 1.0, 0.4)),
        ({3}, {1, 2}, (0.0, 0.0, 0.0)),
        (set(), {1}, (0.0, 0.0, 0.0)),
    ],
)
def test_spans_are_scored_by_hand_counts(chosen: set[int], gold: set[int], expected: tuple[float, float, float]):
    assert span_score(chosen, gold) == pytest.approx(expected)


@given(NUMBERS, NUMBERS.filter(bool))
def test_every_pair_of_sets_has_a_score(chosen: set[int], gold: set[int]):
    score = span_score(chosen, gold)
    assert all(0 <= value <= 1 for value in score)
    assert min(score) <= score.f1 <= max(score)
    assert (score.f1 == 1) == (chosen == gold)
    assert (score.f1 == 0) == (not chosen & gold)


def test_an_empty_gold_is_a_negative_and_no_division():
    with pytest.raises(ValueError, match="without gold"):
        span_score({1}, set())


def test_the_soft_empty_rate_is_the_reference_formula():
    assert [soft_empty(chosen, 100) for chosen in ((), (1,), range(1, 101))] == [1.0, 0.99, 0.0]
    assert (soft_empty((), 0), soft_empty((1,), 0)) == (1.0, 0.0)


def test_an_answer_is_kept_by_any_span_that_holds_it():
    text = "The stone is on Sand Island. It is hot. The band is Harbour. The Dog. Sand Island is far."
    case = made(text, (1,), "Sand Island")
    assert [keeps_answer(case, chosen) for chosen in ((1,), (5,), (2,), ())] == [True, True, False, False]
    torn = made(text, (3, 4), "Harbour. The Dog")
    assert [keeps_answer(torn, chosen) for chosen in ((3, 4), (3,), (3, 5))] == [True, False, False]


def test_a_real_extractor_is_asked_and_timed_page_by_page():
    cases = [
        made("The stone is on Sand Island. Rain fell. Nobody came. It was cold and dark for a week.", (1,), "Sand Island"),
        made("Rain fell. Nobody came.", (), "Sand Island", identity="none"),
        made("The stone fell. Rain.", (2,), "Moon", identity="unknown"),
    ]
    found = list(predict(Bm25Extractor(ExtractSection(budget=0.5)), cases))
    assert [(each.id, each.chosen, each.outcome.value, each.answer_kept) for each in found] == [
        ("q", (1,), "relevant", True),
        ("none", (), "nothing_relevant", None),
        ("unknown", (1,), "relevant", None),
    ]
    assert all(each.seconds > 0 and each.tokens_in > 0 for each in found)
    assert found[0].tokens_kept < found[0].tokens_in


def test_spans_that_say_the_same_count_as_one():
    case = made("The stone is here. Rain fell. THE stone  is here. Rain fell.", (1, 3))
    (one,) = predict(Bm25Extractor(ExtractSection(budget=1.0)), [case])
    (whole,) = predict(WholePageExtractor(ExtractSection()), [case])
    assert (one.gold, one.chosen, one.spans) == ((1,), (1,), 2)
    assert whole.chosen == (1, 2)


def test_spans_are_alike_here_as_they_are_where_they_are_chosen():
    """Letters' case, width and final punctuation: `select` keeps the first, and gold that names the other is met."""
    case = made("The stone is Lima's.\nthe stone is ＬＩＭＡ's!\nIt rains.", (2,))  # noqa: RUF001
    (one,) = predict(Bm25Extractor(ExtractSection(budget=1.0)), [case])
    assert (one.gold, one.chosen, one.spans) == ((1,), (1,), 2)


def test_a_prediction_comes_back_from_json():
    made = prediction((1, 2), (), ExtractOutcome.NOTHING_RELEVANT, answer_kept=False)
    assert Prediction.from_row(json.loads(json.dumps(asdict(made)))) == made


def test_a_summary_has_both_sides_and_the_cost():
    summary = summarise(
        [
            prediction((1, 2), (1,), answer_kept=True, seconds=0.010),
            prediction((3,), (4,), answer_kept=False, seconds=0.020),
            prediction((), (), ExtractOutcome.NOTHING_RELEVANT, tokens_kept=0, seconds=0.030),
            prediction((), (1,), seconds=0.040),
        ]
    )
    assert (summary["positives"], summary["negatives"]) == (2, 2)
    assert summary["outcomes"] == {"relevant": 3, "nothing_relevant": 1}
    assert summary["precision"]["value"] == 50
    assert summary["recall"]["value"] == 25
    assert summary["f1"]["value"] == pytest.approx(100 / 3)
    assert summary["micro"] == pytest.approx({"precision": 50.0, "recall": 100 / 3, "f1": 40.0})
    assert summary["answer_kept"]["value"] == 50
    assert summary["exact_empty"]["value"] == 50
    assert summary["soft_empty"]["value"] == 95
    assert summary["kept_share"]["value"] == pytest.approx(15)
    assert (summary["tokens_in"], summary["tokens_kept"]) == (400, 60)
    assert summary["ms_per_page"]["p50"] == pytest.approx(25)
    assert json.loads(json.dumps(summary)) == summary


@pytest.mark.parametrize("outcome", [ExtractOutcome.MODEL_FAILED, ExtractOutcome.OVER_BUDGET, ExtractOutcome.PAGE_TOO_SHORT])
def test_only_nothing_relevant_is_a_right_empty_answer(outcome: ExtractOutcome):
    summary = summarise([prediction((), (), outcome)])
    assert summary["exact_empty"]["value"] == 0
    assert summary["soft_empty"]["value"] == (0 if outcome is ExtractOutcome.MODEL_FAILED else 100)


def test_what_was_not_measured_is_none():
    only_negatives = summarise([prediction((), (), ExtractOutcome.NOTHING_RELEVANT, tokens_in=0, tokens_kept=0)])
    names = ("precision", "recall", "f1", "micro", "answer_kept", "kept_share")
    assert [only_negatives[name] for name in names] == [None] * 6
    assert summarise([prediction((1,), (1,))])["exact_empty"] is None
    with pytest.raises(ValueError, match="no predictions"):
        summarise([])
    with pytest.raises(ValueError, match="no durations"):
        milliseconds([])


def test_calibration_is_the_weighted_gap_of_its_bins():
    found = calibration([0.05, 0.05, 0.95, 1.0], [False, True, True, True])
    assert found.ece == pytest.approx((2 * abs(0.05 - 0.5) + 2 * abs(0.975 - 1.0)) / 4)
    assert [(each.low, each.size) for each in found.bins if each.size] == [(0.0, 2), (0.9, 2)]
    assert found.bins[9] == (0.9, 1.0, 2, 0.975, 1.0)


def test_scores_that_are_frequencies_are_calibrated_and_overconfident_ones_are_not():
    assert calibration([0.25] * 4, [True, False, False, False]).ece == 0
    assert calibration([1.0] * 4, [False] * 4).ece == 1


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1), st.integers(1, 20))
def test_every_score_is_in_one_bin(rows: list[tuple[float, bool]], bins: int):
    found = calibration([score for score, _ in rows], [right for _, right in rows], bins)
    assert sum(each.size for each in found.bins) == len(rows)
    assert -1e-9 <= found.ece <= 1 + 1e-9


@pytest.mark.parametrize(
    ("scores", "right"), [([], []), ([0.5], []), ([1.5], [True]), ([float("nan")], [True]), ([-0.1], [True])]
)
def test_scores_that_are_no_probabilities_are_refused(scores: list[float], right: list[bool]):
    with pytest.raises(ValueError, match=r"calibration needs|scores must be"):
        calibration(scores, right)
