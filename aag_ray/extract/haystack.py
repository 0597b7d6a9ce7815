"""Haystacks: pages of a wanted length, and sentences hidden in them at wanted depths with exact span numbers.

Depth is the share of the page's characters, before anything is hidden, that stand above a sentence: 0 is the top, 1 the end.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from aag_ray.config import PagesSection
from aag_ray.extract.examples import ExtractionExample, example
from aag_ray.extract.needles import Needle
from aag_ray.extract.tokens import CountTokens
from aag_ray.pages.page import BLOCK_GAP, BlockKind, Metadata, Page, Piece, assemble
from aag_ray.pages.plain import read_text
from aag_ray.pages.spans import Span, split_spans

SOURCE = "needle"
Between = Literal["spans", "blocks"]
_UNSPACED_STOPS = "。！？…；"  # noqa: RUF001


class Hidden(NamedTuple):
    """A page with sentences in it: its spans, and for each sentence, in the order given, the numbers of its spans."""

    page: Page
    spans: tuple[Span, ...]
    numbers: tuple[tuple[int, ...], ...]


def haystack(texts: Iterable[str], tokens: int, count: CountTokens, url: str = "") -> Page:
    """One page of the paragraphs of `texts`, one after another, as long as `tokens` allow and never longer.

    The last paragraph is cut between spans. Raises ValueError if the texts hold fewer
    than `tokens`, and if not even their first span fits.
    """
    pieces: list[Piece] = []
    left = tokens
    for text in texts:
        page = read_text(text, url).page
        blocks = [Piece(block.kind, page.text_of(block), block.level) for block in page.blocks] if page else []
        for piece, length in zip(blocks, count([piece.text + BLOCK_GAP for piece in blocks]), strict=True):
            if length <= left:
                pieces.append(piece)
                left -= length
                continue
            body = _fitting(piece, left, count)
            built = _page([*pieces, piece._replace(text=body)] if body else pieces, Metadata(), url)
            if built is None:
                raise ValueError(f"not even the first span of the texts fits into {tokens} tokens")
            return built
    raise ValueError(f"the texts hold {tokens - left} tokens, {tokens} are wanted")


def hide(page: Page, sentences: Sequence[str], depths: Sequence[float], between: Between = "spans") -> Hidden:
    """Put each sentence at its depth: between two spans or two blocks, whatever stands nearest. Equal depths keep their order.

    Between blocks a sentence is a paragraph of its own; between spans it joins a paragraph. Headings, rows and code are never
    cut. Where the splitter would not keep a sentence apart from its neighbours, the next place is taken. Raises ValueError
    for a depth outside 0..1, and if there are not as many depths as sentences, or a sentence is blank.
    """
    if len(sentences) != len(depths) or not all(0 <= depth <= 1 for depth in depths):
        raise ValueError(f"{len(sentences)} sentences need as many depths from 0 to 1, got {list(depths)}")
    if not all(sentence.strip() for sentence in sentences):
        raise ValueError("a blank sentence cannot be hidden")
    texts = [sentence.strip() for sentence in sentences]
    slots = _slots(page, between)
    places = [min(range(len(slots)), key=lambda at: abs(slots[at].offset - depth * len(page.text))) for depth in depths]
    while True:
        hidden, starts = _inserted(page, texts, [slots[place] for place in places])
        spans = split_spans(hidden)
        found = [_exactly(spans, start, start + len(text)) for start, text in zip(starts, texts, strict=True)]
        if all(found):
            return Hidden(hidden, spans, tuple(found))
        # The places before and after a block always work, and the end is one of them.
        places = [place if numbers else place + 1 for place, numbers in zip(places, found, strict=True)]


def hide_needle(
    needle: Needle,
    page: Page,
    depths: Sequence[float],
    *,
    identity: str,
    decoys: int = 0,
    seed: int = 0,
    between: Between = "spans",
) -> ExtractionExample:
    """An example: the needle's sentences in the page at `depths`, and up to `decoys` of its decoys anywhere.

    With no depths at all the needle stays out, and nothing on the page is relevant.
    """
    draw = random.Random(f"decoys:{seed}:{identity}")
    wrong = needle.decoys[:decoys]
    sentences = needle.sentences if depths else ()
    hidden = hide(page, [*sentences, *wrong], [*depths, *(draw.random() for _ in wrong)], between)
    gold = [number for numbers in hidden.numbers[: len(sentences)] for number in numbers]
    language = hidden.page.language or needle.language
    made = dataclasses.replace(hidden.page, language=language)
    answers = needle.answers if depths else ()
    return example(identity, needle.question, made, gold, SOURCE, answers=answers, spans=hidden.spans)


def spread(first: float, count: int) -> list[float]:
    """Depths of `count` sentences, the first at `first`, the others evenly from there to the end (ZI-ISAG, needle_utils.py)."""
    return [first + (1 - first) * at / count for at in range(count)]


class _Slot(NamedTuple):
    """A place: before block `block`, or inside it `inside` characters from its start."""

    offset: int
    block: int
    inside: int


def _slots(page: Page, between: Between) -> list[_Slot]:
    slots = [_Slot(block.start, index, 0) for index, block in enumerate(page.blocks)]
    if between == "spans":
        for before, span in pairwise(split_spans(page)):
            block = page.blocks[span.block]
            if before.block == span.block and block.kind in (BlockKind.PARAGRAPH, BlockKind.LIST_ITEM):
                slots.append(_Slot(span.start, span.block, span.start - block.start))
    return [*sorted(slots), _Slot(len(page.text), len(page.blocks), 0)]


def _inserted(page: Page, texts: Sequence[str], slots: Sequence[_Slot]) -> tuple[Page, list[int]]:
    """The page with the texts in it, and the offset of each of them."""
    pieces: list[Piece] = []
    places: dict[int, tuple[int, int]] = {}
    for index in range(len(page.blocks) + 1):
        here = sorted((slot.inside, at) for at, slot in enumerate(slots) if slot.block == index)
        for inside, at in here:
            if inside == 0:
                places[at] = (len(pieces), 0)
                pieces.append(Piece(BlockKind.PARAGRAPH, texts[at]))
        if index == len(page.blocks):
            break
        block = page.blocks[index]
        body, done = "", 0
        for inside, at in here:
            if inside:
                body += page.text[block.start + done : block.start + inside]
                body += "" if body[-1:].isspace() or body[-1:] in _UNSPACED_STOPS else " "
                places[at] = (len(pieces), len(body))
                body += texts[at] + ("" if texts[at][-1] in _UNSPACED_STOPS else " ")
                done = inside
        pieces.append(Piece(block.kind, body + page.text[block.start + done : block.end], block.level))
    metadata = Metadata(page.title, page.date, page.language, page.canonical_url)
    built = _page(pieces, metadata, page.url)
    if built is None:
        raise ValueError(f"{page.url or 'the page'} and {len(texts)} sentences are no page: nothing, or too long")
    built = dataclasses.replace(built, title=page.title)
    return built, [built.blocks[piece].start + offset for piece, offset in (places[at] for at in range(len(texts)))]


def _exactly(spans: Sequence[Span], start: int, end: int) -> tuple[int, ...]:
    """Numbers of the spans that make up [start, end) with nothing beyond it, or nothing."""
    inside = [span for span in spans if span.end > start and span.start < end]
    whole = bool(inside) and inside[0].start == start and inside[-1].end == end
    return tuple(span.number for span in inside) if whole else ()


def _fitting(piece: Piece, tokens: int, count: CountTokens) -> str:
    """The first spans of a block that are together not longer than `tokens`."""
    page = _page([piece], Metadata(), "")
    starts = [page.text[: span.end] for span in split_spans(page)] if page else []
    return max((text for text, length in zip(starts, count(starts), strict=True) if length <= tokens), key=len, default="")


def _page(pieces: Sequence[Piece], metadata: Metadata, url: str) -> Page | None:
    return assemble(pieces, url, metadata, PagesSection().max_text_characters).page
