"""One call of an engine's API: JSON within limits, or the typed reason why there is none."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
from yarl import URL

from aag_ray import __version__
from aag_ray.web.decompress import ACCEPTED, Ceiling, codings, decompress
from aag_ray.web.fetched import FetchOutcome, FetchStopped
from aag_ray.web.politeness import retry_after
from aag_ray.web.search.answer import SearchOutcome
from aag_ray.web.search.dialect import Call, Dialect

QUOTA_STATUSES = frozenset({402, 429, 432, 433})
AUTH_STATUSES = frozenset({401, 403, 407})
ERROR_BYTES = 4096
RATIO = 1000.0


class Unanswered(Exception):
    """An engine gave no results. `retry_after` is in seconds, where the engine named a time."""

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


class Api:
    """An engine's API at `base`. `body_bytes` bounds its answers, packed and unpacked; redirects are not followed."""

    def __init__(self, base: str, dialect: Dialect, body_bytes: int, session: aiohttp.ClientSession) -> None:
        self.base = base
        self.dialect = dialect
        self.body_bytes = body_bytes
        self.session = session

    async def call(self, call: Call) -> Mapping[str, Any]:
        """The JSON object that answers a call. Raises Unanswered, and lets TimeoutError through."""
        method = "GET" if call.json is None else "POST"
        url = URL(self.base + call.path).with_query(dict(call.params))
        try:
            async with self.session.request(
                method, url, headers=call.headers, json=call.json, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise await self._refusal(response)
                body = await self._body(response, self.body_bytes)
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            # The message of an aiohttp error may hold the whole URL, and that the key.
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise Unanswered(SearchOutcome.UNREACHABLE, f"{self.base}: {reason}") from None
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Unanswered(SearchOutcome.MALFORMED, f"{self.base} did not answer in JSON: {str(error)[:100]}") from None
        if not isinstance(data, dict):
            raise Unanswered(SearchOutcome.MALFORMED, f"{self.base} answered with a JSON {type(data).__name__}, not an object")
        return data

    async def _refusal(self, response: aiohttp.ClientResponse) -> Unanswered:
        try:
            said = " ".join((await self._body(response, ERROR_BYTES, cut=True)).decode("utf-8", "replace").split())
        except Unanswered as unread:
            said = unread.detail
        outcome = outcome_of(response.status, said, self.dialect)
        wait = retry_after(response.headers.get("Retry-After", ""), time.time())
        return Unanswered(outcome, f"{self.base} answered {response.status}: {said[:300]}".removesuffix(": "), wait)

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
            return decompress(bytes(body[:limit]), applied, Ceiling(limit, RATIO), partial=cut)
        except FetchStopped as stop:
            large = stop.outcome in (FetchOutcome.DECOMPRESSED_TOO_LARGE, FetchOutcome.COMPRESSION_RATIO)
            outcome = SearchOutcome.TOO_LARGE if large else SearchOutcome.MALFORMED
            raise Unanswered(outcome, f"{self.base}: {stop.detail}") from None


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
