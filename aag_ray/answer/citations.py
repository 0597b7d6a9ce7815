"""Citations that cannot be false: each is a pointer to a span, checked against the page before anybody sees it.

Offsets count characters (code points): `page.text[start:end]` is `text`, and `answer[start_index:end_index]` the sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from aag_ray.answer.source import ReadPage
from aag_ray.answer.support import Claim, claim, subjects
from aag_ray.answer.words import words
from aag_ray.extract.evidence import Evidence
from aag_ray.pages.page import Page
from aag_ray.pages.spans import sentences

TOGETHER = 3
PAGES_CITED = 2


class SentenceState(StrEnum):
    """NO_CLAIM: the sentence says nothing that could be checked."""

    SUPPORTED = "supported"
    UNSUPPORTED = "unsupported"
    NO_CLAIM = "no_claim"


@dataclass(frozen=True, slots=True)
class Citation:
    """One sentence of the answer and one span of a page that supports it, alone or with others of the same page.

    `number` is the source's, `support` the share of the sentence's facts that this span holds, `score` the extractor's.
    """

    number: int
    start_index: int
    end_index: int
    url: str
    title: str
    tag: int
    start: int
    end: int
    text: str
    score: float
    support: float
    fetched_at: float
    record: str

    def is_true(self, answer: str, page: Page) -> bool:
        """The mechanical check: both pointers point at what they say."""
        return (
            self.url == page.url
            and 0 <= self.start < self.end <= len(page.text)
            and page.text[self.start : self.end] == self.text
            and 0 <= self.start_index < self.end_index <= len(answer)
        )

    def to_row(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Sentence:
    """`answer[start_index:end_index]`. `missing` are the facts that no single page holds."""

    start_index: int
    end_index: int
    state: SentenceState
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checks:
    """What checking came to. `false_pointers` counts evidence and citations that did not point at their text: none is kept."""

    sentences: int = 0
    supported: int = 0
    unsupported: int = 0
    citations: int = 0
    false_pointers: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer's sentences in order, and its citations in the order of the sentences."""

    citations: tuple[Citation, ...] = ()
    sentences: tuple[Sentence, ...] = ()
    checks: Checks = Checks()

    def to_row(self) -> dict[str, Any]:
        return {
            "citations": [each.to_row() for each in self.citations],
            "sentences": [asdict(each) for each in self.sentences],
            "checks": asdict(self.checks),
        }


class Citer:
    """Finds, for each sentence of an answer, the evidence that supports it. `threshold` is of `aag_ray.answer.support`."""

    def __init__(self, question: str, pages: Sequence[ReadPage], evidence: Sequence[Evidence], threshold: float) -> None:
        self.question, self.threshold = question, threshold
        self.pages = {each.page.url: each for each in pages}
        self.evidence = [each for each in evidence if self._points(each)]
        self.false_pointers = len(evidence) - len(self.evidence)
        self._words = cache(lambda text: frozenset(words(text)))

    def check(self, answer: str) -> Checked:
        """Cite a whole answer. Only citations that pass `Citation.is_true` are in the result."""
        found: list[Citation] = []
        judged: list[Sentence] = []
        false = self.false_pointers
        for start, end in sentences(answer):
            said = claim(answer[start:end], self.question)
            spans = self._supporting(said)
            made = [self._citation(each, said, start, end) for each in spans]
            true = [each for each in made if each.is_true(answer, self.pages[each.url].page)]
            false += len(made) - len(true)
            found += true
            judged.append(Sentence(start, end, *self._state(said, true)))
        states = [each.state for each in judged]
        checks = Checks(
            len(states), states.count(SentenceState.SUPPORTED), states.count(SentenceState.UNSUPPORTED), len(found), false
        )
        return Checked(tuple(found), tuple(judged), checks)

    def _points(self, evidence: Evidence) -> bool:
        read = self.pages.get(evidence.url)
        inside = read is not None and 0 <= evidence.start < evidence.end <= len(read.page.text)
        return read is not None and inside and read.page.text[evidence.start : evidence.end] == evidence.text

    def _state(self, said: Claim, citations: Sequence[Citation]) -> tuple[SentenceState, tuple[str, ...]]:
        if citations:
            return SentenceState.SUPPORTED, ()
        if not said.facts:
            return SentenceState.NO_CLAIM, ()
        by_page = [frozenset().union(*(self._words(each.text) for each in self._of(url))) for url in self.pages]
        least = min((said.missing(page) for page in by_page), key=len, default=said.facts)
        return SentenceState.UNSUPPORTED, tuple(sorted(least))

    def _supporting(self, said: Claim) -> list[Evidence]:
        """Up to PAGES_CITED spans of different pages that each support the claim; else up to TOGETHER of one page."""
        if not said.facts:
            return []
        asked = subjects(self.question)
        urls = [url for url in self.pages if self._of(url) and asked <= self._page_words(url)]
        ranked = sorted((each for url in urls for each in self._of(url)), key=lambda each: -each.score)
        alone: dict[str, Evidence] = {}
        for each in ranked:
            if said.held_by(self._words(each.text), self.threshold):
                alone.setdefault(each.url, each)
        if alone:
            return list(alone.values())[:PAGES_CITED]
        return next((spans for url in urls if (spans := self._together(said, url))), [])

    def _together(self, said: Claim, url: str) -> list[Evidence]:
        chosen: list[Evidence] = []
        held: frozenset[str] = frozenset()
        while len(chosen) < TOGETHER:
            best = max(self._of(url), key=lambda each: (-len(said.missing(held | self._words(each.text))), each.score))
            wider = held | self._words(best.text)
            if len(said.missing(wider)) == len(said.missing(held)):
                return []
            chosen.append(best)
            held = wider
            if said.held_by(held, self.threshold):
                return sorted(chosen, key=lambda each: each.start)
        return []

    def _of(self, url: str) -> list[Evidence]:
        return [each for each in self.evidence if each.url == url]

    def _page_words(self, url: str) -> frozenset[str]:
        read = self.pages[url]
        return self._words(f"{read.page.title}\n{read.source.title}") | self._words(read.page.text)

    def _citation(self, evidence: Evidence, said: Claim, start: int, end: int) -> Citation:
        source = self.pages[evidence.url].source
        return Citation(
            number=source.number, start_index=start, end_index=end, url=evidence.url, title=source.title,
            tag=evidence.tag, start=evidence.start, end=evidence.end, text=evidence.text, score=evidence.score,
            support=said.share(self._words(evidence.text)), fetched_at=source.fetched_at, record=source.record,
        )  # fmt: skip
