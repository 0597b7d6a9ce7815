"""One engine asked over HTTP: a request in, a typed answer out, within limits and without ever showing its key.

Where an engine stands is the operator's word, so its address may be a loopback or intranet one. It is not followed
elsewhere: a redirect is an outcome.
"""

from __future__ import annotations

import asyncio
import html
import json
import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus

import aiohttp
from yarl import URL

from aag_ray import __version__
from aag_ray.config_search import ProviderSection
from aag_ray.web.decompress import ACCEPTED, Ceiling, codings, decompress
from aag_ray.web.fetched import FetchOutcome, FetchStopped
from aag_ray.web.politeness import retry_after
from aag_ray.web.search.answer import SearchAnswer, SearchOutcome, SearchResult
from aag_ray.web.search.bing import BING
from aag_ray.web.search.brave import BRAVE
from aag_ray.web.search.dialect import Call, Dialect, Hit, Malformed, Reading, Refused
from aag_ray.web.search.google import GOOGLE
from aag_ray.web.search.published import published_on
from aag_ray.web.search.request import SearchRequest
from aag_ray.web.search.searxng import SEARXNG
from aag_ray.web.search.serper import SERPER
from aag_ray.web.search.tavily import TAVILY

DIALECTS: Mapping[str, Dialect] = {
    "searxng": SEARXNG, "brave": BRAVE, "tavily": TAVILY, "serper": SERPER, "google": GOOGLE, "bing": BING,
}  # fmt: skip
QUOTA_STATUSES = frozenset({402, 429, 432, 433})
AUTH_STATUSES = frozenset({401, 403, 407})
INLINE = re.compile(r"</?(?:strong|b|em|i|mark|span|br|wbr)(?:\s[^<>]{0,200})?/?>", re.IGNORECASE)
TITLE_CHARACTERS, SNIPPET_CHARACTERS, URL_CHARACTERS, ERROR_BYTES = 300, 4000, 4096, 4096


class Unanswered(Exception):
    """An engine gave no results. Raised below `Provider.search`, which turns it into an answer."""

    def __init__(self, outcome: SearchOutcome, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail
        self.retry_after = retry_after


def open_session() -> aiohttp.ClientSession:
    """A session for search APIs: no proxies or netrc of the environment, no cookies kept, nothing unpacked unseen."""
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"aag-ray/{__version__}", "Accept": "application/json", "Accept-Encoding": ACCEPTED},
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        trust_env=False,
    )


