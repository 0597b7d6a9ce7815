"""Extracted information with its tags: what prompt A asks for, read from a teacher's text and written as a training target.

out  := "#Extracted Information#:" ( "None" | NEWLINE line (NEWLINE line)* )
line := INT ". " information " [" item (", " item)* "]"          items as in `aag_ray.pages.tag_output`
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from aag_ray.extract.prompts import INFO_HEADER
from aag_ray.pages.tag_output import HEADER, Ignored, OutputOutcome, parse_tolerant
from aag_ray.pages.tags import escape, unescape

_LINE = re.compile(r"\s*(?:[0-9]{1,4}\s*[.)、:]|[-*•])\s*")
_BRACKET = re.compile(r"[\[(（]?\s*<\s*/?\s*T(?:AG)?\s*-[^\]\n]*(?:[\])）]|$)", re.IGNORECASE)  # noqa: RUF001
_NONE = re.compile(r"\s*[\[\"'(]*none[\])\"'.]*\s*", re.IGNORECASE)


class Item(NamedTuple):
    """A piece of information and the numbers of the spans it comes from, sorted."""

    information: str
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InfoOutput:
    """TAGS with items, NONE if the text says so and nothing else, otherwise UNREADABLE with the reason in `detail`.

    `ignored` counts by kind what could not be used: tags off the page, and lines that name no tag (`other_text`).
    """

    outcome: OutputOutcome
    items: tuple[Item, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    detail: str = ""


def parse_info(output: str, first: int, last: int) -> InfoOutput:
    """Read what a teacher wrote about spans `first` to `last`. Nothing raises; information without a usable tag is dropped."""
    body = output.partition(INFO_HEADER)[2] if INFO_HEADER in output else output
    if _NONE.fullmatch(body):
        return InfoOutput(OutputOutcome.NONE)
    items: list[Item] = []
    ignored: Counter[str] = Counter()
    for line in filter(str.strip, body.splitlines()):
        read = parse_tolerant(line, last)
        ignored.update({kind.value: count for kind, count in read.ignored.items() if kind is not Ignored.OTHER_TEXT})
        numbers = tuple(number for number in read.numbers if number >= first)
        ignored[Ignored.OUTSIDE_PAGE.value] += len(read.numbers) - len(numbers)
        information = _LINE.sub("", _BRACKET.sub(" ", line), count=1).strip(" ,;")
        if numbers and information:
            items.append(Item(" ".join(unescape(information).split()), numbers))
        else:
            ignored[Ignored.OTHER_TEXT.value] += 1
    counted = {kind: count for kind, count in ignored.items() if count}
    if items:
        return InfoOutput(OutputOutcome.TAGS, tuple(items), counted)
    return InfoOutput(
        OutputOutcome.UNREADABLE, (), counted, f"no line with a tag of {first} to {last} in {body.strip()[:80]!r}"
    )


def write_info(items: Sequence[Item]) -> str:
    """The answer to prompt A."""
    if not items:
        return f"{INFO_HEADER}None"
    lines = [f"{place}. {escape(item.information)} [{write_numbers(item.numbers)}]" for place, item in enumerate(items, 1)]
    return "\n".join([INFO_HEADER, *lines])


def write_tags(groups: Iterable[Sequence[int]]) -> str:
    """The answer to prompt B, one bracket for each group, in the grammar of `tag_output`."""
    written = ", ".join(f"[{write_numbers(group)}]" for group in groups)
    return f"{HEADER}[{written}]" if written else f"{HEADER}None"


def write_numbers(numbers: Iterable[int]) -> str:
    """`<T-2>, <T-4>~<T-6>`: neighbours as a range, first to last."""
    runs = groupby(enumerate(sorted(set(numbers))), key=lambda pair: pair[1] - pair[0])
    ends = [(run[0][1], run[-1][1]) for run in (list(group) for _, group in runs)]
    return ", ".join(f"<T-{low}>" if low == high else f"<T-{low}>~<T-{high}>" for low, high in ends)
