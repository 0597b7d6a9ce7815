"""A whole answer, gathered from its events."""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import asdict, dataclass, field
from typing import Any

from aag_ray.answer.allowance import GivenUp
from aag_ray.answer.citations import Checked
from aag_ray.answer.event import AnswerEvent, Cited, Done, Failed, Known, Remembered, Sources, Text, Understood
from aag_ray.answer.parsed import ParsedRequest
from aag_ray.answer.provenance import Origin
from aag_ray.answer.source import Source


@dataclass(slots=True)
class Answer:
    """What has been heard of an answer so far: `take` every event. `failed` is set if it did not come to its end."""

    text: str = ""
    parsed: ParsedRequest | None = None
    sources: tuple[Source, ...] = ()
    remembered: Remembered | None = None
    checked: Checked = field(default_factory=Checked)
    origin: Origin | None = None
    given_up: list[GivenUp] = field(default_factory=list)
    done: Done = field(default_factory=Done)
    failed: Failed | None = None

    def take(self, event: AnswerEvent) -> None:
        match event:
            case Understood(parsed):
                self.parsed = parsed
            case Sources(sources):
                self.sources = sources
            case Remembered():
                self.remembered = event
            case Text(text):
                self.text += text
            case Cited(checked):
                self.checked = checked
            case Known(origin):
                self.origin = origin
            case GivenUp():
                self.given_up.append(event)
            case Done():
                self.done = event
            case Failed():
                self.failed = event

    def to_row(self) -> dict[str, Any]:
        """All but the text, as JSON."""
        return {
            "provenance": self.origin.to_row() if self.origin else None,
            "parsed": self.parsed.to_row() if self.parsed else None,
            "sources": [each.to_row() for each in self.sources],
            "memory": remembered_row(self.remembered) if self.remembered else None,
            **self.checked.to_row(),
            "given_up": [asdict(each) for each in self.given_up],
            "seconds": dict(self.done.seconds),
            "links_removed": self.done.links_removed,
        }


async def gathered(events: AsyncIterable[AnswerEvent]) -> Answer:
    """Wait for the end of an answer."""
    answer = Answer()
    async for event in events:
        answer.take(event)
    return answer


def remembered_row(remembered: Remembered) -> dict[str, Any]:
    return asdict(remembered) | {"outcome": remembered.outcome.value, "adapter": dict(remembered.adapter)}
