"""What an extractor wrote, read back as span numbers (grammar: ZI-ISAG, data/utils/prompt_template.py, prompt B).

    out   := "#Extracted Information Tag#:" SP? ( "None" | "[" group ("," SP? group)* "]" )
    group := "[" item ("," SP? item)* "]"
    item  := "<T-" INT ">" | "<T-" INT ">" SP? "~" SP? "<T-" INT ">"

`parse_strict` takes nothing else. `parse_tolerant` reads what any model writes, keeps what is on the page and counts what it
had to ignore. Numbers are never expanded beyond the page, however long a range claims to be.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

HEADER = "#Extracted Information Tag#:"
MAX_RANGE = 200


class OutputOutcome(StrEnum):
    """TAGS names spans, NONE says that nothing on the page matters, UNREADABLE is neither."""

    TAGS = "tags"
    NONE = "none"
    UNREADABLE = "unreadable"


class Ignored(StrEnum):
    """Why a piece of an output was not taken, or not taken whole."""

    OUTSIDE_PAGE = "outside_page"
    CLIPPED_RANGE = "clipped_range"
    LONG_RANGE = "long_range"
    REVERSED_RANGE = "reversed_range"
    CUT_OFF = "cut_off"
    TEMPLATE_ECHO = "template_echo"
    OTHER_TEXT = "other_text"


@dataclass(frozen=True, slots=True)
class TagOutput:
    """Span numbers by group, in the order written. `ignored` counts pieces by kind; `detail` says why it is unreadable."""

    outcome: OutputOutcome
    groups: tuple[tuple[int, ...], ...] = ()
    ignored: Mapping[Ignored, int] = field(default_factory=dict)
    detail: str = ""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Every number once, in page order."""
        return tuple(sorted({number for group in self.groups for number in group}))


_ITEM = r"<T-[0-9]{1,9}>(?: ?~ ?<T-[0-9]{1,9}>)?"
_GROUP = rf"\[{_ITEM}(?:, ?{_ITEM})*\]"
_STRICT = re.compile(rf"{re.escape(HEADER)} ?(?:None|\[{_GROUP}(?:, ?{_GROUP})*\])")
_STRICT_ITEM = re.compile(r"<T-([0-9]+)>(?: ?~ ?<T-([0-9]+)>)?|\]")
_TAG = r"/?\s*T(?:AG)?\s*-\s*{}\s*"
_NUMBER = _TAG.format("([0-9]+)")
_RANGE_SIGN = r"\s*(?:~|～|-|–|—|to|bis|至)\s*"  # noqa: RUF001
_TOLERANT = re.compile(
    rf"<\s*{_NUMBER}>(?:{_RANGE_SIGN}<\s*{_NUMBER}>)?(?P<open>{_RANGE_SIGN}<[^<>]*\Z)?"
    rf"|(?P<echo><\s*{_TAG.format('[ijkn0-9+.…]+')}>)|(?P<cut><\s*/?\s*T?[^<>]*\Z)|(?P<close>\])",
    re.IGNORECASE,
)
_BRACKETED = re.compile(rf"\[\s*{_NUMBER}\](?:{_RANGE_SIGN}\[\s*{_NUMBER}\])?", re.IGNORECASE)
_NONE = re.compile(r"(?:#[^#\n]{0,60}#\s*:?)?\s*[\[\"'(]*\s*none\s*[\])\"'.]*", re.IGNORECASE)
_WORDING = re.compile(r"[^\W_]+")
_CHAT_END = re.compile(r"<\|[a-z_]+\|>|</s>", re.IGNORECASE)


