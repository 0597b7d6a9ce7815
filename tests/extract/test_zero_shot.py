"""The scorer before any training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from aag_ray.config import ExtractSection
from aag_ray.extract import zero_shot
from aag_ray.extract.build import tag_page
from aag_ray.extract.evidence import ExtractOutcome, TaggedPage
from aag_ray.extract.zero_shot import ZeroShotExtractor, contextual_texts
from aag_ray.llm.embed import Embedder

HTML = """<title>Elements</title><h1>Metals</h1><h2>Gold</h2><p>Its symbol is Au. It is soft. Kings wore it.</p>
<h2>Iron</h2><p>Its symbol is Fe. It rusts.</p>"""


@pytest.fixture
def embedder(tmp_path: Path, tiny_tokenizer: PreTrainedTokenizerFast) -> Embedder:
    torch.manual_seed(29)
    config = BertConfig(
        vocab_size=384, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=96, pad_token_id=2,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    return Embedder.load(str(tmp_path), device="cpu")


@pytest.fixture
def page() -> TaggedPage:
    return tag_page(HTML, "https://a.example/").tagged


def test_a_span_is_read_under_its_title_and_headings(page: TaggedPage) -> None:
    texts = contextual_texts([page])
    assert "Elements > Metals > Gold\nIts symbol is Au." in texts
    assert "Elements > Metals > Iron\nIts symbol is Fe." in texts


def test_headings_tell_apart_what_the_words_of_the_spans_do_not(page: TaggedPage, embedder: Embedder) -> None:
    scores = ZeroShotExtractor(ExtractSection(), embedder).score("symbol of gold", [page])[0].spans
    assert scores is not None
    texts = [page.page.text[span.start : span.end] for span in page.spans]
    assert scores[texts.index("Its symbol is Au.")] > scores[texts.index("Its symbol is Fe.")]


def test_it_says_that_it_is_untrained_and_not_calibrated(page: TaggedPage, embedder: Embedder) -> None:
    extraction = ZeroShotExtractor(ExtractSection(), embedder).extract("symbol of gold", [page])
    assert (extraction.extractor, extraction.calibrated) == ("scorer (untrained)", False)


def test_scores_do_not_depend_on_the_order_of_pages(page: TaggedPage, embedder: Embedder) -> None:
    other = tag_page("Rain falls on the hills. Gold lies below.", "b", kind="text").tagged
    extractor = ZeroShotExtractor(ExtractSection(), embedder)
    one, two = extractor.score("symbol of gold", [page, other])
    again_two, again_one = extractor.score("symbol of gold", [other, page])
    for first, second in ((one, again_one), (two, again_two)):
        assert first.spans is not None
        assert second.spans is not None
        np.testing.assert_allclose(first.spans, second.spans, atol=1e-5)


def test_of_very_many_spans_only_the_best_by_words_are_embedded(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zero_shot, "MOST_EMBEDDED", 3)
    read: list[str] = []

    def watched(_: Embedder, question: str, texts: list[str], batch: int) -> np.ndarray:
        read.extend(texts)
        return np.ones(len(texts))

    monkeypatch.setattr(zero_shot, "similarities", watched)
    lines = ["Nothing here." for _ in range(9)] + ["Gold is a metal."]
    page = tag_page("\n\n".join(lines), kind="text").tagged
    [scored] = ZeroShotExtractor(ExtractSection(), embedder).score("What is gold?", [page])
    assert len(read) == 3
    assert "Gold is a metal." in read
    assert scored.spans is not None
    assert int(scored.spans.argmax()) == 9


@pytest.mark.parametrize("question", ["金の記号", "gold " * 3000, "Что такое золото?"])
def test_any_question_and_pages_without_spans(page: TaggedPage, embedder: Embedder, question: str) -> None:
    empty = tag_page("").tagged
    extraction = ZeroShotExtractor(ExtractSection(), embedder).extract(question, [empty, page])
    assert extraction.pages[0].outcome is ExtractOutcome.PAGE_TOO_SHORT
    assert extraction.pages[1].outcome in (ExtractOutcome.RELEVANT, ExtractOutcome.NOTHING_RELEVANT)
    assert ZeroShotExtractor(ExtractSection(), embedder).extract("gold", []).pages == ()


def test_fifty_thousand_spans(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zero_shot, "MOST_EMBEDDED", 50)
    page = tag_page("\n\n".join(f"Line {number}" for number in range(50_000)), kind="text").tagged
    [best, *_] = ZeroShotExtractor(ExtractSection(), embedder).extract("Which is line 777?", [page]).evidence
    assert best.text == "Line 777"


@pytest.mark.model
def test_the_default_encoder_finds_what_other_words_say() -> None:
    text = "Prague lies on a river.\n\nThe firm was set up by two brothers in 1921.\n\nTickets are sold at the gate."
    extractor = ZeroShotExtractor(ExtractSection(), Embedder.load(device="cpu"))
    scores = extractor.score("When was the company founded?", [tag_page(text, kind="text").tagged])[0].spans
    assert scores is not None
    assert int(scores.argmax()) == 1
