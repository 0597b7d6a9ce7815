"""Extractors to compare with: words in common, embeddings, everything."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from aag_ray.config import ExtractSection
from aag_ray.extract.baselines import (
    Bm25Extractor,
    EmbeddingExtractor,
    WholePageExtractor,
    by_page,
    similarities,
    span_texts,
)
from aag_ray.extract.build import tag_page
from aag_ray.extract.evidence import ExtractOutcome, TaggedPage
from aag_ray.extract.scoring import ScoringExtractor
from aag_ray.llm.embed import Embedder
from aag_ray.pages.page import Block, BlockKind, Page
from aag_ray.pages.spans import Span

LONG = ExtractSection(budget=0.5)


def page(text: str, url: str = "u") -> TaggedPage:
    return tag_page(text, url, kind="text").tagged


METALS = page("Iron rusts in the rain.\n\nThe symbol of gold is Au.\n\nLead is heavy and soft.\n\nTin melts early.", "metals")
NOBODY = page("")


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast) -> Embedder:
    """A tiny random encoder of 96 tokens."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(29)
    config = BertConfig(
        vocab_size=384, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=96, pad_token_id=2,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return Embedder.load(str(folder), device="cpu")


@pytest.fixture(params=["bm25", "embedding", "all"])
def extractor(request: pytest.FixtureRequest, embedder: Embedder) -> ScoringExtractor:
    made = {"bm25": Bm25Extractor, "all": WholePageExtractor}
    return made[request.param](LONG) if request.param in made else EmbeddingExtractor(LONG, embedder)


def test_bm25_keeps_the_span_that_shares_the_questions_words() -> None:
    [best, *_] = Bm25Extractor(LONG).extract("What is the symbol of gold?", [METALS]).evidence
    assert best.text == "The symbol of gold is Au."
    assert 0 < best.score <= 1


def test_bm25_scores_a_span_that_is_the_question_with_one() -> None:
    scores = Bm25Extractor(LONG).score("symbol gold", [page("symbol gold\n\nother things are here"), METALS])
    assert scores[0].spans is not None
    assert scores[0].spans[0] == pytest.approx(1.0, abs=0.15)
    assert all(((each.spans >= 0) & (each.spans <= 1)).all() for each in scores if each.spans is not None)


def test_bm25_finds_nothing_where_no_word_is_shared() -> None:
    assert Bm25Extractor(LONG).extract("Who wrote Faust?", [METALS]).outcome is ExtractOutcome.NOTHING_RELEVANT


def test_bm25_reads_scripts_without_spaces() -> None:
    text = page("鉄は錆びる。金の元素記号はAuである。雨が降る。")
    [best, *_] = Bm25Extractor(LONG).extract("金の元素記号は何ですか", [text]).evidence
    assert "金の元素記号" in best.text


def test_embedding_scores_are_cosines_above_zero(embedder: Embedder) -> None:
    texts = span_texts([METALS])
    vectors = embedder.embed(["gold symbol", *texts])
    expected = np.clip(vectors[1:] @ vectors[0], 0, 1)
    np.testing.assert_allclose(similarities(embedder, "gold symbol", texts, 4), expected, atol=1e-5)
    [scored] = EmbeddingExtractor(LONG, embedder).score("gold symbol", [METALS])
    assert scored.spans is not None
    np.testing.assert_allclose(scored.spans, expected, atol=1e-5)


def test_a_text_that_stands_often_is_embedded_alike(embedder: Embedder) -> None:
    assert len(set(similarities(embedder, "gold", ["a b"] * 5, 2).tolist())) == 1
    assert similarities(embedder, "gold", [], 2).tolist() == []


def test_the_whole_page_is_kept_whatever_the_budget() -> None:
    twice = page("Same words.\n\nSame words.")
    extraction = WholePageExtractor(ExtractSection(budget=0.0, max_tokens=1, threshold=1.0)).extract("x", [METALS, twice])
    assert [len(each.evidence) for each in extraction.pages] == [4, 2]
    assert extraction.tokens_kept == extraction.tokens_in


def test_scores_go_back_to_their_pages() -> None:
    split = by_page([METALS, NOBODY, page("One.")], [1, 2, 3, 4, 5])
    assert [each.spans.tolist() for each in split if each.spans is not None] == [[1, 2, 3, 4], [], [5]]


@pytest.mark.parametrize("question", ["Что такое золото?", "金", "ما رمز الذهب؟", "gold " * 5000])
def test_any_question_with_a_word_is_answered(extractor: ScoringExtractor, question: str) -> None:
    extraction = extractor.extract(question, [METALS, NOBODY])
    assert extraction.pages[0].outcome in (ExtractOutcome.RELEVANT, ExtractOutcome.NOTHING_RELEVANT)
    assert extraction.pages[1].outcome is ExtractOutcome.PAGE_TOO_SHORT


@pytest.mark.parametrize("question", ["", "?!"])
def test_a_question_without_a_word_is_refused(extractor: ScoringExtractor, question: str) -> None:
    with pytest.raises(ValueError, match="holds no word"):
        extractor.extract(question, [METALS])


def test_pages_without_spans_alone(extractor: ScoringExtractor) -> None:
    assert extractor.extract("gold", [NOBODY]).outcome is ExtractOutcome.PAGE_TOO_SHORT
    assert extractor.extract("gold", []).pages == ()


def test_one_giant_span(extractor: ScoringExtractor) -> None:
    text = ("gold " * 100_000).strip()
    block = Block(BlockKind.PARAGRAPH, (), 0, len(text))
    giant = TaggedPage(Page("g", "", "", "", "", text, (block,)), (Span(1, 0, len(text), 0),))
    extraction = extractor.extract("gold", [giant])
    assert extraction.pages[0].outcome in (ExtractOutcome.RELEVANT, ExtractOutcome.NOTHING_RELEVANT)


def test_fifty_thousand_spans(extractor: ScoringExtractor) -> None:
    lines = [f"Line {number % 100} says gold." if number % 50 else "." for number in range(50_000)]
    big = tag_page("\n\n".join(lines), "big", kind="text").tagged
    assert len(big.spans) == 50_000
    extraction = extractor.extract("Which line says gold?", [big])
    assert extraction.pages[0].tokens_in > 50_000
    assert extraction.outcome in (ExtractOutcome.RELEVANT, ExtractOutcome.NOTHING_RELEVANT)
