"""What all extractors share that give every span a score: the question is checked, spans are scored, the best are kept."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aag_ray.config import ExtractSection
from aag_ray.extract.evidence import Extraction, TaggedPage
from aag_ray.extract.select import PageScores, select
from aag_ray.extract.tokens import CountTokens, estimated_tokens
from aag_ray.web.rank.lexical import words

_CLOSING = " \"')]}»”’"  # noqa: RUF001
_ASKS = ("?", "？", "؟", "⸮")  # noqa: RUF001


def check_question(question: str) -> None:
    """Raises ValueError for a question without a letter or digit of any script."""
    if not words(question):
        raise ValueError(f"the question {question[:80]!r} holds no word")


class ScoringExtractor(ABC):
    """An extractor by scores. `threshold` is the configuration's, or the one that suits this extractor's scores.

    `tokens` counts what the budget is measured in.
    """

    name: str
    calibrated = False
    repeats = False

    def __init__(self, section: ExtractSection, default_threshold: float, tokens: CountTokens = estimated_tokens) -> None:
        self.section, self.tokens = section, tokens
        self.threshold = default_threshold if section.threshold is None else section.threshold

    @abstractmethod
    def score(self, question: str, pages: Sequence[TaggedPage]) -> list[PageScores]:
        """Scores in [0, 1] of every span of every page, whatever the budget. May raise what its model raises."""

    def least(self, scores: Sequence[PageScores]) -> float:
        """From which score on a span of this request is evidence."""
        return self.threshold

    def extract(self, question: str, pages: Sequence[TaggedPage]) -> Extraction:
        """Evidence under the budget. Raises ValueError for a question without a word; a failing model is an outcome."""
        check_question(question)
        began = time.perf_counter()
        try:
            scores = [_without_questions(*each) for each in zip(pages, self.score(question, pages), strict=True)]
        except Exception as error:  # whatever a model raises (memory, device, weights) ends in an outcome that tells it
            failure = f"{self.name} failed: {type(error).__name__}: {error}"
            scores = [PageScores(None, detail=failure) for _ in pages]
        chosen = select(
            pages,
            scores,
            self.section,
            threshold=self.least(scores),
            tokens=self.tokens,
            extractor=self.name,
            calibrated=self.calibrated,
            repeats=self.repeats,
        )
        return replace(chosen, seconds=time.perf_counter() - began)


def _without_questions(page: TaggedPage, scored: PageScores) -> PageScores:
    """A span that asks is no evidence: nothing is more like a question, and no reader finds an answer in it."""
    if scored.spans is None or len(scored.spans) != len(page.spans):  # which `select` tells
        return scored
    asks = [page.page.text[span.start : span.end].rstrip(_CLOSING).endswith(_ASKS) for span in page.spans]
    return scored._replace(spans=np.where(asks, 0.0, scored.spans)) if any(asks) else scored
