"""From what was fetched to a page that can be ranked, extracted from and cited."""

from __future__ import annotations

from datetime import date

from aag_ray.config import PagesSection
from aag_ray.extract.evidence import TaggedPage
from aag_ray.pages.blocks import read_page
from aag_ray.pages.page import Page
from aag_ray.pages.plain import read_text
from aag_ray.pages.spans import split_spans
from aag_ray.web.encoding import decode_page
from aag_ray.web.fetched import Fetched
from aag_ray.web.rank.ranked import PageText
from aag_ray.web.search.answer import SearchResult


def cleaned(fetched: Fetched, section: PagesSection) -> tuple[TaggedPage | None, str]:
    """The page of a fetch that ended OK, named by its final URL, with its spans; or None and why. Takes processor time."""
    text = decode_page(fetched.body, fetched.content_type).text
    is_markup = text.lstrip()[:1] == "<"
    result = (read_page if is_markup else read_text)(text, fetched.final_url, section)
    if result.page is None:
        return None, f"{result.outcome}: {result.detail}".strip(": ")
    return TaggedPage(result.page, split_spans(result.page, section)), ""


def ranking_text(result: SearchResult, page: Page) -> PageText:
    """What ranking reads of a page. A date that is none counts as not said."""
    try:
        published = date.fromisoformat(page.date)
    except ValueError:
        published = None
    return PageText(result, page.text, page.title, published)
