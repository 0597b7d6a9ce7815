"""The search endpoint as SearXNG answers it: query parameters in, JSON (or a plain page of links) out.

Of SearXNG's API: `q` (with `site:` and `-site:`), `format`, `pageno`, `language`, `time_range`; others are accepted and change
nothing. Of this project: `bias=spam` puts pages with wrong answers first, `bias=none` undoes what the server was told.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import urlsplit

from aag_ray.world.index import Hit, PageIndex, Query
from aag_ray.world.site import SiteSection, Style
from aag_ray.world.site_markup import Origin

PER_PAGE = 10
PROMOTED = 3
ENGINE = "world"
DAYS = {"day": 1, "week": 7, "month": 31, "year": 366}
_SITE = re.compile(r"(?<!\S)(-?)site:(\S+)")


class BadSearch(ValueError):
    """A parameter that cannot be used; the message names it."""


def search(index: PageIndex, section: SiteSection, asked: Mapping[str, str], origin: Origin) -> dict[str, Any]:
    """One page of results in SearXNG's form. Raises BadSearch."""
    text = asked.get("q", "").strip()
    if not text:
        raise BadSearch("No query")
    page = asked.get("pageno") or "1"
    if not page.isascii() or not page.isdecimal() or not 1 <= int(page) <= 1000:
        raise BadSearch("Invalid value for parameter pageno")
    bias = asked.get("bias") or section.bias
    if bias not in ("none", "spam"):
        raise BadSearch("Invalid value for parameter bias: none and spam are allowed")
    query = _query(section, text, asked, index)
    offset = (int(page) - 1) * PER_PAGE
    if query is None:
        hits, count = [], 0
    elif bias == "spam":
        hits, count = _promoted(index, query, offset)
    else:
        hits, count = index.search(query, PER_PAGE, offset)
    return {
        "query": text, "number_of_results": count,
        "results": [_result(index, hit, offset + at + 1, origin) for at, hit in enumerate(hits)],
        "answers": [], "corrections": [], "infoboxes": [], "suggestions": [], "unresponsive_engines": [],
    }  # fmt: skip


def as_html(found: Mapping[str, Any]) -> str:
    """The results as a page for people."""
    rows = "".join(
        f'<article class="result"><h3><a href="{escape(row["url"])}">{escape(row["title"])}</a></h3>'
        f"<p>{escape(row['content'])}</p></article>\n"
        for row in found["results"]
    )
    return f"<!DOCTYPE html>\n<title>{escape(found['query'])}</title>\n<main>\n{rows}</main>\n"


def _promoted(index: PageIndex, query: Query, offset: int) -> tuple[list[Hit], int]:
    """The best spam pages in front of what the engine finds; each page stands once."""
    spam = Query(query.text, query.language, query.since, query.hosts, query.refused, Style.SPAM)
    first, _ = index.search(spam, PROMOTED)
    others, count = index.search(query, offset + PER_PAGE + PROMOTED)
    pages = {hit.page for hit in first}
    return [*first, *(hit for hit in others if hit.page not in pages)][offset : offset + PER_PAGE], count


def _query(section: SiteSection, text: str, asked: Mapping[str, str], index: PageIndex) -> Query | None:
    """None if the filters leave no host."""
    language = asked.get("language", "").lower().replace("_", "-").partition("-")[0]
    days = asked.get("time_range", "")
    if days and days not in DAYS:
        raise BadSearch(f"Invalid value for parameter time_range: {', '.join(DAYS)} are allowed")
    since = (section.today - datetime.timedelta(days=DAYS[days])).toordinal() if days else 0
    wanted, refused = set[str](), set[str]()
    named = _SITE.findall(text)
    for sign, name in named:
        hosts = {host.name for host in index.site.hosts if _is_below(name.lower(), host.name) or name == host.address}
        (refused if sign else wanted).update(hosts)
    if not wanted and any(not sign for sign, _ in named):
        return None
    chosen = "" if language in ("all", "auto") else language
    return Query(_SITE.sub(" ", text), chosen, since, tuple(sorted(wanted)), tuple(sorted(refused)))


def _is_below(name: str, host: str) -> bool:
    return host == name or host.endswith(f".{name}")


def _result(index: PageIndex, hit: Hit, position: int, origin: Origin) -> dict[str, Any]:
    url = origin(hit.page.host) + index.site.path(hit.page)
    return {
        "url": url, "title": hit.title, "content": hit.snippet, "engine": ENGINE, "engines": [ENGINE],
        "parsed_url": [*urlsplit(url), ""], "template": "default.html", "category": "general",
        "publishedDate": f"{index.site.day(hit.page).isoformat()}T00:00:00", "positions": [position],
        "score": round(hit.score, 4), "thumbnail": "", "priority": "",
    }  # fmt: skip
