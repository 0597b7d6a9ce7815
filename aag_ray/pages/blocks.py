"""HTML to a page of blocks: parse, drop what nobody sees or nobody wrote for this page, keep the rest with its place."""

from __future__ import annotations

from typing import Any

from aag_ray.config import PagesSection
from aag_ray.pages.boilerplate import own_text
from aag_ray.pages.limits import TooMuch, check_markup
from aag_ray.pages.metadata import read_metadata
from aag_ray.pages.page import PageOutcome, PageResult, Piece, assemble
from aag_ray.pages.tree import TreeReader


def read_page(html: str, url: str = "", config: PagesSection | None = None) -> PageResult:
    """Clean an HTML page.

    `html` is decoded text; `url` is where it was read, against which a canonical URL is resolved. What a page holds never
    raises: one that is too large, too deep, empty or beyond the parser is a PageOutcome with a detail that names the URL.
    """
    config = config or PagesSection()
    where = url or "the page"
    try:
        check_markup(html, config.max_characters, config.max_nodes, config.max_depth)
        if config.cleaner == "trafilatura":
            from aag_ray.pages.by_trafilatura import read_with_trafilatura

            return read_with_trafilatura(html, url, config.max_text_characters)
        return _read_tree(html, url, config)
    except TooMuch as error:
        return PageResult(error.outcome, f"{where}: {error}")


def _read_tree(html: str, url: str, config: PagesSection) -> PageResult:
    from selectolax.lexbor import LexborDocumentOptions, LexborHTMLParser, SelectolaxError

    try:
        document = LexborHTMLParser(html.encode(errors="replace"), options=LexborDocumentOptions.WO_EVENTS)
    except SelectolaxError as error:
        return PageResult(PageOutcome.FAILED, f"{url or 'the page'} cannot be parsed: {error}")
    metadata = read_metadata(document.root, document.head, html, url)
    pieces = _own_pieces(document.body, config, without_scripts=False)
    if not pieces:  # the text of some pages is there only for readers without scripts
        pieces = _own_pieces(document.body, config, without_scripts=True)
    return assemble(pieces, url, metadata, config.max_text_characters)


def _own_pieces(body: Any, config: PagesSection, *, without_scripts: bool) -> list[Piece]:
    if body is None:
        return []
    for everything in (False, True):
        reader = TreeReader(config.max_nodes, config.max_depth, without_scripts=without_scripts, everything=everything)
        reader.read(body)
        pieces = own_text(reader.drafts, reader.regions, reader.passed_over)
        if pieces is not None:
            return pieces
    return []
