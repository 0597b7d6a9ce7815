"""One request and its answer, within every limit. Redirects, politeness and caching stand above it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import http_exceptions
from aiohttp.abc import AbstractResolver
from yarl import URL

from aag_ray.config import LimitsSection
from aag_ray.web.content_type import looks_binary, media_type
from aag_ray.web.decompress import ACCEPTED, Ceiling, codings, decompress
from aag_ray.web.fetched import FetchOutcome, FetchStopped, Headers, header
from aag_ray.web.guard import Guard, GuardedResolver
from aag_ray.web.tls import trusting

ACCEPT = "text/html,application/xhtml+xml,text/plain;q=0.9,*/*;q=0.1"
READ = frozenset({200, 203})
MAX_HEADERS = 128


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller reads: media types (None: any), and whether a body at the size limit is cut instead of refused."""

    content_types: Sequence[str] | None
    body_bytes: int
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer. `body` is decompressed, and empty for a status that is not read."""

    url: URL
    status: int
    headers: Headers
    body: bytes = b""
    wire_bytes: int = 0


def outcome_of(reply: Reply) -> tuple[FetchOutcome, str]:
    """What a status means once no redirect is left."""
    detail = f"{reply.url} answered {reply.status}"
    if reply.status in READ:
        return FetchOutcome.OK, ""
    if reply.status in (429, 503):
        return FetchOutcome.RATE_LIMITED, detail
    if 400 <= reply.status < 500:
        return FetchOutcome.HTTP_CLIENT_ERROR, detail
    return FetchOutcome.HTTP_SERVER_ERROR if reply.status >= 500 else FetchOutcome.UNEXPECTED_STATUS, detail


class Exchange:
    """An aiohttp session that connects to checked addresses only and sends nothing but what it is given."""

    def __init__(
        self,
        guard: Guard,
        limits: LimitsSection,
        user_agent: str,
        resolver: AbstractResolver | None = None,
        ca_bundle: Path | None = None,
    ) -> None:
        """Raises ConfigError if `ca_bundle` holds no certificates."""
        self.guard = guard
        self.limits = limits
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(guard, resolver or aiohttp.ThreadedResolver()),
            limit=0,
            ttl_dns_cache=60,
            ssl=True if ca_bundle is None else trusting(ca_bundle),
        )
        self.session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": user_agent, "Accept": ACCEPT, "Accept-Encoding": ACCEPTED},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_seconds),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=65_536,
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            max_headers=MAX_HEADERS,
        )

    async def close(self) -> None:
        await self.session.close()

    async def get(self, url: URL, wanted: Wanted, conditions: Mapping[str, str] | None = None) -> Reply:
        """Ask for one checked URL. Raises FetchStopped for anything but a readable answer; no redirect is followed."""
        self.guard.check(url)
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await self._get(url, wanted, conditions or {})
        except aiohttp.ConnectionTimeoutError:
            detail = f"{url}: no connection within {self.limits.connect_seconds:g} s"
            raise FetchStopped(FetchOutcome.CONNECT_FAILED, detail) from None
        except TimeoutError:
            raise FetchStopped(FetchOutcome.TIMEOUT, f"{url} took longer than {self.limits.seconds:g} s") from None
        except aiohttp.ClientConnectorDNSError as error:
            raise FetchStopped(FetchOutcome.DNS_FAILED, f"{url.raw_host}: {error.os_error}") from None
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise FetchStopped(FetchOutcome.TLS_FAILED, f"{url}: {error}") from None
        except aiohttp.ClientConnectorError as error:
            raise FetchStopped(FetchOutcome.CONNECT_FAILED, f"{url}: {error.strerror or error}") from None
        except aiohttp.ClientResponseError as error:
            # aiohttp's parsers have no type of their own for this in every case.
            too_large = error.message.startswith(("Got more than", "Too many headers"))
            outcome = FetchOutcome.HEADERS_TOO_LARGE if too_large else FetchOutcome.MALFORMED_RESPONSE
            raise FetchStopped(outcome, f"{url}: {' '.join(error.message.split())[:200]}") from None
        except aiohttp.InvalidURL as error:
            raise FetchStopped(FetchOutcome.BAD_URL, f"{url}: {error}") from None
        except (aiohttp.ClientError, http_exceptions.HttpProcessingError, OSError) as error:
            raise FetchStopped(FetchOutcome.DISCONNECTED, f"{url}: {type(error).__name__}: {str(error)[:200]}") from None

    async def _get(self, url: URL, wanted: Wanted, conditions: Mapping[str, str]) -> Reply:
        waiting = asyncio.timeout(self.limits.header_seconds)
        try:
            async with waiting:
                response = await self.session.get(url, headers=conditions, allow_redirects=False)
        except TimeoutError:
            if not waiting.expired():
                raise
            detail = f"{url}: no headers within {self.limits.header_seconds:g} s"
            raise FetchStopped(FetchOutcome.TIMEOUT, detail) from None
        async with response:
            headers = tuple((name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in response.raw_headers)
            if (size := sum(len(name) + len(value) for name, value in response.raw_headers)) > self.limits.header_bytes:
                detail = f"{url}: {size} bytes of headers, at most {self.limits.header_bytes} are read"
                raise FetchStopped(FetchOutcome.HEADERS_TOO_LARGE, detail)
            if response.status not in READ:
                return Reply(url, response.status, headers)
            content_type = header(headers, "content-type")
            if wanted.content_types is not None and media_type(content_type) not in {*wanted.content_types, ""}:
                allowed = ", ".join(wanted.content_types)
                raise FetchStopped(FetchOutcome.CONTENT_TYPE_REFUSED, f"{url} is {content_type[:100]!r}; read are {allowed}")
            applied = codings(header(headers, "content-encoding"))
            wire = await self._body(response, wanted)
            ceiling = Ceiling(wanted.body_bytes if wanted.cut else self.limits.decompressed_bytes, self.limits.ratio)
            body = decompress(wire, applied, ceiling, partial=wanted.cut)
            if wanted.content_types is not None and looks_binary(body, content_type):
                raise FetchStopped(FetchOutcome.CONTENT_TYPE_REFUSED, f"{url} calls itself {content_type!r} but is not text")
            return Reply(url, response.status, headers, body, len(wire))

    async def _body(self, response: aiohttp.ClientResponse, wanted: Wanted) -> bytes:
        if not wanted.cut and (response.content_length or 0) > wanted.body_bytes:
            detail = f"{response.url} has {response.content_length} bytes, at most {wanted.body_bytes} are read"
            raise FetchStopped(FetchOutcome.BODY_TOO_LARGE, detail)
        loop = asyncio.get_running_loop()
        started = loop.time()
        body = bytearray()
        while not response.content.at_eof():
            allowed = self.limits.slow_after_seconds
            if self.limits.bytes_per_second:
                # The moment at which what has come would be too little.
                allowed = max(allowed, len(body) / self.limits.bytes_per_second)
            slow = asyncio.timeout_at(started + allowed if self.limits.bytes_per_second else None)
            try:
                async with slow:
                    body += await response.content.readany()
            except TimeoutError:
                if not slow.expired():
                    raise
                detail = f"{response.url}: {len(body)} bytes in {allowed:.1f} s, below {self.limits.bytes_per_second} bytes/s"
                raise FetchStopped(FetchOutcome.TOO_SLOW, detail) from None
            if len(body) > wanted.body_bytes:
                if wanted.cut:
                    return bytes(body[: wanted.body_bytes])
                raise FetchStopped(FetchOutcome.BODY_TOO_LARGE, f"{response.url} is above {wanted.body_bytes} bytes")
        return bytes(body)
