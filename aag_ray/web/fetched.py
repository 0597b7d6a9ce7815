"""What asking for one URL ended as: one outcome for every reason, and everything that was learned on the way."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class FetchOutcome(StrEnum):
    """How a fetch ended. Everything but OK says why there is no body."""

    OK = "ok"

    # Refused by the guard: nothing was sent to this URL.
    BAD_URL = "bad_url"
    SCHEME_REFUSED = "scheme_refused"
    USERINFO_REFUSED = "userinfo_refused"
    PORT_REFUSED = "port_refused"
    ADDRESS_REFUSED = "address_refused"

    # Left out of politeness, or for want of time.
    ROBOTS_DISALLOWED = "robots_disallowed"
    ROBOTS_UNREACHABLE = "robots_unreachable"
    WAIT_TOO_LONG = "wait_too_long"
    HOST_DOWN = "host_down"
    DEADLINE = "deadline"

    # The network.
    DNS_FAILED = "dns_failed"
    CONNECT_FAILED = "connect_failed"
    TLS_FAILED = "tls_failed"
    DISCONNECTED = "disconnected"
    TIMEOUT = "timeout"
    TOO_SLOW = "too_slow"

    # What the server said.
    MALFORMED_RESPONSE = "malformed_response"
    HEADERS_TOO_LARGE = "headers_too_large"
    RATE_LIMITED = "rate_limited"
    HTTP_CLIENT_ERROR = "http_client_error"
    HTTP_SERVER_ERROR = "http_server_error"
    UNEXPECTED_STATUS = "unexpected_status"
    BAD_REDIRECT = "bad_redirect"
    REDIRECT_LOOP = "redirect_loop"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    REDIRECTED_AWAY = "redirected_away"

    # The body.
    CONTENT_TYPE_REFUSED = "content_type_refused"
    BODY_TOO_LARGE = "body_too_large"
    CODING_UNKNOWN = "coding_unknown"
    DECOMPRESSION_FAILED = "decompression_failed"
    DECOMPRESSED_TOO_LARGE = "decompressed_too_large"
    COMPRESSION_RATIO = "compression_ratio"

    # A fault of this program; the detail names it.
    FAILED = "failed"


class FetchStopped(Exception):
    """A fetch goes no further. Raised below `Fetcher.fetch`, which turns it into a `Fetched`."""

    def __init__(self, outcome: FetchOutcome, detail: str) -> None:
        super().__init__(f"{outcome}: {detail}")
        self.outcome = outcome
        self.detail = detail


Headers = tuple[tuple[str, str], ...]


def header(headers: Headers, name: str) -> str:
    """The value of a header, several joined by ", " (RFC 9110, 5.3), or "" if it is not there."""
    return ", ".join(value for key, value in headers if key.lower() == name)


@dataclass(frozen=True, slots=True)
class Fetched:
    """The end of one fetch. `url` is as it was asked for, `final_url` the last one asked, `hops` all that were asked.

    `body` is decompressed; `headers` are as sent. `status` is 0 if no server answered. `fetched_at` is in seconds since
    1970 and, from a cache, when the body was read. `seconds` include waiting. `record` names the archived record.
    """

    url: str
    final_url: str
    outcome: FetchOutcome
    detail: str = ""
    status: int = 0
    headers: Headers = ()
    body: bytes = b""
    content_type: str = ""
    fetched_at: float = 0.0
    hops: tuple[str, ...] = ()
    seconds: float = 0.0
    wire_bytes: int = 0
    from_cache: bool = False
    record: str = ""

    @property
    def ok(self) -> bool:
        return self.outcome is FetchOutcome.OK

    def to_row(self) -> dict[str, Any]:
        """A plain mapping for a parquet table; the inverse of `from_row`."""
        row = asdict(self)
        row["outcome"] = self.outcome.value
        row["headers"] = [{"name": name, "value": value} for name, value in self.headers]
        row["hops"] = list(self.hops)
        return row

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Fetched:
        known = {name: row[name] for name in cls.__slots__ if name in row}
        known["outcome"] = FetchOutcome(row["outcome"])
        known["headers"] = tuple((entry["name"], entry["value"]) for entry in row.get("headers", ()))
        known["hops"] = tuple(row.get("hops", ()))
        return cls(**known)
