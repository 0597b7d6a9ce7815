"""The trained scorer behind the interface of extraction. (What it learns is tested with its training.)"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from aag_ray.config import ExtractSection
from aag_ray.extract.build import build_extractor, tag_page
from aag_ray.extract.scorer import Calibration, SpanScorer
from aag_ray.extract.select import PageScores
from aag_ray.extract.trained import ScorerExtractor

PAGES = [
    tag_page("\n\n".join(f"Sentence {number} is about gold and rain." for number in range(30)), "a", kind="text").tagged,
    tag_page("", "b").tagged,
    tag_page("Only one.", "c", kind="text").tagged,
]


@pytest.fixture
def scorer(tiny_tokenizer: PreTrainedTokenizerFast) -> SpanScorer:
    torch.manual_seed(29)
    config = BertConfig(
        vocab_size=384, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=96, pad_token_id=2,
    )  # fmt: skip
    return SpanScorer(BertModel(config), tiny_tokenizer, 96).eval()


def test_every_span_of_every_window_comes_to_its_place(scorer: SpanScorer) -> None:
    windows = scorer.windows("gold?", PAGES)
    assert len({window.first for window in windows if window.page == 0}) > 1
    scored = ScorerExtractor(ExtractSection(), scorer).score("gold?", PAGES)
    given = scorer.score(windows)
    for window, (scores, _) in zip(windows, given, strict=True):
        spans = scored[window.page].spans
        assert spans is not None
        np.testing.assert_allclose(spans[window.first : window.first + len(scores)], scores, atol=1e-5)
    assert [len(each.spans) for each in scored if each.spans is not None] == [30, 0, 1]
    best = max(page for window, (_, page) in zip(windows, given, strict=True) if window.page == 0)
    assert scored[0].relevance == pytest.approx(best, abs=1e-5)


def test_the_tokens_that_the_encoder_reads_are_counted(scorer: SpanScorer) -> None:
    read: list[int] = []
    scorer.encoder.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(int(kwargs["attention_mask"].sum())), with_kwargs=True
    )
    extractor = ScorerExtractor(ExtractSection(batch=2), scorer)
    for _ in range(2):
        extractor.extract("gold?", PAGES)
    assert extractor.counts == {"input_tokens": sum(read)}
    assert extractor.counts["output_tokens"] == 0


def test_its_calibration_says_where_evidence_begins_and_whether_scores_are_probabilities(scorer: SpanScorer) -> None:
    assert not ScorerExtractor(ExtractSection(), scorer).extract("gold", PAGES).calibrated
    scorer.calibration = Calibration(threshold=0.75, fitted=True)
    extractor = ScorerExtractor(ExtractSection(), scorer)
    assert (extractor.threshold, extractor.calibrated, extractor.name) == (0.75, True, "scorer")
    assert ScorerExtractor(ExtractSection(threshold=0.1), scorer).threshold == 0.1


def test_spans_far_below_the_best_of_all_pages_are_no_evidence_unless_a_threshold_is_asked_for(scorer: SpanScorer) -> None:
    scorer.calibration = Calibration(threshold=0.1, margin=2.0, fitted=True)
    near, far = 0.9 / 0.1 * math.exp(-1.99), 0.9 / 0.1 * math.exp(-2.01)
    scores = [PageScores(np.array([0.2, 0.9])), PageScores(np.array([near / (1 + near), far / (1 + far)])), PageScores(None)]
    least = ScorerExtractor(ExtractSection(), scorer).least(scores)
    assert [[at for at, score in enumerate(page.spans) if score >= least] for page in scores if page.spans is not None] == [
        [1],
        [0],
    ]
    assert ScorerExtractor(ExtractSection(threshold=0.0), scorer).least(scores) == 0.0
    assert ScorerExtractor(ExtractSection(), scorer).least([PageScores(None), PageScores(np.array([]))]) == 0.1


@pytest.mark.parametrize("best", [0.0, 0.05, 0.1, 1.0])
def test_a_margin_never_lowers_the_threshold_and_holds_where_scores_are_certain(best: float) -> None:
    calibration = Calibration(threshold=0.1, margin=2.0, fitted=True)
    assert 0.1 <= calibration.least(best) <= 1.0
    assert calibration.least(best) <= max(best, 0.1)
    assert (calibration.least(best) > 0.99) == (best == 1.0)


def test_a_saved_scorer_is_built_from_its_folder(scorer: SpanScorer, tmp_path: Path) -> None:
    scorer.calibration = replace(scorer.calibration, threshold=0.25, margin=1.5)
    scorer.save_pretrained(tmp_path)
    built = build_extractor(ExtractSection(checkpoint=str(tmp_path)))
    assert isinstance(built, ScorerExtractor)
    assert built.scorer.calibration == scorer.calibration
    expected = ScorerExtractor(ExtractSection(), scorer).extract("gold?", PAGES)
    found = built.extract("gold?", PAGES)
    assert [(each.url, each.tag) for each in found.evidence] == [(each.url, each.tag) for each in expected.evidence]
