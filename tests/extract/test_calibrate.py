"""Probabilities and a threshold, fitted on dev."""

from pathlib import Path

import pytest
import torch

from aag_ray.config import ModelSection
from aag_ray.extract.calibrate import fit_calibration
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


def test_it_needs_pages_of_both_kinds(scorer: SpanScorer):
    for part in (pages()[::2], pages()[1::2]):
        with pytest.raises(ValueError, match="with evidence and dev pages without"):
            fit_calibration(scorer, part)
