"""From a request and a page to a checked instruction, in three steps (ZI-ISAG, data/construct.py): tag, extract, double check.

Every step takes a row and gives a row; what a teacher did is never lost, whatever became of it. A row that did not get through
a step passes the next ones as it is, so the steps can run over a whole table, again after a break, or one by one. What is
confirmed goes on to `aag_ray.extract.instruction_set`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from aag_ray.extract.check_prompts import missed_prompt, read_verdict, useful_prompt
from aag_ray.extract.examples import ExtractionExample, example
from aag_ray.extract.info_tags import Item, parse_info
from aag_ray.extract.prompts import info_tag_prompt
from aag_ray.extract.teachers import PASSING, Teacher, TeacherOutcome
from aag_ray.pages.page import Page
from aag_ray.pages.spans import Span, split_spans
from aag_ray.pages.tag_output import OutputOutcome
from aag_ray.pages.tags import tagged, windows


class RowOutcome(StrEnum):
    """How far a row got. TAGGED and EXTRACTED wait for the next step, CONFIRMED is an instruction, the others ended there.

    UNREADABLE: the teacher answered in no form that names spans of the page. REFUTED: the double check disagrees.
    """

    TAGGED = "tagged"
    EXTRACTED = "extracted"
    CONFIRMED = "confirmed"
    NO_SPANS = "no_spans"
    TEACHER_FAILED = "teacher_failed"
    UNREADABLE = "unreadable"
    REFUTED = "refuted"
    CHECK_FAILED = "check_failed"
    CHECK_UNREADABLE = "check_unreadable"


@dataclass(frozen=True, slots=True)
class InstructionRow:
    """One request and one window of a page, spans `first` to `last`. Without `items` nothing there is relevant.

    `calls` are the teacher's replies, each with its `step`; `ignored` counts what of its answer could not be used. `split` is
    that of the question it was made from, "" for a page of no split yet. Of a needle `language` is known, and `depth`: the
    share of the page's characters above its first sentence, None where it was left out.
    """

    id: str
    request: str
    page: Page
    spans: tuple[Span, ...]
    first: int
    last: int
    source: str
    outcome: RowOutcome
    items: tuple[Item, ...] = ()
    calls: tuple[Mapping[str, Any], ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    detail: str = ""
    split: str = ""
    language: str = ""
    depth: float | None = None

    @property
    def waits(self) -> bool:
        """Whether there is something to ask a teacher."""
        return self.outcome in (RowOutcome.TAGGED, RowOutcome.EXTRACTED)

    @property
    def tagged(self) -> str:
        """The window as a model sees it: page text in tags, escaped, tagged once."""
        return tagged(self.page, self.spans[self.first - 1 : self.last])

    def to_row(self) -> dict[str, Any]:
        """Plain values for parquet and JSON; the inverse of `from_row`. Columns are the same in every row."""
        return {
            "id": self.id,
            "request": self.request,
            "page": self.page.to_row(),
            "spans": [[span.start, span.end, span.block] for span in self.spans],
            "first": self.first,
            "last": self.last,
            "source": self.source,
            "outcome": self.outcome.value,
            "items": [{"information": item.information, "numbers": list(item.numbers)} for item in self.items],
            "calls": [dict(call) for call in self.calls],
            "ignored": [{"kind": kind, "count": count} for kind, count in sorted(self.ignored.items())],
            "detail": self.detail,
            "split": self.split,
            "language": self.language,
            "depth": self.depth,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> InstructionRow:
        return cls(
            id=row["id"],
            request=row["request"],
            page=Page.from_row(row["page"]),
            spans=tuple(Span(number, *span) for number, span in enumerate(row["spans"], 1)),
            first=row["first"],
            last=row["last"],
            source=row["source"],
            outcome=RowOutcome(row["outcome"]),
            items=tuple(Item(item["information"], tuple(item["numbers"])) for item in row["items"]),
            calls=tuple(row["calls"]),
            ignored={each["kind"]: each["count"] for each in row["ignored"]},
            detail=row["detail"],
            split=row["split"],
            language=row["language"],
            depth=row["depth"],
        )

    def to_example(self) -> ExtractionExample:
        """The window as a page of its own, with the spans of the items as gold. Only a confirmed row is one."""
        spans = self.spans[self.first - 1 : self.last]
        start, end, before = spans[0].start, spans[-1].end, spans[0].block
        inside = self.page.blocks[before : spans[-1].block + 1]
        # A window may begin and end inside a block.
        cut = (b._replace(start=max(b.start, start) - start, end=min(b.end, end) - start) for b in inside)
        page = replace(self.page, text=self.page.text[start:end], blocks=tuple(cut))
        own = (Span(at, span.start - start, span.end - start, span.block - before) for at, span in enumerate(spans, 1))
        gold = [number - self.first + 1 for item in self.items for number in item.numbers]
        return example(self.id, self.request, page, gold, self.source, spans=tuple(own))


def split_and_tag(identity: str, request: str, page: Page, tokens: Callable[[str], int], limit: int) -> list[InstructionRow]:
    """Step 1: the page cut into spans, and into windows of at most `limit` tokens with a row for each.

    A page without a span gives one row that says so. Only a span that is longer than `limit` makes a longer window.
    """
    return _windowed(identity, request, page, split_spans(page), tokens, limit)


async def extract_info(row: InstructionRow, teacher: Teacher) -> InstructionRow:
    """Step 2: ask a teacher for information and tags. Only rows that wait for it are asked about."""
    if row.outcome is not RowOutcome.TAGGED:
        return row
    reply = await teacher.ask(info_tag_prompt(row.tagged, row.request))
    asked = replace(row, source=f"teacher:{teacher.name}", calls=(*row.calls, {"step": "extract", **reply.to_row()}))
    if not reply.ok:
        return replace(asked, outcome=RowOutcome.TEACHER_FAILED, detail=reply.detail)
    read = parse_info(reply.text, row.first, row.last)
    asked = replace(asked, ignored=dict(read.ignored))
    if read.outcome is OutputOutcome.UNREADABLE:
        return replace(asked, outcome=RowOutcome.UNREADABLE, detail=read.detail)
    return replace(asked, outcome=RowOutcome.EXTRACTED, items=read.items)


async def double_check(row: InstructionRow, teacher: Teacher) -> InstructionRow:
    """Step 3: found information must be of use by itself, and where nothing was found nothing may have been missed."""
    if row.outcome is not RowOutcome.EXTRACTED:
        return row
    prompt = useful_prompt(row.items, row.request) if row.items else missed_prompt(row.tagged, row.request)
    reply = await teacher.ask(prompt)
    checked = replace(row, calls=(*row.calls, {"step": "check", **reply.to_row()}))
    if not reply.ok:
        return replace(checked, outcome=RowOutcome.CHECK_FAILED, detail=reply.detail)
    verdict = read_verdict(reply.text)
    if verdict is None:
        return replace(checked, outcome=RowOutcome.CHECK_UNREADABLE, detail=f"no verdict in {reply.text[:80]!r}")
    return replace(checked, outcome=RowOutcome.CONFIRMED if verdict == bool(row.items) else RowOutcome.REFUTED)


def reopened(row: InstructionRow) -> InstructionRow:
    """The row as it was before a call that failed for a reason that passes, or a worker that did; its calls are kept."""
    if row.outcome not in (RowOutcome.TEACHER_FAILED, RowOutcome.CHECK_FAILED):
        return row
    if row.calls and row.calls[-1]["outcome"] not in (*PASSING, TeacherOutcome.OK):
        return row
    before = RowOutcome.TAGGED if row.outcome is RowOutcome.TEACHER_FAILED else RowOutcome.EXTRACTED
    return replace(row, outcome=before, detail="")


def from_example(labelled: ExtractionExample, tokens: Callable[[str], int], limit: int) -> list[InstructionRow]:
    """A labelled example as confirmed rows, one for each window: a gold span is a piece of information in the page's words.

    Gold and needles are known to be right, so there is nothing to ask and nothing to check. A window without gold spans is a
    row without items.
    """
    rows = _windowed(labelled.id, labelled.question, labelled.page, labelled.spans, tokens, limit)
    confirmed = []
    for row in rows:
        gold = [number for number in labelled.gold if row.first <= number <= row.last]
        items = tuple(Item(" ".join(labelled.text_of(number).split()), (number,)) for number in gold)
        outcome = RowOutcome.CONFIRMED if row.outcome is RowOutcome.TAGGED else row.outcome
        confirmed.append(replace(row, source=labelled.source, outcome=outcome, items=items))
    return confirmed


def _windowed(
    identity: str, request: str, page: Page, spans: tuple[Span, ...], tokens: Callable[[str], int], limit: int
) -> list[InstructionRow]:
    if not spans:
        detail = f"{page.url or 'the page'} holds no span"
        return [InstructionRow(identity, request, page, (), 1, 0, "", RowOutcome.NO_SPANS, detail=detail)]
    cut = list(windows(page, spans, tokens, limit=limit))
    names = [identity if len(cut) == 1 else f"{identity}#{window.first}-{window.last}" for window in cut]
    return [
        InstructionRow(name, request, page, spans, window.first, window.last, "", RowOutcome.TAGGED)
        for name, window in zip(names, cut, strict=True)
    ]
