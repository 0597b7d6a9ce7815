"""Spans as models see them, `<T-1>text</T-1>` (ZI-ISAG, data/utils/util.py), and tags back to the text of the page.

Page text is escaped inside the tagged form only: whatever a page writes can form neither a tag nor the wrappers of a prompt,
and `unescape` gives the page's own characters back. Ids are those of the spans, so they stay global over windows.
"""

# ruff: noqa: RUF001  (signs of many scripts are the subject here)

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import regex

from aag_ray.pages.page import Page
from aag_ray.pages.spans import Span

GAP = "\n\n"
_ENTITIES = {"&": "&amp;", "<": "&lt;", "[": "&lsqb;"}
_CHARACTERS = {entity: character for character, entity in _ENTITIES.items()}
# A tag in any disguise, also one cut by the end of a span; a chat token; a wrapper of the extraction prompt.
_FORGEABLE = regex.compile(
    r"""&(?=amp;|lt;|lsqb;) | [<\[](?=\s*/?\s*(?:[TＴ](?:AG)?\s*(?:\p{Pd}|−|$)|$)) | <(?=\s*/?\s*(?:\||Reference|User))""",
    regex.VERBOSE | regex.IGNORECASE,
)
_ENTITY = regex.compile("&(?:amp|lt|lsqb);")


class Window(NamedTuple):
    """A part of a tagged page that fits a model: spans `first` to `last`, both included, and its length in tokens."""

    text: str
    first: int
    last: int
    tokens: int


def escape(text: str) -> str:
    """`text` without anything that could be read as a tag. The inverse is `unescape`."""
    if "<" not in text and "[" not in text and "&" not in text:
        return text
    return _FORGEABLE.sub(lambda match: _ENTITIES[match[0]], text)


def unescape(text: str) -> str:
    return _ENTITY.sub(lambda match: _CHARACTERS[match[0]], text)


def tagged(page: Page, spans: Sequence[Span]) -> str:
    """Neighbouring spans in tags, and the page's white space between them. Without tags and unescaped it is the page's text."""
    parts: list[str] = []
    position = spans[0].start if spans else 0
    for number, start, end, _ in spans:
        parts.append(f"{page.text[position:start]}<T-{number}>{escape(page.text[start:end])}</T-{number}>")
        position = end
    return "".join(parts)


def windows(
    page: Page, spans: Sequence[Span], tokens: Callable[[str], int], *, limit: int, overlap: int = 0
) -> Iterator[Window]:
    """Cut a tagged page into windows of at most `limit` tokens, as `tokens` counts them.

    Windows start and end between blocks; the last blocks of one, up to `overlap` tokens of them, begin the next one. Only a
    block that is longer than a window is cut, between spans. A single span above the limit is a window of its own whose
    `tokens` says so. Raises ValueError if `overlap` leaves a window less than half of its tokens.
    """
    if limit < 1 or overlap < 0 or 2 * overlap > limit:
        raise ValueError(f"overlap={overlap} must be at least 0 and at most half of limit={limit}, and limit above 0")
    units = list(_units(page, spans, tokens, limit))
    first = 0
    while first < len(units):
        last, length = first, units[first][1]
        while last + 1 < len(units) and length + units[last + 1][1] <= limit:
            last += 1
            length += units[last][1]
        window = _window(page, units[first : last + 1], tokens)
        while window.tokens > limit and last > first:  # joined parts may count more than their sum
            last -= 1
            window = _window(page, units[first : last + 1], tokens)
        yield window
        following = last + 1
        shared = 0
        while following < len(units) and following - 1 > first and shared + units[following - 1][1] <= overlap:
            if shared + units[following - 1][1] + units[last + 1][1] > limit:
                break
            following -= 1
            shared += units[following][1]
        first = following


def text_of(page: Page, spans: Sequence[Span], numbers: Iterable[int], gap: str = GAP) -> str:
    """The page's own text of the spans with these numbers, in page order; `gap` stands where spans are left out.

    `spans` are all spans of the page. Numbers that are not on the page raise KeyError: parsers of `tag_output` clip them.
    """
    chosen = sorted(set(numbers))
    if chosen and (chosen[0] < 1 or chosen[-1] > len(spans)):
        raise KeyError(f"{page.url or 'the page'} has spans 1 to {len(spans)}, not {chosen[0]} to {chosen[-1]}")
    runs = [[number for _, number in run] for _, run in groupby(enumerate(chosen), key=lambda pair: pair[1] - pair[0])]
    return gap.join(page.text[spans[run[0] - 1].start : spans[run[-1] - 1].end] for run in runs)


def _units(page: Page, spans: Sequence[Span], tokens: Callable[[str], int], limit: int) -> Iterator[tuple[list[Span], int]]:
    """Blocks, or the spans of a block that is longer than a window, with their lengths in tokens."""
    for _, group in groupby(spans, key=lambda span: span.block):
        block = list(group)
        length = tokens(tagged(page, block))
        if length <= limit:
            yield block, length
        else:
            yield from (([span], tokens(tagged(page, [span]))) for span in block)


def _window(page: Page, units: Sequence[tuple[list[Span], int]], tokens: Callable[[str], int]) -> Window:
    spans = [span for unit, _ in units for span in unit]
    text = tagged(page, spans)
    return Window(text, spans[0].number, spans[-1].number, tokens(text))
