"""Tavily's search endpoint (docs.tavily.com, "Tavily Search")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aag_ray.config import ProviderSection
from aag_ray.web.search.dialect import Call, Dialect, Hit, Reading, Refused, listed, number, text
from aag_ray.web.search.request import SearchRequest


def ask(request: SearchRequest, size: int, key: str, section: ProviderSection) -> Call:
    if request.page > 1:
        raise Refused(f"Tavily has one page of at most 20 results, page={request.page} was asked for")
    body: dict[str, Any] = {"query": request.query, "max_results": size, "search_depth": "basic"}
    if request.freshness:
        body["time_range"] = request.freshness.value
    if request.include_domains:
        body["include_domains"] = list(request.include_domains)
    if request.exclude_domains:
        body["exclude_domains"] = list(request.exclude_domains)
    return Call("/search", headers={"Authorization": f"Bearer {key}"}, json=body)


def read(data: Mapping[str, Any]) -> Reading:
    return Reading(
        [
            Hit(
                text(entry, "url"),
                text(entry, "title"),
                text(entry, "content"),
                text(entry, "published_date"),
                number(entry, "score"),
            )
            for entry in listed(data, "results")
        ]
    )


# 432 is the limit of a key or plan, 433 that of pay-as-you-go.
TAVILY = Dialect(base="https://api.tavily.com", key_env="TAVILY_API_KEY", most=20, ask=ask, read=read)
