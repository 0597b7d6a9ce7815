"""A page of the web on its way to evidence, numbered as the reader and the citations name it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from aag_ray.pages.page import Page


class SourceState(StrEnum):
    """How far a source came. Only EVIDENCE is shown to the reader; PASSED_OVER had some, but others' was better or said it."""

    FOUND = "found"
    NOT_FETCHED = "not_fetched"
    NOT_READ = "not_read"
    RANKED_OUT = "ranked_out"
    NOTHING_RELEVANT = "nothing_relevant"
    PASSED_OVER = "passed_over"
    EVIDENCE = "evidence"


@dataclass(frozen=True, slots=True)
class Source:
    """One page. `number` counts from 1 in the order of ranking, and stays. `detail` says why it came no further.

    `fetched_at` is in seconds since 1970; `record` names the archived record, "" where none was written.
    """

    number: int
    url: str
    title: str
    snippet: str = ""
    state: SourceState = SourceState.FOUND
    detail: str = ""
    spans: int = 0
    fetched_at: float = 0.0
    record: str = ""

    def to_row(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ReadPage:
    """The cleaned page of a source: what evidence of it points into."""

    source: Source
    page: Page
