"""The trained span scorer as an extractor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from aag_ray.config import ExtractSection
from aag_ray.extract.evidence import TaggedPage
from aag_ray.extract.scoring import ScoringExtractor, check_question
from aag_ray.extract.select import PageScores
from aag_ray.extract.tokens import CountTokens, tokenizer_counter

if TYPE_CHECKING:
    from aag_ray.extract.scorer import SpanScorer, Window


class ScorerExtractor(ScoringExtractor):
    """All windows of all pages in batches, each read once. A page is as relevant as its best window.

    Scores are probabilities, and `calibrated`, where the scorer's calibration was fitted on dev.
    """

    name = "scorer"

    def __init__(self, section: ExtractSection, scorer: SpanScorer, tokens: CountTokens | None = None) -> None:
        super().__init__(section, scorer.calibration.threshold, tokens or tokenizer_counter(scorer.tokenizer))
        self.scorer = self.model = scorer
        self.calibrated = scorer.calibration.fitted

    def least(self, scores: Sequence[PageScores]) -> float:
        if self.section.threshold is not None:
            return self.threshold
        best = max((float(page.spans.max()) for page in scores if page.spans is not None and page.spans.size), default=0.0)
        return self.scorer.calibration.least(best)

    def score(self, question: str, pages: Sequence[TaggedPage]) -> list[PageScores]:
        windows = self.windows(question, pages)
        return self.scored(pages, windows, self.read(windows))

    @property
    def batch(self) -> int:
        """How many windows are read at once."""
        return self.section.batch

    def windows(self, question: str, pages: Sequence[TaggedPage]) -> list[Window]:
        """What is to be read, the longest first. Raises ValueError for a question without a word."""
        check_question(question)
        return sorted(self.scorer.windows(question, pages), key=lambda each: -len(each.ids))

    def read(self, windows: Sequence[Window]) -> list[tuple[list[float], float]]:
        """The scores of each window's spans, and its own; windows may be those of several requests."""
        batches = -(-len(windows) // self.section.batch)  # each reads its questions once
        questions = {tuple(each.question) for each in windows}
        self.counts["input_tokens"] += sum(len(each.ids) for each in windows) + batches * sum(map(len, questions))
        return self.scorer.score(windows, self.section.batch)

    def scored(
        self, pages: Sequence[TaggedPage], windows: Sequence[Window], said: Sequence[tuple[list[float], float]]
    ) -> list[PageScores]:
        """The scores of a request's pages from what was `said` of its windows."""
        spans = [np.zeros(len(page.spans)) for page in pages]
        relevances = [0.0 for _ in pages]
        for window, (scores, relevance) in zip(windows, said, strict=True):
            spans[window.page][window.first : window.first + len(scores)] = scores
            relevances[window.page] = max(relevances[window.page], relevance)
        return [PageScores(each, relevance) for each, relevance in zip(spans, relevances, strict=True)]
