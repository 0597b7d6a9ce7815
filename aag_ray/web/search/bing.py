"""The form of Bing's Web Search API v7 (learn.microsoft.com, "Web Search API v7 reference"), which other services speak.

Microsoft closed its own endpoint in August 2025, so there is no documented address left.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aag_ray.config import ProviderSection
from aag_ray.web.search.dialect import Call, Dialect, Hit, Reading, listed, some, text
from aag_ray.web.search.request import Freshness, SearchRequest


def ask(request: SearchRequest, size: int, key: str, section: ProviderSection) -> Call:
    parameters = some(
        q=request.with_sites("({})"),
        count=str(size),
        offset=str((request.page - 1) * size),
        mkt=request.language or "" if request.region else "",
        setLang="" if request.region else request.language_code,
        freshness=_fresh(request.freshness),
        responseFilter="Webpages",
        textDecorations="false",
    )
    return Call("/search", parameters, {"Ocp-Apim-Subscription-Key": key})


def _fresh(freshness: Freshness | None) -> str:
    if freshness is Freshness.YEAR:  # only days, weeks and months have a name
        today = datetime.now(UTC).date()
        return f"{today - timedelta(days=freshness.days)}..{today}"
    return freshness.value.capitalize() if freshness else ""


def read(data: Mapping[str, Any]) -> Reading:
    return Reading(
        [
            Hit(text(entry, "url"), text(entry, "name"), text(entry, "snippet"), text(entry, "datePublished"))
            for entry in listed(data, "webPages", "value")
        ]
    )


BING = Dialect(
    base="", key_env="BING_SEARCH_API_KEY", most=50, ask=ask, read=read, quota=("quota", "ratelimitexceeded", "call volume")
)
