"""Where an answer comes from, or why there is none. Every answer carries one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Provenance(StrEnum):
    """The first four say what the text of the answer rests on; the others why there is nothing to rest on."""

    FROM_MEMORY = "from_memory"
    FROM_PAGES = "from_pages"
    BOTH_AGREE = "both_agree"
    DISAGREE = "disagree"

    SEARCH_FAILED = "search_failed"
    NOTHING_FOUND = "nothing_found"
    NO_PAGE_READ = "no_page_read"
    NOTHING_RELEVANT = "nothing_relevant"
    MEMORY_FAILED = "memory_failed"
    MODEL_FAILED = "model_failed"
    OUT_OF_TIME = "out_of_time"

    @property
    def answered(self) -> bool:
        return self in (Provenance.FROM_MEMORY, Provenance.FROM_PAGES, Provenance.BOTH_AGREE, Provenance.DISAGREE)


class MemoryOutcome(StrEnum):
    """How the way through memory ended."""

    NOT_ASKED = "not_asked"
    ANSWERED = "answered"
    EMPTY = "empty"
    FAILED = "failed"
    OUT_OF_TIME = "out_of_time"


class WebOutcome(StrEnum):
    """How the way through the web ended. Only RELEVANT brings evidence."""

    NOT_ASKED = "not_asked"
    RELEVANT = "relevant"
    SEARCH_FAILED = "search_failed"
    NOTHING_FOUND = "nothing_found"
    NO_PAGE_READ = "no_page_read"
    NOTHING_RELEVANT = "nothing_relevant"
    EXTRACTOR_FAILED = "extractor_failed"
    OUT_OF_TIME = "out_of_time"


_WITHOUT = {
    WebOutcome.SEARCH_FAILED: Provenance.SEARCH_FAILED,
    WebOutcome.NOTHING_FOUND: Provenance.NOTHING_FOUND,
    WebOutcome.NO_PAGE_READ: Provenance.NO_PAGE_READ,
    WebOutcome.NOTHING_RELEVANT: Provenance.NOTHING_RELEVANT,
    WebOutcome.EXTRACTOR_FAILED: Provenance.MODEL_FAILED,
    WebOutcome.OUT_OF_TIME: Provenance.OUT_OF_TIME,
    WebOutcome.RELEVANT: Provenance.MODEL_FAILED,
}
_SAID = {
    WebOutcome.SEARCH_FAILED: "the web search failed",
    WebOutcome.NOTHING_FOUND: "the web search found nothing",
    WebOutcome.NO_PAGE_READ: "no page that was found could be read",
    WebOutcome.NOTHING_RELEVANT: "nothing relevant stands on the pages that were read",
    WebOutcome.EXTRACTOR_FAILED: "the pages could not be examined",
    WebOutcome.OUT_OF_TIME: "the time ran out before the web was read",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """The provenance of one answer and what led to it. `pages` counts the pages whose evidence the reader was shown."""

    provenance: Provenance
    memory: MemoryOutcome = MemoryOutcome.NOT_ASKED
    web: WebOutcome = WebOutcome.NOT_ASKED
    pages: int = 0
    detail: str = ""

    @property
    def told(self) -> str:
        """For people, in one English line."""
        pages = f"{self.pages} page{'' if self.pages == 1 else 's'}"
        failed = _SAID.get(self.web, "")
        return {
            Provenance.FROM_MEMORY: "From memory" + (f"; {failed}" if failed else ""),
            Provenance.FROM_PAGES: f"From {pages}",
            Provenance.BOTH_AGREE: f"Memory and {pages} agree",
            Provenance.DISAGREE: f"From {pages}; memory says something else",
            Provenance.MEMORY_FAILED: "Nothing came from memory" + (f", and {failed}" if failed else ""),
            Provenance.MODEL_FAILED: "The model could not answer",
            Provenance.OUT_OF_TIME: "The time of this request ran out",
        }.get(self.provenance, failed[:1].upper() + failed[1:])

    def to_row(self) -> dict[str, Any]:
        return asdict(self) | {"told": self.told}


def without_answer(memory: MemoryOutcome, web: WebOutcome) -> Provenance:
    """Why there is no answer, from how the two ways ended. The web's reason goes first: it was asked because memory is short.

    A way that led somewhere (ANSWERED, RELEVANT) leaves no answer only if the reader failed.
    """
    if web is not WebOutcome.NOT_ASKED:
        return _WITHOUT[web]
    return {
        MemoryOutcome.ANSWERED: Provenance.MODEL_FAILED,
        MemoryOutcome.OUT_OF_TIME: Provenance.OUT_OF_TIME,
    }.get(memory, Provenance.MEMORY_FAILED)