def parse_strict(output: str, spans: int) -> TagOutput:
    """Read an output that keeps to the grammar, white space around it aside, for a page with `spans` spans.

    A number that is not on the page, a range that runs backwards or one above MAX_RANGE makes it UNREADABLE.
    """
    text = output.strip()
    if not _STRICT.fullmatch(text):
        return TagOutput(OutputOutcome.UNREADABLE, detail=f"not in the grammar: {text[:80]!r}")
    body = text.removeprefix(HEADER)
    if body.strip() == "None":
        return TagOutput(OutputOutcome.NONE)
    reading = _Reading(spans)
    for match in _STRICT_ITEM.finditer(body):
        reading.take(match[1], match[2]) if match[1] else reading.close_group()
    if reading.ignored:
        kinds = ", ".join(sorted(reading.ignored))
        return TagOutput(OutputOutcome.UNREADABLE, (), reading.ignored, f"{kinds} on a page of {spans} spans")
    return TagOutput(OutputOutcome.TAGS, tuple(reading.groups))


def parse_tolerant(output: str, spans: int) -> TagOutput:
    """Read whatever a model wrote for a page with `spans` spans; nothing raises.

    Ranges are clipped to the page and to MAX_RANGE spans; of a range that runs backwards only the two ends are taken, which
    were named. `[T-3]` counts only where no `<T-3>` stands. Without any usable tag the output is NONE if it says so and
    nothing else, otherwise UNREADABLE.
    """
    text = _CHAT_END.sub(" ", output)
    body = text.partition(HEADER)[2] if HEADER in text else text
    reading = _Reading(spans)
    rest: list[str] = []
    position = 0
    for match in _TOLERANT.finditer(body):
        rest.append(body[position : match.start()])
        position = match.end()
        if match[1]:
            reading.take(match[1], match[2])
            reading.ignored[Ignored.CUT_OFF] += match["open"] is not None
        elif match["close"]:
            reading.close_group()
        else:
            reading.ignored[Ignored.TEMPLATE_ECHO if match["echo"] else Ignored.CUT_OFF] += 1
    rest.append(body[position:])
    reading.close_group()
    if not reading.named:
        for match in _BRACKETED.finditer(body):
            reading.take(match[1], match[2])
            reading.close_group()
        rest = [_BRACKETED.sub(" ", body)] if reading.named else rest
    none = not reading.named and _NONE.fullmatch(text.strip()) is not None
    reading.ignored[Ignored.OTHER_TEXT] += sum(map(bool, map(_WORDING.search, rest))) if not none else 0
    ignored = {kind: count for kind, count in reading.ignored.items() if count}
    if reading.groups:
        return TagOutput(OutputOutcome.TAGS, tuple(reading.groups), ignored)
    if none:
        return TagOutput(OutputOutcome.NONE, (), ignored)
    return TagOutput(OutputOutcome.UNREADABLE, (), ignored, f"no tag of a page of {spans} spans in {text.strip()[:80]!r}")


class _Reading:
    """Groups as they are read. `named` is whether any tag was written, on the page or not."""

    def __init__(self, spans: int) -> None:
        self.spans = spans
        self.named = False
        self.groups: list[tuple[int, ...]] = []
        self.ignored: Counter[Ignored] = Counter()
        self._open: dict[int, None] = {}

    def take(self, first: str, last: str | None) -> None:
        self.named = True
        low = self._bounded(first)
        high = low if last is None else self._bounded(last)
        if high < low:
            self.ignored[Ignored.REVERSED_RANGE] += 1
            ends = [number for number in (high, low) if 1 <= number <= self.spans]
            self._open.update(dict.fromkeys(ends))
            return
        inside = range(max(low, 1), min(high, self.spans) + 1)
        if not inside:
            self.ignored[Ignored.OUTSIDE_PAGE] += 1
        elif len(inside) < high - low + 1:
            self.ignored[Ignored.CLIPPED_RANGE] += 1
        if len(inside) > MAX_RANGE:
            self.ignored[Ignored.LONG_RANGE] += 1
        self._open.update(dict.fromkeys(inside[:MAX_RANGE]))

    def close_group(self) -> None:
        if self._open:
            self.groups.append(tuple(self._open))
        self._open = {}

    def _bounded(self, digits: str) -> int:
        """The number; one with more digits than any page has spans is just beyond the page."""
        return int(digits) if len(digits) <= 12 else self.spans + 1
