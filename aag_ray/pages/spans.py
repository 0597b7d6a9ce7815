"""Blocks to spans: sentences with exact offsets, the smallest thing that can be extracted and cited.

The rules follow the splitter of ZI-ISAG (data/utils/util.py: URLs, decimals, ellipses, closing quotes, Chinese and Japanese
stops) where it is right and go beyond it where it is not: line breaks, abbreviations, initials, ordinals, runs of marks,
the stops of all scripts (Unicode's Sentence_Break) and a longest span.
"""

# ruff: noqa: RUF001  (signs of many scripts are the subject here)

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import regex

from aag_ray.config import PagesSection
from aag_ray.pages.abbreviations import ends_with_abbreviation
from aag_ray.pages.page import BlockKind, Page


class Span(NamedTuple):
    """`Page.text[start:end]`, which neither begins nor ends with white space. Numbers count from 1 over the page.

    `block` is the index of its block in `Page.blocks`. Every character of a block that is not white space is in one span.
    """

    number: int
    start: int
    end: int
    block: int


_WHOLE = frozenset((BlockKind.HEADING, BlockKind.TABLE_ROW))
_ASCII_MARKS = frozenset(".!?…․﹒．")
_STOP = regex.compile(
    r"""(?P<marks>[\p{Sentence_Break=STerm}\p{Sentence_Break=ATerm}…]++)
        (?P<closers>(?:[\p{Pe}\p{Pf}"']|\p{Pi}(?=\s|$)|\s[»›](?=\s|$))*+)(?P<space>\s*+)""",
    regex.VERBOSE,
)
# Where a stop may be: quick to find, and every sign of Sentence_Break=STerm or ATerm is one of these. A full stop inside a
# word, a number or an address is none.
_PERHAPS_STOP = re.compile(r"""\.(?![0-9A-Za-z])|[^\w\s.,;:()"'’“”„«»/&%+*–—-]""")
_NEXT_WORD = regex.compile(r"[\p{Ps}\p{Pi}\p{Pf}\"'*_–—-]*+\s*+(?P<word>[\p{L}\p{M}\p{N}]*+)")
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")
_LINE = re.compile(r"\n")
_EMPTY_LINE = regex.compile(r"\n\s*\n")
_SOFT = regex.compile(r"\n|[;:,،؛；：，、﹐。](?!\d)|\s")
_EXTENDS = regex.compile(r"[\p{M}\u200c\u200d\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]")


def split_spans(page: Page, config: PagesSection | None = None) -> tuple[Span, ...]:
    """All spans of a page in order, none longer than `max_span_characters`."""
    longest = (config or PagesSection()).max_span_characters
    text, spans = page.text, []
    for index, block in enumerate(page.blocks):
        for start, end in _sentences(text, block.start, block.end, block.kind, page.language):
            parts = _capped(text, start, end, longest) if end - start > longest else ((start, end),)
            for left, right in parts:
                spans.append(Span(len(spans) + 1, left, right, index))
    return tuple(spans)


def sentences(text: str, language: str = "") -> list[tuple[int, int]]:
    """Offsets of the sentences of one paragraph, without the white space between them. `language` is a BCP 47 tag or ""."""
    return list(_sentences(text, 0, len(text), BlockKind.PARAGRAPH, language))


def _sentences(text: str, start: int, end: int, kind: BlockKind, language: str) -> Iterator[tuple[int, int]]:
    cuts: list[int] = []
    if kind is BlockKind.CODE:
        cuts = [match.end() for match in _EMPTY_LINE.finditer(text, start, end)]
    elif kind not in _WHOLE:
        cuts = [stop.end() for stop in _stops(text, start, end) if _ends(text, stop, start, end, language)]
        if text.find("\n", start, end) >= 0:
            cuts = sorted([*cuts, *(match.end() for match in _LINE.finditer(text, start, end))])
    for left, right in pairwise((start, *cuts, end)):
        while left < right and text[left].isspace():
            left += 1
        while left < right and text[right - 1].isspace():
            right -= 1
        if left < right:
            yield left, right


def _stops(text: str, start: int, end: int) -> Iterator[regex.Match[str]]:
    """Runs of marks with what closes them, but for one at the end of the block."""
    position = start
    for perhaps in _PERHAPS_STOP.finditer(text, start, end):
        if perhaps.start() >= position and (stop := _STOP.match(text, perhaps.start(), end)):
            position = stop.end()
            if position < end:
                yield stop


def _ends(text: str, stop: regex.Match[str], start: int, end: int, language: str) -> bool:
    """Whether a run of marks inside a block ends a sentence."""
    marks, closers, space = stop.groups()
    if not _ASCII_MARKS.issuperset(marks):
        return True
    following = stop.end()
    if not space:
        before = text[stop.start() - 1 : stop.start()]
        return bool(_UNSPACED.match(before) and _UNSPACED.match(text, following)) and marks[-1] != "…"
    word = _NEXT_WORD.match(text, following, end)
    next_word = word["word"] if word else ""
    if next_word[:1].islower() and (closers or marks[-1] in ".…"):
        return False
    if marks != ".":
        return not _STOP.match(text, following, end)
    if not next_word and _STOP.match(text, following, end):
        return False
    return closers != "" or not ends_with_abbreviation(
        text[max(start, stop.start() - 24) : stop.start()], next_word, language, stop.start() - start
    )


def _capped(text: str, start: int, end: int, longest: int) -> Iterator[tuple[int, int]]:
    """Cut what is too long after a line, a clause or a word, and inside a word only where there is nothing else."""
    while end - start > longest:
        limit = start + longest
        cut = 0
        for soft in _SOFT.finditer(text, start + longest // 2, limit):
            if not cut or text[cut - 1] not in "\n;；" or soft[0] in "\n;；":
                cut = soft.end()
        if not cut:
            cut = limit
            while cut > start + longest // 2 and _EXTENDS.match(text, cut):
                cut -= 1
        piece = text[start:cut].rstrip()
        if piece:
            yield start, start + len(piece)
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if start < end:
        yield start, end