class Provider:
    """An engine under one configuration. Its key is read from the environment for each search and kept nowhere."""

    def __init__(self, section: ProviderSection, session: aiohttp.ClientSession) -> None:
        self.section = section
        self.session = session
        self.dialect = DIALECTS[section.kind]
        self.base = (section.url or self.dialect.base).rstrip("/")

    async def search(self, request: SearchRequest) -> SearchAnswer:
        """Ask once. Whatever the engine does is an outcome; only cancellation is raised."""
        name, started = self.section.engine, time.monotonic()
        key = ""
        try:
            key = self._key()
            async with asyncio.timeout(self.section.timeout_seconds):
                reading = await self._ask(request, key)
            outcome, detail, results = self._answered(request, reading)
            wait = None
        except Unanswered as problem:
            outcome, detail, results, wait = problem.outcome, problem.detail, (), problem.retry_after
        except TimeoutError:
            outcome, results, wait = SearchOutcome.TIMEOUT, (), None
            detail = f"{self.base} did not answer within {self.section.timeout_seconds:g} s"
        except Exception as error:
            outcome, detail, results, wait = SearchOutcome.FAILED, f"{type(error).__name__}: {error}", (), None
        return SearchAnswer(outcome, _without(key, detail), results, name, seconds=time.monotonic() - started, retry_after=wait)

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
            call = self.dialect.ask(request, min(request.count, self.dialect.most), key, self.section)
        except Refused as refusal:
            raise Unanswered(SearchOutcome.REQUEST_REFUSED, str(refusal)) from None
        try:
            data = await self._exchange(call)
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            # The message of an aiohttp error may hold the whole URL, and that the key.
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise Unanswered(SearchOutcome.UNREACHABLE, f"{self.base}: {reason}") from None
        try:
            return self.dialect.read(data)
        except Malformed as error:
            raise Unanswered(SearchOutcome.MALFORMED, f"{self.base}: {error}") from None

    async def _exchange(self, call: Call) -> Mapping[str, Any]:
        method = "GET" if call.json is None else "POST"
        url = URL(self.base + call.path).with_query(dict(call.params))
        async with self.session.request(method, url, headers=call.headers, json=call.json, allow_redirects=False) as response:
            if response.status != 200:
                raise await self._unanswered(response)
            body = await self._body(response, self.section.body_bytes)
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Unanswered(SearchOutcome.MALFORMED, f"{self.base} did not answer in JSON: {str(error)[:100]}") from None
        if not isinstance(data, dict):
            raise Unanswered(SearchOutcome.MALFORMED, f"{self.base} answered with a JSON {type(data).__name__}, not an object")
        return data

    async def _unanswered(self, response: aiohttp.ClientResponse) -> Unanswered:
        try:
            said = " ".join((await self._body(response, ERROR_BYTES, cut=True)).decode("utf-8", "replace").split())
        except Unanswered as unread:
            said = unread.detail
        outcome = outcome_of(response.status, said, self.dialect)
        wait = retry_after(response.headers.get("Retry-After", ""), time.time())
        return Unanswered(outcome, f"{self.base} answered {response.status}: {said[:300]}".rstrip(": "), wait)

    async def _body(self, response: aiohttp.ClientResponse, limit: int, *, cut: bool = False) -> bytes:
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > limit and not cut:
                raise Unanswered(SearchOutcome.TOO_LARGE, f"{self.base} answered with more than {limit} bytes")
            if len(body) > limit:
                break
        try:
            applied = codings(response.headers.get("Content-Encoding", ""))
            return decompress(bytes(body[:limit]), applied, Ceiling(limit, 1000.0), partial=cut)
        except FetchStopped as stop:
            large = stop.outcome in (FetchOutcome.DECOMPRESSED_TOO_LARGE, FetchOutcome.COMPRESSION_RATIO)
            outcome = SearchOutcome.TOO_LARGE if large else SearchOutcome.MALFORMED
            raise Unanswered(outcome, f"{self.base}: {stop.detail}") from None

    def _answered(self, request: SearchRequest, reading: Reading) -> tuple[SearchOutcome, str, tuple[SearchResult, ...]]:
        name, first = self.section.engine, (request.page - 1) * min(request.count, self.dialect.most) + 1
        today = datetime.now(UTC).date()
        usable = [(rank, hit) for rank, hit in enumerate(reading.hits, first) if _is_web_url(hit.url)]
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
        left_out = len(reading.hits) - len(usable), len(usable) - len(wanted)
        notes = [f"{reading.down} did not answer"] if reading.down else []
        notes += [f"{left_out[0]} results without a web address"] if left_out[0] else []
        notes += [f"{left_out[1]} results from other domains"] if left_out[1] else []
        if results:
            return SearchOutcome.OK, "; ".join(notes), results
        if reading.down and not reading.hits:
            return SearchOutcome.ENGINES_DOWN, f"{self.base}: {reading.down}", ()
        return SearchOutcome.EMPTY, "; ".join(notes), ()


def outcome_of(status: int, said: str, dialect: Dialect) -> SearchOutcome:
    """What a status other than 200 means, with the words of the error where engines use one status for two things."""
    lowered = said.lower()
    if status >= 500:
        return SearchOutcome.SERVER_ERROR
    if 300 <= status < 400:
        return SearchOutcome.REDIRECTED
    if status < 400:
        return SearchOutcome.MALFORMED
    if status in QUOTA_STATUSES or any(word in lowered for word in dialect.quota):
        return SearchOutcome.QUOTA_SPENT
    if status in AUTH_STATUSES or any(word in lowered for word in dialect.auth):
        return SearchOutcome.AUTH_REFUSED
    return SearchOutcome.REQUEST_REFUSED


def _without(key: str, detail: str) -> str:
    for spelling in {key, quote(key, safe=""), quote_plus(key)} if key else ():
        detail = detail.replace(spelling, "***")
    return detail


def _is_web_url(url: str) -> bool:
    try:
        parsed = URL(url)
    except ValueError:
        return False
    return parsed.scheme in ("http", "https") and bool(parsed.raw_host) and len(url) <= URL_CHARACTERS


def _tidy(text: str, longest: int) -> str:
    """Text without the marks that engines put around matches, entities resolved, white space folded, bounded."""
    plain = " ".join(html.unescape(INLINE.sub("", text[: 4 * longest])).split())
    return "".join(character for character in plain if character.isprintable())[:longest]
