"""Google's Custom Search JSON API (developers.google.com/custom-search, `cse.list`), for a Programmable Search Engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aag_ray.config import ProviderSection
from aag_ray.web.search.dialect import Call, Dialect, Hit, Reading, Refused, listed, some, text
from aag_ray.web.search.request import SearchRequest

LAST_RESULT = 100
CHINESE = {"zh": "lang_zh-CN", "zh-TW": "lang_zh-TW"}
# Where pages say when they were published; Google passes their meta elements on.
DATES = ("article:published_time", "og:published_time", "datepublished", "date", "article:modified_time")


def ask(request: SearchRequest, size: int, key: str, section: ProviderSection) -> Call:
    start = (request.page - 1) * size + 1
    if start + size - 1 > LAST_RESULT:
        raise Refused(f"Google gives {LAST_RESULT} results of a query, number {start + size - 1} was asked for")
    language = request.language_code
    spoken = CHINESE.get(request.language or "", CHINESE.get(language, f"lang_{language}" if language else ""))
    parameters = some(
        key=key,
        cx=section.engine_id,
        q=request.query_with_sites,
        num=str(size),
        start=str(start),
        lr=spoken,
        gl=request.region.lower(),
        dateRestrict=f"{request.freshness.value[0]}1" if request.freshness else "",
    )
    return Call("/customsearch/v1", parameters)


def read(data: Mapping[str, Any]) -> Reading:
    return Reading(
        [
            Hit(text(entry, "link"), text(entry, "title"), text(entry, "snippet"), _published(entry))
            for entry in listed(data, "items")
        ]
    )


def _published(entry: Mapping[str, Any]) -> str:
    said = [meta for meta in listed(entry, "pagemap", "metatags") if any(text(meta, name) for name in DATES)]
    return next((text(said[0], name) for name in DATES if text(said[0], name)), "") if said else ""


GOOGLE = Dialect(
    base="https://www.googleapis.com",
    key_env="GOOGLE_API_KEY",
    most=10,
    ask=ask,
    read=read,
    quota=("dailylimitexceeded", "ratelimitexceeded", "quotaexceeded", "resource_exhausted"),
    auth=("api_key_invalid", "keyinvalid", "api key not valid"),
)
