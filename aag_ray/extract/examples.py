"""Examples for an extractor: a question, a page cut into spans, and the numbers of the spans that help."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aag_ray.config import PagesSection
from aag_ray.extract.evidence import TaggedPage
from aag_ray.pages.page import BlockKind, Metadata, Page, Piece, assemble
from aag_ray.pages.spans import Span, split_spans
from aag_ray.records import Passage

TITLE_LEVEL = 2


@dataclass(frozen=True, slots=True)
class ExtractionExample:
    """What an extractor should find. `gold` holds span numbers, sorted, and is empty if and only if nothing is `relevant`.

    The spans travel with the page, so that the numbers stay right whatever a later splitter would cut. `answers` are the
    accepted answers where they are known, `source` says who labelled the example. Raises ValueError if gold contradicts
    `relevant`, is not sorted, or names a span that is not on the page.
    """

    id: str
    question: str
    page: Page
    spans: tuple[Span, ...]
    gold: tuple[int, ...]
    relevant: bool
    source: str
    answers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        on_page = not self.gold or (self.gold[0] >= 1 and self.gold[-1] <= len(self.spans))
        if list(self.gold) != sorted(set(self.gold)) or not on_page:
            raise ValueError(f"{self.id}: gold {self.gold} must be sorted numbers of the page's spans, 1 to {len(self.spans)}")
        if self.relevant != bool(self.gold):
            raise ValueError(f"{self.id}: relevant={self.relevant} contradicts gold {self.gold}")

    @property
    def tagged(self) -> TaggedPage:
        return TaggedPage(self.page, self.spans)

    def text_of(self, number: int) -> str:
        """The page's own text of span `number`."""
        span = self.spans[number - 1]
        return self.page.text[span.start : span.end]

    def to_row(self) -> dict[str, Any]:
        """A plain mapping for parquet or JSON lines; the inverse of `from_row`. Spans are [start, end, block], in order."""
        return {
            "id": self.id,
            "question": self.question,
            "answers": list(self.answers),
            "gold": list(self.gold),
            "relevant": self.relevant,
            "source": self.source,
            "spans": [[span.start, span.end, span.block] for span in self.spans],
            "page": self.page.to_row(),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> ExtractionExample:
        """Raises KeyError naming a column that is missing, ValueError for gold that does not fit the page."""
        return cls(
            id=row["id"],
            question=row["question"],
            page=Page.from_row(row["page"]),
            spans=tuple(Span(number, *span) for number, span in enumerate(row["spans"], 1)),
            gold=tuple(row["gold"]),
            relevant=row["relevant"],
            source=row["source"],
            answers=tuple(row["answers"]),
        )


def page_from_passages(passages: Sequence[Passage], url: str) -> Page:
    """One page of passages in the order given: the title of each is a heading, its text a paragraph below it.

    The page itself has no title, for none of its sections speaks for the others. Raises ValueError without any text.
    """
    result = assemble((piece for _, piece in _pieces(passages)), url, Metadata(), PagesSection().max_text_characters)
    if result.page is None:
        raise ValueError(f"{url}: {len(passages)} passages make no page: {result.detail}")
    return dataclasses.replace(result.page, title="")


def passage_of_block(passages: Sequence[Passage]) -> tuple[int, ...]:
    """For each block of `page_from_passages(passages, ...)` the index of the passage it came from."""
    return tuple(index for index, _ in _pieces(passages))


def example(
    identity: str,
    question: str,
    page: Page,
    gold: Sequence[int],
    source: str,
    *,
    answers: Sequence[str] = (),
    spans: tuple[Span, ...] | None = None,
) -> ExtractionExample:
    """An example whose page is cut here where no `spans` are given; relevant if there is any gold."""
    numbers = tuple(sorted(set(gold)))
    cut = split_spans(page) if spans is None else spans
    return ExtractionExample(identity, question, page, cut, numbers, bool(numbers), source, tuple(answers))


def _pieces(passages: Sequence[Passage]) -> Iterator[tuple[int, Piece]]:
    for index, passage in enumerate(passages):
        parts = ((BlockKind.HEADING, passage.title, TITLE_LEVEL), (BlockKind.PARAGRAPH, passage.text, 0))
        for kind, text, level in parts:
            if text.strip():
                yield index, Piece(kind, text.strip(), level)
