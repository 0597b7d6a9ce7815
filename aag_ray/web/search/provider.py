"""One engine: a request in, a typed answer out, and its key never shown.

Where an engine stands is the operator's word, so its address may be a loopback or intranet one.
"""

from __future__ import annotations

import asyncio
import html
import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import aiohttp
from yarl import URL

from aag_ray.config import ProviderSection
from aag_ray.web.search.answer import SearchAnswer, SearchOutcome, SearchResult
from aag_ray.web.search.api import Api, Unanswered
from aag_ray.web.search.bing import BING
from aag_ray.web.search.brave import BRAVE
from aag_ray.web.search.dialect import Dialect, Malformed, Reading, Refused
from aag_ray.web.search.google import GOOGLE
from aag_ray.web.search.published import published_on
from aag_ray.web.search.request import SearchRequest
from aag_ray.web.search.searxng import SEARXNG
from aag_ray.web.search.serper import SERPER
from aag_ray.web.search.tavily import TAVILY
from aag_ray.web.urls import canonical_url

DIALECTS: Mapping[str, Dialect] = {
    "searxng": SEARXNG,
    "brave": BRAVE,
    "tavily": TAVILY,
    "serper": SERPER,
    "google": GOOGLE,
    "bing": BING,
}
INLINE = re.compile(r"</?(?:strong|b|em|i|mark|span|br|wbr)(?:\s[^<>]{0,200})?/?>", re.IGNORECASE)
TITLE_CHARACTERS, SNIPPET_CHARACTERS, URL_CHARACTERS = 300, 4000, 4096


class Provider:
    """An engine under one configuration. Its key is read from the environment for each search and kept nowhere."""

    def __init__(self, section: ProviderSection, session: aiohttp.ClientSession) -> None:
        self.section = section
        self.dialect = DIALECTS[section.kind]
        self.base = (section.url or self.dialect.base).rstrip("/")
        self.api = Api(self.base, self.dialect, section.body_bytes, session)

    async def search(self, request: SearchRequest) -> SearchAnswer:
        """Ask once. Whatever the engine does is an outcome; only cancellation is raised."""
        started, key, answer = time.monotonic(), "", None
        try:
            key = self._key()
            async with asyncio.timeout(self.section.timeout_seconds):
                answer = self._answer(request, await self._ask(request, key))
        except Unanswered as problem:
            answer = SearchAnswer(problem.outcome, problem.detail, retry_after=problem.retry_after)
        except TimeoutError:
            detail = f"{self.base} did not answer within {self.section.timeout_seconds:g} s"
            answer = SearchAnswer(SearchOutcome.TIMEOUT, detail)
        except Exception as error:
            answer = SearchAnswer(SearchOutcome.FAILED, f"{type(error).__name__}: {error}")
        return SearchAnswer(
            outcome=answer.outcome,
            detail=_without(key, answer.detail),
            results=answer.results,
            provider=self.section.engine,
            seconds=time.monotonic() - started,
            retry_after=answer.retry_after,
        )

    def _key(self) -> str:
        variable = self.section.key_env or self.dialect.key_env
        key = os.environ.get(variable, "").strip() if variable else ""
        if variable and not key:
            raise Unanswered(SearchOutcome.NOT_CONFIGURED, f"no key in the environment variable {variable}")
        if not key.isascii() or not key.isprintable():
            raise Unanswered(SearchOutcome.NOT_CONFIGURED, f"what {variable} holds is no key: not printable ASCII")
        return key

    async def _ask(self, request: SearchRequest, key: str) -> Reading:
        try:
            call = self.dialect.ask(request, self._page_size(request), key, self.section)
            return self.dialect.read(await self.api.call(call))
        except Refused as refusal:
            raise Unanswered(SearchOutcome.REQUEST_REFUSED, str(refusal)) from None
        except Malformed as error:
            raise Unanswered(SearchOutcome.MALFORMED, f"{self.base}: {error}") from None

    def _page_size(self, request: SearchRequest) -> int:
        return min(request.count, self.dialect.most)

    def _answer(self, request: SearchRequest, reading: Reading) -> SearchAnswer:
        name, today = self.section.engine, datetime.now(UTC).date()
        ranked = enumerate(reading.hits, (request.page - 1) * self._page_size(request) + 1)
        usable = [(rank, hit) for rank, hit in ranked if _is_web_url(hit.url)]
        if reading.hits and not usable:
            raise Unanswered(SearchOutcome.MALFORMED, f"{self.base}: none of {len(reading.hits)} results has a web address")
        wanted = [(rank, hit) for rank, hit in usable if request.wants(hit.url)]
        results = tuple(
            SearchResult(
                url=hit.url,
                title=_tidy(hit.title, TITLE_CHARACTERS),
                snippet=_tidy(hit.snippet, SNIPPET_CHARACTERS),
                rank=rank,
                engine=name,
                published=published_on(hit.published, today) if hit.published else None,
                score=hit.score,
                ranks=((name, rank),),
            )
            for rank, hit in wanted[: request.count]
        )
        unusable, outside = len(reading.hits) - len(usable), len(usable) - len(wanted)
        notes = [
            f"{reading.down} did not answer" if reading.down else "",
            f"{unusable} results without a web address" if unusable else "",
            f"{outside} results from other domains" if outside else "",
        ]
        if reading.down and not reading.hits:
            raise Unanswered(SearchOutcome.ENGINES_DOWN, f"{self.base}: {notes[0]}")
        outcome = SearchOutcome.OK if results else SearchOutcome.EMPTY
        return SearchAnswer(outcome, "; ".join(filter(None, notes)), results)


def _without(key: str, detail: str) -> str:
    for spelling in {key, quote(key, safe=""), quote_plus(key)} if key else ():
        detail = detail.replace(spelling, "***")
    return detail


def _is_web_url(url: str) -> bool:
    try:
        parsed, _ = URL(url), canonical_url(url)
        return parsed.scheme in ("http", "https") and bool(parsed.raw_host) and len(url) <= URL_CHARACTERS
    except ValueError:
        return False


def _tidy(text: str, longest: int) -> str:
    """Text without the marks that engines put around matches, entities resolved, white space folded, bounded."""
    plain = " ".join(html.unescape(INLINE.sub("", text[: 4 * longest])).split())
    return "".join(character for character in plain if character.isprintable())[:longest]
