"""When a host may be asked: one queue for each, its own crawl-delay, and back-off where it asks for rest."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from yarl import URL

from aag_ray import __version__
from aag_ray.config import PolitenessSection
from aag_ray.web.fetched import FetchOutcome, FetchStopped

RESTING = frozenset({429, 503})
MAX_HOSTS = 10_000


def user_agent(config: PolitenessSection) -> str:
    """The User-Agent header: the name robots.txt is matched by, the version, and whom to write to."""
    return f"{config.agent}/{__version__}" + (f" (+{config.contact})" if config.contact else "")


def host_key(url: URL) -> str:
    """What counts as one host: the name, whatever the scheme; another port is another server."""
    name = (url.raw_host or "").removesuffix(".")
    return name if url.port in (80, 443) else f"{name}:{url.port}"


def retry_after(value: str, now: float) -> float | None:
    """Seconds to wait by a Retry-After header, in seconds or as a date (RFC 9110, 10.2.3). `now` is in seconds since 1970.

    None if there is no header or it says nothing that can be read; a date in the past is 0.
    """
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,10}", value):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


@dataclass
class Host:
    """One host's queue. `ready_at` is when its next request may start, on the clock of `Politeness`."""

    slots: asyncio.Semaphore
    queue: asyncio.Lock = field(default_factory=asyncio.Lock)
    ready_at: float = 0.0
    rests: int = 0
    failures: int = 0
    down_until: float = 0.0
    users: int = 0


class Politeness:
    """Hands out turns. Between two requests to a host lies at least its delay, counted from the end of the last one.

    `clock`, `sleep` and `seed` are given by tests that simulate time.
    """

    def __init__(
        self,
        config: PolitenessSection,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        seed: int | None = None,
    ) -> None:
        self.config = config
        self.clock = clock
        self.sleep = sleep
        self.random = random.Random(seed)
        self.hosts: dict[str, Host] = {}

    @asynccontextmanager
    async def turn(self, host: str, delay: float | None = None, until: float | None = None) -> AsyncIterator[Host]:
        """Wait for the host, hold its turn inside the block, and keep others away for `delay` seconds after it.

        Raises FetchStopped at once if the wait would pass `until` (a time of `clock`) or be longer than
        `max_wait_seconds`.
        """
        state = self._state(host)
        delay = self.config.delay_seconds if delay is None else delay
        state.users += 1
        try:
            async with state.slots:
                async with state.queue:
                    self._refuse_down(host, state)
                    while (wait := state.ready_at - self.clock()) > 0:
                        self._refuse_long(host, wait, until)
                        await self.sleep(wait)
                    state.ready_at = self.clock() + delay
                try:
                    yield state
                finally:
                    state.ready_at = max(state.ready_at, self.clock() + delay)
        finally:
            state.users -= 1

    def rest(self, host: str, seconds: float) -> None:
        """Leave a host alone for so long: what another worker that has just asked it knows."""
        state = self._state(host)
        state.ready_at = max(state.ready_at, self.clock() + seconds)

    def seconds_to_rest(self, host: str) -> float:
        """How long a host is still to be left alone."""
        return max(0.0, self._state(host).ready_at - self.clock())

    def failed(self, state: Host) -> None:
        """Take in that a host did not answer. After `down_after` times in a row it is left alone for `down_seconds`."""
        state.failures += 1
        if state.failures >= self.config.down_after:
            state.down_until = self.clock() + self.config.down_seconds

    def heard(self, state: Host, status: int, after: float | None) -> None:
        """Take in an answer. 429 and 503 let the host rest: as long as it asks, at least a doubling, jittered time."""
        state.failures = 0
        if status not in RESTING:
            state.rests = 0
            return
        backoff = min(self.config.max_backoff_seconds, self.config.backoff_seconds * 2.0 ** min(state.rests, 30))
        state.rests += 1
        wait = max(backoff * self.random.uniform(0.5, 1.0), after or 0.0)
        state.ready_at = max(state.ready_at, self.clock() + wait)

    def _refuse_down(self, host: str, state: Host) -> None:
        if (rest := state.down_until - self.clock()) > 0:
            detail = f"{host} did not answer {state.failures} times in a row; it is left alone for another {rest:.0f} s"
            raise FetchStopped(FetchOutcome.HOST_DOWN, detail)

    def _refuse_long(self, host: str, wait: float, until: float | None) -> None:
        if until is not None and self.clock() + wait > until:
            raise FetchStopped(FetchOutcome.DEADLINE, f"{host} may be asked in {wait:.1f} s, after the deadline")
        if wait > self.config.max_wait_seconds:
            limit = f"max_wait_seconds={self.config.max_wait_seconds:g}"
            raise FetchStopped(FetchOutcome.WAIT_TOO_LONG, f"{host} may be asked in {wait:.0f} s, above {limit}")

    def _state(self, host: str) -> Host:
        if host not in self.hosts:
            if len(self.hosts) >= MAX_HOSTS:
                now = self.clock()
                self.hosts = {
                    name: state
                    for name, state in self.hosts.items()
                    if state.users or max(state.ready_at, state.down_until) > now
                }
            self.hosts[host] = Host(asyncio.Semaphore(self.config.per_host))
        return self.hosts[host]
