"""Brave's Web Search API (api-dashboard.search.brave.com, "Web search")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aag_ray.config import ProviderSection
from aag_ray.web.search.dialect import Call, Dialect, Hit, Reading, Refused, listed, some, text
from aag_ray.web.search.request import Freshness, SearchRequest

FRESH = {Freshness.DAY: "pd", Freshness.WEEK: "pw", Freshness.MONTH: "pm", Freshness.YEAR: "py"}
# Brave's codes where they are not the usual ones.
LANGUAGES = {"ja": "jp", "zh": "zh-hans", "zh-TW": "zh-hant", "pt": "pt-pt", "pt-BR": "pt-br", "en-GB": "en-gb"}
MOST_CHARACTERS, MOST_WORDS, LAST_PAGE = 400, 50, 10


def ask(request: SearchRequest, size: int, key: str, section: ProviderSection) -> Call:
    if request.page > LAST_PAGE:
        raise Refused(f"Brave has {LAST_PAGE} pages, page={request.page} was asked for")
    language = LANGUAGES.get(request.language or "", LANGUAGES.get(request.language_code, request.language_code))
    parameters = some(
        q=_shortened(request.query_with_sites),
        count=str(size),
        offset=str(request.page - 1),
        search_lang=language,
        country=request.region,
        freshness=FRESH[request.freshness] if request.freshness else "",
        text_decorations="false",
        result_filter="web",
    )
    return Call("/web/search", parameters, {"X-Subscription-Token": key})


def _shortened(query: str) -> str:
    """What Brave takes of a long query: it refuses the rest together with the beginning."""
    words = query.split()[:MOST_WORDS]
    while len(words) > 1 and len(" ".join(words)) > MOST_CHARACTERS:
        words.pop()
    return " ".join(words)[:MOST_CHARACTERS]


def read(data: Mapping[str, Any]) -> Reading:
    return Reading(
        [
            Hit(text(entry, "url"), text(entry, "title"), _snippet(entry), text(entry, "page_age"))
            for entry in listed(data, "web", "results")
        ]
    )


def _snippet(entry: Mapping[str, Any]) -> str:
    more = entry.get("extra_snippets")
    extra = [part for part in more if isinstance(part, str)] if isinstance(more, list) else []
    return "\n".join([text(entry, "description"), *extra])


BRAVE = Dialect(
    base="https://api.search.brave.com/res/v1",
    key_env="BRAVE_API_KEY",
    most=20,
    ask=ask,
    read=read,
    quota=("quota_limited", "rate_limited"),
    auth=("subscription_token_invalid",),
)
