"""Extractors to compare with: words in common, sentence embeddings, main text, and the whole page."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from aag_ray.config import ExtractSection
from aag_ray.extract.evidence import TaggedPage
from aag_ray.extract.scoring import ScoringExtractor
from aag_ray.extract.select import PageScores
from aag_ray.extract.tokens import CountTokens, estimated_tokens, tokenizer_counter
from aag_ray.pages.page import BlockKind, Page
from aag_ray.web.rank.lexical import bm25

if TYPE_CHECKING:
    from aag_ray.llm.embed import Embedder


class Bm25Extractor(ScoringExtractor):
    """BM25 over all spans of the request, as a share of what the question itself would score among them."""

    name = "bm25"

    def __init__(self, section: ExtractSection, tokens: CountTokens = estimated_tokens) -> None:
        """Unless the configuration says otherwise, one word in common makes a span evidence."""
        super().__init__(section, 0.0, tokens)

    def score(self, question: str, pages: Sequence[TaggedPage]) -> list[PageScores]:
        *scores, own = bm25(question, [*span_texts(pages), question])
        return by_page(pages, np.minimum(1.0, np.array(scores) / own))


class EmbeddingExtractor(ScoringExtractor):
    """Cosine similarity of question and span, each embedded alone; what points away from the question scores 0.

    Question and spans are cut at the encoder's `max_tokens`.
    """

    name = "embedding"

    def __init__(self, section: ExtractSection, embedder: Embedder, tokens: CountTokens | None = None) -> None:
        super().__init__(section, 0.3, tokens or tokenizer_counter(embedder.tokenizer))
        self.embedder, self.model = embedder, embedder.model

    def score(self, question: str, pages: Sequence[TaggedPage]) -> list[PageScores]:
        texts = span_texts(pages)
        self.counts["input_tokens"] += embedded_tokens(self.embedder, question, texts)
        return by_page(pages, similarities(self.embedder, question, texts, self.section.batch))


class WholePageExtractor(ScoringExtractor):
    """Every span, whatever the budget: what a reader gets where nothing is extracted."""

    name = "all"
    repeats = questions = True

    def __init__(self, section: ExtractSection, tokens: CountTokens = estimated_tokens) -> None:
        unbounded = section.model_copy(update={"budget": 1.0, "max_tokens": sys.maxsize, "threshold": None})
        super().__init__(unbounded, 0.0, tokens)

    def score(self, question: str, pages: Sequence[TaggedPage]) -> list[PageScores]:
        return [PageScores(np.ones(len(page.spans))) for page in pages]


class MainTextExtractor(WholePageExtractor):
    """Every span that trafilatura takes for main text of the page, asked without the question."""

    name = "trafilatura"

    def score(self, question: str, pages: Sequence[TaggedPage]) -> list[PageScores]:
        from trafilatura import extract

        found = []
        for page in pages:
            main = _spaced(extract(_html(page.page), include_comments=False, include_tables=True) or "")
            texts = (_spaced(page.page.text[span.start : span.end]) for span in page.spans)
            found.append(PageScores(np.array([float(text in main) for text in texts])))
        return found


def _html(page: Page) -> str:
    """A page's blocks as plain HTML again, for a cleaner that reads nothing else."""
    tags = {BlockKind.LIST_ITEM: "li", BlockKind.CODE: "pre", BlockKind.CAPTION: "figcaption"}
    named = ((f"h{b.level}" if b.kind is BlockKind.HEADING else tags.get(b.kind, "p"), b) for b in page.blocks)
    body = "".join(f"<{tag}>{escape(page.text[block.start : block.end])}</{tag}>" for tag, block in named)
    return f"<html><head><title>{escape(page.title)}</title></head><body><article>{body}</article></body></html>"


def _spaced(text: str) -> str:
    return " ".join(text.split())


def span_texts(pages: Sequence[TaggedPage]) -> list[str]:
    """The text of every span of all pages, in order."""
    return [page.page.text[span.start : span.end] for page in pages for span in page.spans]


def by_page(pages: Sequence[TaggedPage], scores: Iterable[float]) -> list[PageScores]:
    """Scores of all spans in order, page by page again."""
    left = iter(scores)
    return [PageScores(np.array([next(left) for _ in page.spans], dtype=np.float64)) for page in pages]


def similarities(embedder: Embedder, question: str, texts: Sequence[str], batch: int) -> np.ndarray:
    """The cosine of each text to the question, float [len(texts)] in [0, 1]; a text that stands twice is embedded once."""
    once = list(dict.fromkeys(texts))
    vectors = embedder.embed([question, *once], batch)
    cosine = dict(zip(once, np.clip(vectors[1:] @ vectors[0], 0.0, 1.0).tolist(), strict=True))
    return np.array([cosine[text] for text in texts], dtype=np.float64)


def embedded_tokens(embedder: Embedder, question: str, texts: Sequence[str]) -> int:
    """How many tokens `similarities` has the encoder read."""
    once = [f"{embedder.recipe.prompt}{text}" for text in dict.fromkeys([question, *texts])]
    read = embedder.tokenizer(once, truncation=True, max_length=embedder.max_tokens, return_attention_mask=False)
    return sum(map(len, read["input_ids"]))  # type: ignore[arg-type]
