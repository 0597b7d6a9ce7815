"""Probabilities, a threshold and a margin, fitted on dev."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aag_ray.config import ModelSection
from aag_ray.extract.calibrate import MARGINS, fit_calibration
from aag_ray.extract.examples import ExtractionExample, example
from aag_ray.extract.scorer import SpanScorer
from aag_ray.pages.page import BlockKind, Metadata, Piece, assemble


@pytest.fixture
def scorer(tiny_encoder_folder: Path) -> SpanScorer:
    """Its logits are three times the share of the question's words in a span, and nothing else."""
    scorer = SpanScorer.new(ModelSection(name=str(tiny_encoder_folder), dtype="float32"), window=128, width=8, device="cpu")
    with torch.no_grad():
        scorer.signals.copy_(torch.tensor([0.0, 3.0, 0.0, 0.0, 0.0, 0.0]))
    return scorer.eval()


def pages(count: int = 12) -> list[ExtractionExample]:
    found = []
    for number in range(count):
        relevant = number % 2 == 0
        texts = [f"Zinc number {number} melts." if relevant else f"Snow number {number} falls.", "Nothing more is said."]
        page = assemble([Piece(BlockKind.PARAGRAPH, text) for text in texts], f"p{number}", Metadata(), 10**6).page
        assert page is not None
        gold = (1,) if relevant else ()
        found.append(example(str(number), "When does zinc melt?", page, gold, "test", answers=("melts",) if relevant else ()))
    return found


def test_the_threshold_keeps_the_right_spans_and_leaves_empty_pages_empty(scorer: SpanScorer):
    scorer.calibration = fit_calibration(scorer, pages())
    assert scorer.calibration.fitted
    for each in pages():
        (scores, _), *_ = scorer.score(scorer.windows(each.question, [each.tagged]))
        kept = [number for number, score in enumerate(scores, 1) if score >= scorer.calibration.threshold]
        assert kept == list(each.gold)


def test_scores_become_probabilities(scorer: SpanScorer):
    scorer.calibration = fit_calibration(scorer, pages(40))
    for each in pages(4):
        (scores, _), *_ = scorer.score(scorer.windows(each.question, [each.tagged]))
        assert scores[0] == pytest.approx(float(each.relevant), abs=0.1)
        assert scores[1] == pytest.approx(0.0, abs=0.1)


def with_a_lure(count: int) -> list[ExtractionExample]:
    """Pages whose second sentence also holds a word of the question, the first more of them."""
    found = []
    for number in range(count):
        relevant = number % 2 == 0
        texts = [f"Zinc number {number} melts at noon." if relevant else f"Snow {number} falls.", f"The {number} of noon."]
        page = assemble([Piece(BlockKind.PARAGRAPH, text) for text in texts], f"l{number}", Metadata(), 10**6).page
        assert page is not None
        found.append(example(str(number), "Does zinc melt at noon?", page, (1,) if relevant else (), "test"))
    return found


def test_the_margin_leaves_out_what_passes_the_threshold_far_below_the_best_span(scorer: SpanScorer):
    calibration = fit_calibration(scorer, with_a_lure(12))
    assert calibration.margin is not None
    low = replace(calibration, threshold=0.0)  # as on a page so long that many spans pass
    scorer.calibration = low
    for each in with_a_lure(12)[::2]:
        (scores, _), *_ = scorer.score(scorer.windows(each.question, [each.tagged]))
        assert [number for number, score in enumerate(scores, 1) if score >= low.least(max(scores))] == [1]


def test_the_margin_is_as_wide_as_does_no_harm(scorer: SpanScorer):
    assert fit_calibration(scorer, pages()).margin == max(MARGINS)  # the threshold alone is right already


def test_an_answer_that_is_missed_counts_more_than_a_needless_span(scorer: SpanScorer):
    """A third of the answers score as low as the lures on half of the empty pages, which is less bad to keep."""
    texts = [("Does zinc melt at noon: zinc melts at noon.", True)] * 4 + [("Of noon.", True)] * 2
    texts += [("At noon.", False)] * 3 + [("Snow falls.", False)] * 3
    made = []
    for number, (text, relevant) in enumerate(texts):
        page = assemble([Piece(BlockKind.PARAGRAPH, text)], f"m{number}", Metadata(), 10**6).page
        assert page is not None
        made.append(example(str(number), "Does zinc melt at noon?", page, (1,) if relevant else (), "test"))
    scorer.calibration = fit_calibration(scorer, made)
    best = [max(scorer.score(scorer.windows(each.question, [each.tagged]))[0][0]) for each in made]
    kept = [score >= scorer.calibration.threshold for score in best]
    assert kept == [True] * 9 + [False] * 3


def test_it_needs_pages_of_both_kinds(scorer: SpanScorer):
    for part in (pages()[::2], pages()[1::2]):
        with pytest.raises(ValueError, match="with evidence and dev pages without"):
            fit_calibration(scorer, part)
