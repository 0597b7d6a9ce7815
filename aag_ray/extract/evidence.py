"""What extraction takes and gives: tagged pages in, evidence out, with a typed outcome for every page.

Offsets count characters (code points) of `Page.text`, so evidence can always be shown, and checked, on the page itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Protocol

from aag_ray.pages.page import Page
from aag_ray.pages.spans import Span


class ExtractOutcome(StrEnum):
    """How extraction from one page ended. Only RELEVANT brings evidence; the others say why there is none.

    OVER_BUDGET: there was evidence, but better evidence of other pages used the whole budget.
    """

    RELEVANT = "relevant"
    NOTHING_RELEVANT = "nothing_relevant"
    OVER_BUDGET = "over_budget"
    PAGE_TOO_SHORT = "page_too_short"
    MODEL_FAILED = "model_failed"


@dataclass(frozen=True, slots=True)
class TaggedPage:
    """A cleaned page with all of its spans, numbered from 1."""

    page: Page
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One span of one page: `page.text[start:end]` is `text`, `tag` its number, and `title` the page's.

    `score` is the extractor's, in [0, 1]; it is a probability where `Extraction.calibrated` says so.
    """

    url: str
    tag: int
    start: int
    end: int
    text: str
    score: float
    title: str = ""


@dataclass(frozen=True, slots=True)
class PageEvidence:
    """What one page gave, its evidence in page order. `relevance` in [0, 1] is the page's own score for the question."""

    url: str
    outcome: ExtractOutcome
    evidence: tuple[Evidence, ...] = ()
    relevance: float = 0.0
    detail: str = ""
    tokens_in: int = 0
    tokens_kept: int = 0


@dataclass(frozen=True, slots=True)
class Extraction:
    """What all pages of a request gave, in the order of the pages."""

    pages: tuple[PageEvidence, ...]
    extractor: str
    calibrated: bool = False
    seconds: float = 0.0

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """Of all pages, best first; ties in page order."""
        return tuple(sorted((each for page in self.pages for each in page.evidence), key=lambda each: -each.score))

    @property
    def outcome(self) -> ExtractOutcome:
        """RELEVANT if any page was; else MODEL_FAILED if any failed; else NOTHING_RELEVANT if any was read at all."""
        outcomes = {page.outcome for page in self.pages}
        order = (ExtractOutcome.RELEVANT, ExtractOutcome.OVER_BUDGET, ExtractOutcome.MODEL_FAILED)
        for outcome in (*order, ExtractOutcome.NOTHING_RELEVANT):
            if outcome in outcomes:
                return outcome
        return ExtractOutcome.PAGE_TOO_SHORT

    @property
    def tokens_in(self) -> int:
        return sum(page.tokens_in for page in self.pages)

    @property
    def tokens_kept(self) -> int:
        return sum(page.tokens_kept for page in self.pages)

    def to_row(self) -> dict[str, Any]:
        """For JSON: outcome, evidence best first, the counts, and the outcome of every page."""
        return {
            "outcome": self.outcome.value,
            "extractor": self.extractor,
            "calibrated": self.calibrated,
            "evidence": [{key: value for key, value in asdict(each).items() if key != "title"} for each in self.evidence],
            "pages": [asdict(page) | {"evidence": len(page.evidence)} for page in self.pages],
            "tokens_in": self.tokens_in,
            "tokens_kept": self.tokens_kept,
            "seconds": round(self.seconds, 4),
        }


class Extractor(Protocol):
    """Chooses the spans of pages that help to answer a question."""

    name: str

    def extract(self, question: str, pages: Sequence[TaggedPage]) -> Extraction:
        """Evidence of all pages of one request, under one budget. Pages never make it raise: they end in an outcome.

        Raises ValueError for a question that holds no word.
        """
        ...
