"""trafilatura's choice of text in the same kind of page."""

from aag_ray.config import PagesSection
from aag_ray.pages.blocks import read_page
from aag_ray.pages.page import BlockKind, PageOutcome

TRAFILATURA = PagesSection(cleaner="trafilatura")
SENTENCE = "This is a sentence of the main text, which is long enough to be recognised as such by anybody. "
HTML = f"""<html lang=en><head><title>The title</title><meta property="article:published_time" content="2024-05-06"></head>
<body><nav><a href=/>Home</a></nav><article><h1>The title</h1><p>{SENTENCE * 3}</p><h2>Section</h2><p>{SENTENCE * 2}</p>
<ul><li>First item of the list</li><li>Second item of the list</li></ul>
<table><tr><th>Land</th><th>Capital</th></tr><tr><td>France</td><td>Paris</td></tr></table><p>{SENTENCE * 2}</p></article>
<footer>All rights reserved</footer></body></html>"""


def test_the_same_kind_of_page():
    page = read_page(HTML, "https://a.example/", TRAFILATURA).page
    assert page is not None
    assert (page.title, page.date, page.url) == ("The title", "2024-05-06", "https://a.example/")
    kinds = {block.kind for block in page.blocks}
    assert {BlockKind.HEADING, BlockKind.PARAGRAPH, BlockKind.LIST_ITEM, BlockKind.TABLE_ROW} <= kinds
    assert "Land: France; Capital: Paris" in page.text
    assert "All rights" not in page.text
    first_item = next(block for block in page.blocks if page.text_of(block).startswith("First item"))
    assert first_item.heading_path[-1] == "Section"


def test_a_page_without_main_text_is_empty():
    result = read_page("<html><body></body></html>", "https://a.example/", TRAFILATURA)
    assert result.outcome is PageOutcome.EMPTY
    assert "https://a.example/" in result.detail


def test_bombs_are_refused_before_trafilatura_sees_them():
    assert read_page("<div>" * 100_000, "", TRAFILATURA).outcome is PageOutcome.TOO_DEEP
    colspan = "<table><tr><td colspan=9007199254740991>x</td></tr></table>"
    assert read_page(HTML.replace("<ul>", colspan + "<ul>"), "", TRAFILATURA).outcome in PageOutcome
