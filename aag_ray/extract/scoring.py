"""What all extractors share that give every span a score: the question is checked, spans are scored, the best are kept."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from aag_ray.config import ExtractSection
from aag_ray.extract.evidence import Extraction, TaggedPage
from aag_ray.extract.select import PageScores, select
from aag_ray.extract.tokens import CountTokens, estimated_tokens
from aag_ray.pages.spans import sentences
from aag_ray.web.rank.lexical import words

if TYPE_CHECKING:
    from torch import nn

_CLOSING = " \"')]}»”’」』）"  # noqa: RUF001
_OPENING = ('"', "'", "(", "[", "{", "«", "“", "‘", "„", "¿", "「", "『", "（")  # noqa: RUF001
_ASKS = ("?", "？", "؟", "⸮")  # noqa: RUF001
_ASKING = (
    "(?:who|whose|whom|what|when|where|why|how|which|is|are|am|was|were|do|does|did|can|could|will|would|shall|should|may|might|"
    "must|has|have|had)(?:['’]s|['’]re|n['’]t)?"  # noqa: RUF001
)
# A question of its own, in capitals, inside a sentence that does not begin as one: a title that the sentence is about.
_TITLE = re.compile(rf"(?i:(?!{_ASKING}\b)\w).*[a-z\d,;]\s+(?=[A-Z])(?i:{_ASKING})\b", re.DOTALL)


def check_question(question: str) -> None:
    """Raises ValueError for a question without a letter or digit of any script."""
    if not words(question):
        raise ValueError(f"the question {question[:80]!r} holds no word")


class ScoringExtractor(ABC):
    """An extractor by scores. `threshold` is the configuration's, or the one that suits this extractor's scores.

    `tokens` counts what the budget is measured in. `counts` adds up the `input_tokens` that a model read, with prompt and tags,
    and the `output_tokens` that it wrote; an extractor without a model counts none. Spans that ask are no evidence, and those
    that say the same are kept once, unless `questions` or `repeats` says otherwise. `model` is what a model reads with.
    """

    name: str
    calibrated = False
    repeats = False
    questions = False
    model: nn.Module | None = None

    def __init__(self, section: ExtractSection, default_threshold: float, tokens: CountTokens = estimated_tokens) -> None:
        self.section, self.tokens = section, tokens
        self.threshold = default_threshold if section.threshold is None else section.threshold
        self.counts: Counter[str] = Counter()

    @abstractmethod
    def score(self, question: str, pages: Sequence[TaggedPage]) -> list[PageScores]:
        """Scores in [0, 1] of every span of every page, whatever the budget. May raise what its model raises."""

    def least(self, scores: Sequence[PageScores]) -> float:
        """From which score on a span of this request is evidence."""
        return self.threshold

    def extract(self, question: str, pages: Sequence[TaggedPage]) -> Extraction:
        """Evidence under the budget. Raises ValueError for a question without a word; a failing model is an outcome."""
        check_question(question)
        return self.extraction(pages, lambda: self.score(question, pages))

    def extraction(self, pages: Sequence[TaggedPage], score: Callable[[], list[PageScores]]) -> Extraction:
        """Evidence under the budget by what `score` gives; its failure is an outcome."""
        began = time.perf_counter()
        try:
            scores = score()
            if not self.questions:
                scores = [_without_questions(*each) for each in zip(pages, scores, strict=True)]
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


def asks(text: str) -> bool:
    """Whether a text is nothing but a question, or several: no statement stands before its question mark.

    What ends in a quotation, or in brackets, that began inside it is a statement, and so is what names a title that asks.
    """
    text = text.strip()
    bare = text.rstrip(_CLOSING)
    if not bare.endswith(_ASKS):
        return False
    if bare != text and not text.startswith(_OPENING):
        return False
    parts = [text[start:end] for start, end in sentences(text)]
    return all(part.rstrip(_CLOSING).endswith(_ASKS) for part in parts) and not _TITLE.match(parts[-1])


def _without_questions(page: TaggedPage, scored: PageScores) -> PageScores:
    """A span that asks is no evidence: nothing is more like a question, and no reader finds an answer in it."""
    if scored.spans is None or len(scored.spans) != len(page.spans):  # which `select` tells
        return scored
    asking = [asks(page.page.text[span.start : span.end]) for span in page.spans]
    return scored._replace(spans=np.where(asking, 0.0, scored.spans)) if any(asking) else scored
