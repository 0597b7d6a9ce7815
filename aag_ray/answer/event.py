"""What happens while an answer is made, in the order in which a client hears of it.

    Understood · Sources (found) · Sources (read) · Remembered · Text … · Cited · Known · Done

Only Text repeats, GivenUp may stand anywhere, and Failed ends everything at any place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aag_ray.answer.allowance import GivenUp
from aag_ray.answer.citations import Checked
from aag_ray.answer.parsed import ParsedRequest
from aag_ray.answer.provenance import MemoryOutcome, Origin, WebOutcome
from aag_ray.answer.source import Source


@dataclass(frozen=True, slots=True)
class Understood:
    """What the parser made of the request."""

    parsed: ParsedRequest


@dataclass(frozen=True, slots=True)
class Sources:
    """The pages that were found; once more, with what came of each and how the way ended, when `read` is set. Empty where the
    web was not asked."""

    sources: tuple[Source, ...] = ()
    read: bool = False
    outcome: WebOutcome = WebOutcome.NOT_ASKED


@dataclass(frozen=True, slots=True)
class Remembered:
    """What memory gave: the dummy document and facts of the adapter. `answer` is memory's own, where one was made apart."""

    outcome: MemoryOutcome
    document: str = ""
    adapter: Mapping[str, Any] = field(default_factory=dict)
    answer: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Cited:
    """The checked citations of the whole text."""

    checked: Checked


@dataclass(frozen=True, slots=True)
class Known:
    """Where the answer comes from."""

    origin: Origin


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that models read and wrote for this request; `evidence` of them are the pages' that the extractor kept."""

    prompt: int = 0
    completion: int = 0
    evidence: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a whole answer. `seconds` by stage; stages overlap. `cut` if the text ends where a budget did."""

    usage: Usage = Usage()
    seconds: Mapping[str, float] = field(default_factory=dict)
    cut: bool = False
    links_removed: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """The end without a whole answer. With `retry_after`, in seconds, the request may be sent again."""

    code: str
    message: str
    retry_after: float | None = None


AnswerEvent = Understood | Sources | Remembered | Text | Cited | Known | GivenUp | Done | Failed
