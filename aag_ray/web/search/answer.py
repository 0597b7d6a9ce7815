"""What a search came to: results, or the reason why there are none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class SearchOutcome(StrEnum):
    """How a search ended. Everything but OK and EMPTY means that nobody knows what is to be found."""

    OK = "ok"
    EMPTY = "empty"

    # Nothing was sent.
    NOT_CONFIGURED = "not_configured"
    RESTING = "resting"

    # What the provider said.
    AUTH_REFUSED = "auth_refused"
    QUOTA_SPENT = "quota_spent"
    REQUEST_REFUSED = "request_refused"
    REDIRECTED = "redirected"
    SERVER_ERROR = "server_error"
    ENGINES_DOWN = "engines_down"

    # What came instead of an answer.
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    DEADLINE = "deadline"
    OVERTAKEN = "overtaken"

    # Several providers failed, each for its own reason.
    ALL_FAILED = "all_failed"

    # A fault of this program; the detail names it.
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One hit. `rank` counts from 1 in the list it stands in; `ranks` says where each engine had it.

    `url` is as the engine wrote it: whoever reads it passes the guard first. `published` is what the engine says, `score`
    its own measure, which no other engine shares; both None where it says nothing.
    """

    url: str
    title: str
    snippet: str
    rank: int
    engine: str
    published: date | None = None
    score: float | None = None
    ranks: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one provider did for a search, in `seconds`."""

    provider: str
    outcome: SearchOutcome
    detail: str = ""
    results: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.provider}: {self.outcome}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """The end of one search. `provider` names those whose results these are, `attempts` all that were tried.

    `detail` says what failed even where others answered. `retry_after` is in seconds, where a provider named one.
    """

    outcome: SearchOutcome
    detail: str = ""
    results: tuple[SearchResult, ...] = ()
    provider: str = ""
    seconds: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    retry_after: float | None = None

    @property
    def ok(self) -> bool:
        return self.outcome is SearchOutcome.OK
