"""A page as a cache keeps it, and how long it may be used without asking (RFC 9111)."""

from __future__ import annotations

import json
import time
import zlib
from dataclasses import asdict, dataclass, replace
from email.utils import parsedate_to_datetime

from aag_ray.web.fetched import Fetched, FetchOutcome, Headers, header

RENEWED = frozenset({"age", "cache-control", "date", "etag", "expires", "last-modified", "vary"})


@dataclass(frozen=True, slots=True)
class CachedPage:
    """A page, when it was read and last known to be current, and until when it may be used without asking.

    Times are in seconds since 1970.
    """

    final_url: str
    status: int
    headers: Headers
    fetched_at: float
    checked_at: float
    fresh_until: float
    body: bytes = b""
    record: str = ""

    @property
    def conditions(self) -> dict[str, str]:
        """Request headers that ask whether the page has changed; empty if it has no validator."""
        pairs = (("If-None-Match", header(self.headers, "etag")), ("If-Modified-Since", header(self.headers, "last-modified")))
        return {name: value for name, value in pairs if value and value.isprintable()}

    def fetched(self, url: str) -> Fetched:
        """The page as the result of asking for `url`."""
        return Fetched(
            url=url, final_url=self.final_url, outcome=FetchOutcome.OK, status=self.status, headers=self.headers,
            body=self.body, content_type=header(self.headers, "content-type"), fetched_at=self.fetched_at,
            from_cache=True, record=self.record,
        )  # fmt: skip

    def renewed(self, answer: Headers, now: float, default_fresh: float) -> CachedPage:
        """The page after a 304 (RFC 9111, 4.3.4): what the answer says about it anew replaces what was said before."""
        new = {name.lower() for name, _ in answer} & RENEWED
        kept = [(name, value) for name, value in self.headers if name.lower() not in new]
        headers = (*kept, *((name, value) for name, value in answer if name.lower() in new))
        fresh = fresh_seconds(headers, default_fresh)
        return replace(self, headers=headers, checked_at=now, fresh_until=now + (fresh or 0.0))

    def pack(self) -> bytes:
        """Bytes for a store; the inverse of `unpack`."""
        values = asdict(replace(self, body=b""))
        del values["body"]
        meta = json.dumps(values).encode()
        return len(meta).to_bytes(4, "big") + meta + zlib.compress(self.body, 1)

    @classmethod
    def unpack(cls, packed: bytes) -> CachedPage:
        """The inverse of `pack`. Raises ValueError, zlib.error, TypeError or KeyError for damaged bytes."""
        size = 4 + int.from_bytes(packed[:4], "big")
        values = json.loads(packed[4:size])
        values["headers"] = tuple((name, value) for name, value in values["headers"])
        return cls(**values, body=zlib.decompress(packed[size:]))


def fresh_seconds(headers: Headers, default: float) -> float | None:
    """How long an answer may be used without asking (RFC 9111), `default` if it does not say; None: it must not be kept.

    The cache is shared, so `private` answers are not kept either.
    """
    directives = {
        name.strip().lower(): value.strip(' "') for name, _, value in (part.partition("=") for part in _parts(headers))
    }
    if {"no-store", "private"} & directives.keys() or header(headers, "vary").strip() == "*":
        return None
    if "no-cache" in directives:
        return 0.0
    age = float(header(headers, "age")[:10]) if header(headers, "age").isascii() and header(headers, "age").isdigit() else 0.0
    for name in ("s-maxage", "max-age"):
        if name in directives:
            value = directives[name]
            return max(0.0, float(value[:10]) - age) if value.isascii() and value.isdigit() else 0.0
    if expires := header(headers, "expires"):
        try:
            sent = parsedate_to_datetime(header(headers, "date")).timestamp() if header(headers, "date") else time.time()
            return max(0.0, parsedate_to_datetime(expires).timestamp() - sent - age)
        except (ValueError, TypeError, OverflowError):
            return 0.0  # "0" and other nonsense mean: already stale
    return default


def _parts(headers: Headers) -> list[str]:
    return header(headers, "cache-control").split(",")
