"""The span scorer before any training: words in common and an off-the-shelf encoder, read in their context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from aag_ray.config import ExtractSection
from aag_ray.extract.baselines import by_page, embedded_tokens, similarities, span_texts
from aag_ray.extract.evidence import TaggedPage
from aag_ray.extract.features import FEATURES, lexical_features
from aag_ray.extract.scoring import ScoringExtractor
from aag_ray.extract.select import PageScores
from aag_ray.extract.tokens import CountTokens, tokenizer_counter

if TYPE_CHECKING:
    from aag_ray.llm.embed import Embedder

# Words say which spans an encoder need not read: of a request's spans only these many, the best by words, are embedded.
MOST_EMBEDDED = 2000
WEIGHTS = {"span": 0.25, "neighbours": 0.25, "block": 0.25, "headings": 0.25, "page": 0.0}
EMBEDDING = 0.5
NEIGHBOURS = 0.25


class ZeroShotExtractor(ScoringExtractor):
    """A span's score is the mean of two, weighted `EMBEDDING` to the rest.

    Lexical: shares of the question's words in the span, its neighbours, its block and the headings above it (`WEIGHTS`).
    Embedding: cosine of the question and the span under its headings, and `NEIGHBOURS` of the spans' beside it in its block.
    """

    name = "scorer (untrained)"

    def __init__(self, section: ExtractSection, embedder: Embedder, tokens: CountTokens | None = None) -> None:
        super().__init__(section, 0.35, tokens or tokenizer_counter(embedder.tokenizer))
        self.embedder, self.model = embedder, embedder.model

    def score(self, question: str, pages: Sequence[TaggedPage]) -> list[PageScores]:
        features = [row for rows in lexical_features(question, pages) for row in rows]
        weights = np.array([WEIGHTS[name] for name in FEATURES])
        lexical = np.array(features).reshape(-1, len(FEATURES)) @ weights
        read = np.sort(np.argsort(-lexical, kind="stable")[:MOST_EMBEDDED])
        texts = contextual_texts(pages)
        similar = np.zeros(len(texts))
        embedded = [texts[at] for at in read]
        self.counts["input_tokens"] += embedded_tokens(self.embedder, question, embedded)
        similar[read] = similarities(self.embedder, question, embedded, self.section.batch)
        blocks = [(number, span.block) for number, page in enumerate(pages) for span in page.spans]
        scores = EMBEDDING * _smoothed(similar, blocks) + (1 - EMBEDDING) * lexical
        return by_page(pages, np.clip(scores, 0.0, 1.0))


def contextual_texts(pages: Sequence[TaggedPage]) -> list[str]:
    """The text of every span under the page's title and the headings above it, in order."""
    above = [
        " > ".join(dict.fromkeys(part for part in (page.page.title, *page.page.blocks[span.block].heading_path) if part))
        for page in pages
        for span in page.spans
    ]
    return [f"{path}\n{text}" if path else text for path, text in zip(above, span_texts(pages), strict=True)]


def _smoothed(scores: np.ndarray, blocks: Sequence[tuple[int, int]]) -> np.ndarray:
    """Each score with a share of the better neighbour's in the same block, where that is better than its own."""
    best = scores.copy()
    for here, beside in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
        same = np.array([blocks[at] == blocks[at + 1] for at in range(len(blocks) - 1)], dtype=bool)
        best[here] = np.where(same, np.maximum(best[here], scores[beside]), best[here])
    return (1 - NEIGHBOURS) * scores + NEIGHBOURS * best
