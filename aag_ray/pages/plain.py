"""Plain text to a page: paragraphs, list items and code told apart by blank lines and the starts of lines."""

from __future__ import annotations

import re
from itertools import pairwise

from aag_ray.config import PagesSection
from aag_ray.pages.characters import folded, folded_lines
from aag_ray.pages.page import BlockKind, Metadata, PageOutcome, PageResult, Piece, assemble

_BULLET = re.compile(r"\s*(?:[-*+•‣◦▪–]|\d{1,3}[.)])\s+(?=\S)")  # noqa: RUF001
_INDENTED = re.compile(r"(?: {4}|\t)\s*\S")
_WRAPPED_FROM = 50


def read_text(text: str, url: str = "", config: PagesSection | None = None) -> PageResult:
    """Make a page of plain text. Its title, date and language are not known and stay "".

    An empty line ends a paragraph. Lines that an author wrapped are joined; shorter lines, as in verse or addresses, stay
    lines of one paragraph.
    """
    config = config or PagesSection()
    if len(text) > config.max_characters:
        detail = f"{url or 'the text'}: {len(text)} characters, allowed are {config.max_characters}"
        return PageResult(PageOutcome.TOO_LARGE, detail)
    pieces: list[Piece] = []
    group: list[str] = []
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            pieces += _paragraph(group)
            group = []
        elif _BULLET.match(line):
            pieces += _paragraph(group)
            group = [line]
        else:
            group.append(line)
    return assemble(pieces, url, Metadata(), config.max_text_characters)


def _paragraph(lines: list[str]) -> list[Piece]:
    if not lines:
        return []
    if _BULLET.match(lines[0]):
        return [Piece(BlockKind.LIST_ITEM, folded(" ".join(lines)), 1)]
    if all(map(_INDENTED.match, lines)):
        return [Piece(BlockKind.CODE, folded_lines("\n".join(lines)))]
    joined = folded(lines[0])
    for before, line in pairwise(lines):
        joined += (" " if len(before.rstrip()) >= _WRAPPED_FROM else "\n") + folded(line)
    return [Piece(BlockKind.PARAGRAPH, joined.strip())]
