"""Serper's Google results (serper.dev): one POST, the key in a header, hits under `organic`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aag_ray.config import ProviderSection
from aag_ray.web.search.dialect import Call, Dialect, Hit, Reading, listed, some, text
from aag_ray.web.search.request import SearchRequest


def ask(request: SearchRequest, size: int, key: str, section: ProviderSection) -> Call:
    spoken = some(
        hl=request.language_code,
        gl=request.region.lower(),
        tbs=f"qdr:{request.freshness.value[0]}" if request.freshness else "",
    )
    body = {"q": request.query_with_sites, "num": size, "page": request.page, **spoken}
    return Call("/search", headers={"X-API-KEY": key}, json=body)


def read(data: Mapping[str, Any]) -> Reading:
    return Reading(
        [
            Hit(text(entry, "link"), text(entry, "title"), text(entry, "snippet"), text(entry, "date"))
            for entry in listed(data, "organic")
        ]
    )


SERPER = Dialect(
    base="https://google.serper.dev", key_env="SERPER_API_KEY", most=100, ask=ask, read=read, quota=("not enough credits",)
)
