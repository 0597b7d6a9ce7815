"""SearXNG's JSON API (docs.searxng.org, "Search API"), which the embedded search endpoint speaks as well.

An instance must allow the format `json` in its settings; one that does not answers 403.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aag_ray.config import ProviderSection
from aag_ray.web.search.dialect import Call, Dialect, Hit, Reading, listed, number, some, text
from aag_ray.web.search.request import SearchRequest


def ask(request: SearchRequest, size: int, key: str, section: ProviderSection) -> Call:
    parameters = some(
        q=request.query_with_sites,
        format="json",
        language=request.language or "",
        time_range=request.freshness or "",
        pageno=str(request.page),
    )
    return Call("/search", parameters, {"Authorization": f"Bearer {key}"} if key else {})


def read(data: Mapping[str, Any]) -> Reading:
    hits = [
        Hit(
            text(entry, "url"),
            text(entry, "title"),
            text(entry, "content"),
            text(entry, "publishedDate") or text(entry, "pubdate"),
            number(entry, "score"),
        )
        for entry in listed(data, "results")
    ]
    silent = data.get("unresponsive_engines")
    pairs = [pair for pair in silent if isinstance(pair, list)] if isinstance(silent, list) else []
    return Reading(hits, ", ".join(": ".join(map(str, pair)) for pair in pairs))


# The size of a page is the instance's own affair.
SEARXNG = Dialect(base="", key_env="", most=1000, ask=ask, read=read)
