"""trafilatura as the cleaner: its choice of main text, in this project's blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aag_ray.pages.characters import folded, folded_lines
from aag_ray.pages.metadata import day
from aag_ray.pages.page import BlockKind, Metadata, PageOutcome, PageResult, Piece, assemble
from aag_ray.pages.tables import Table

_KINDS = {"p": BlockKind.PARAGRAPH, "quote": BlockKind.PARAGRAPH, "item": BlockKind.LIST_ITEM, "code": BlockKind.CODE}


def read_with_trafilatura(html: str, url: str, longest: int) -> PageResult:
    """Clean a page with trafilatura's standard extraction, comments left out. `html` has passed `check_markup`."""
    from trafilatura import bare_extraction

    document: Any = bare_extraction(html, url=url or None, include_comments=False, with_metadata=True)
    if document is None or document.body is None:
        return PageResult(PageOutcome.EMPTY, f"trafilatura finds no main text in {url or 'the page'}")
    said = Metadata(
        title=folded(document.title or ""),
        date=day(document.date or ""),
        language=document.language or "",
        canonical_url=document.url if document.url and document.url != url else "",
    )
    return assemble(_pieces(document.body), url, said, longest)


def _pieces(body: Any) -> Iterator[Piece]:
    """Pieces of trafilatura's own XML: head, p, quote, list/item, table/row/cell, code."""
    waiting = list(body)[::-1]
    while waiting:
        element = waiting.pop()
        tag = element.tag
        if tag == "table":
            yield from _rows(element)
        elif tag == "head":
            rend = element.get("rend") or ""
            level = int(rend[1]) if rend[:1] == "h" and rend[1:] in set("123456") else 2
            yield Piece(BlockKind.HEADING, folded(_text(element)), level)
        elif tag in ("list", "quote", "div") and any(child.tag in ("item", "p", "list", "head", "table") for child in element):
            if element.text and element.text.strip():
                yield Piece(BlockKind.PARAGRAPH, folded(element.text))
            waiting.extend(reversed(element))
        elif isinstance(tag, str):
            kind = _KINDS.get(tag, BlockKind.PARAGRAPH)
            text = folded_lines(_text(element)) if kind is BlockKind.CODE else folded(_text(element))
            yield Piece(kind, text, 1 if kind is BlockKind.LIST_ITEM else 0)
        if element.tail and element.tail.strip():
            yield Piece(BlockKind.PARAGRAPH, folded(element.tail))


def _rows(element: Any) -> Iterator[Piece]:
    table = Table()
    for row in element.iter("row"):
        for cell in row.iter("cell"):
            table.add_cell(folded(_text(cell)), header=cell.get("role") == "head")
        yield Piece(BlockKind.TABLE_ROW, table.end_row())
    yield Piece(BlockKind.TABLE_ROW, table.end())


def _text(element: Any) -> str:
    """Text of an element; its line breaks become spaces."""
    return " ".join(text for part in element.iter() for text in _own(part, element) if text)


def _own(part: Any, root: Any) -> tuple[str | None, ...]:
    return (part.text,) if part is root else (part.text, part.tail)
