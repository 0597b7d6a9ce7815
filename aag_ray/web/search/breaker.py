"""A provider's health: who keeps failing is left alone for a while, then tried once."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

from aag_ray.config import BreakerSection
from aag_ray.web.search.answer import SearchAnswer, SearchOutcome

HEALTHY = frozenset({SearchOutcome.OK, SearchOutcome.EMPTY})
# Says nothing about the provider's health: the request, or this side, was at fault.
NO_VERDICT = frozenset({SearchOutcome.NOT_CONFIGURED, SearchOutcome.REQUEST_REFUSED, SearchOutcome.FAILED})
NOT_BY_RETRYING = frozenset({SearchOutcome.QUOTA_SPENT, SearchOutcome.AUTH_REFUSED})


class Health(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Closed: asked freely. Open: not asked until its rest is over. Half open: one trial decides.

    Every `admit` that gives "" is followed by one `heard`, `failed` or `released`. `clock` gives seconds.
    """

    def __init__(self, section: BreakerSection, clock: Callable[[], float] = time.monotonic) -> None:
        self.section = section
        self.clock = clock
        self.failures = 0
        self.openings = 0
        self.until: float | None = None
        self.reason = ""
        self.trying = False

    @property
    def health(self) -> Health:
        if self.until is None:
            return Health.CLOSED
        return Health.OPEN if self.clock() < self.until else Health.HALF_OPEN

    def admit(self) -> str:
        """Why the provider may not be asked now; "" if it may."""
        health = self.health
        if health is Health.OPEN and self.until is not None:
            return f"rests for another {self.until - self.clock():.0f} s after {self.reason}"
        if health is Health.HALF_OPEN:
            if self.trying:
                return f"is being tried again after {self.reason}"
            self.trying = True
        return ""

    def heard(self, answer: SearchAnswer) -> None:
        """Take in how a search ended."""
        if answer.outcome in HEALTHY:
            self.failures = self.openings = 0
            self.until, self.trying = None, False
        elif answer.outcome in NO_VERDICT:
            self.released()
        elif answer.outcome in NOT_BY_RETRYING or answer.retry_after is not None:
            self._open(
                answer.outcome, max(self.section.quota_seconds if answer.retry_after is None else answer.retry_after, 1.0)
            )
        else:
            self.failed(answer.outcome)

    def failed(self, reason: str) -> None:
        """Count a failure, which opens the breaker if there were enough in a row or this was the trial."""
        self.failures += 1
        # Searches that were under way when it opened say nothing new.
        if self.trying or (self.failures >= self.section.failures and self.health is not Health.OPEN):
            self._open(reason, self.section.rest_seconds * 2.0 ** min(self.openings, 30))

    def released(self) -> None:
        """Let go without a verdict: the search was given up before the provider could answer."""
        self.trying = False

    def _open(self, reason: str, seconds: float) -> None:
        self.openings += 1
        self.reason = str(reason)
        self.until, self.trying = self.clock() + min(seconds, self.section.max_rest_seconds), False
