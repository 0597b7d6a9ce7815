"""How many requests are answered at a time: the rest waits in a bounded line, and beyond it is refused at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aag_ray.config import ApiLimitsSection
from aag_ray.serve.errors import ApiError
from aag_ray.serve.observer import Observer


class Admission:
    """A bounded number of places and of waiters, in the order of coming. One event loop. `observer` hears of every change."""

    def __init__(self, limits: ApiLimitsSection, observer: Observer) -> None:
        self.limits, self.observer = limits, observer
        self.in_flight = 0
        self.waiting = 0
        self._places = asyncio.Semaphore(limits.in_flight)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place. Raises ApiError 503 with the time to wait where there is none in time."""
        await self._enter()
        try:
            yield
        finally:
            self._changed(in_flight=-1)
            self._places.release()

    async def _enter(self) -> None:
        if self._places.locked() and self.waiting >= self.limits.waiting:
            raise self._refusal("the server is busy and its waiting line is full")
        self._changed(waiting=1)
        try:
            async with asyncio.timeout(self.limits.wait_seconds):
                await self._places.acquire()
        except TimeoutError:
            raise self._refusal(f"the server is busy; no place within {self.limits.wait_seconds:g} s") from None
        finally:
            self._changed(waiting=-1)
        self._changed(in_flight=1)

    def _changed(self, in_flight: int = 0, waiting: int = 0) -> None:
        self.in_flight += in_flight
        self.waiting += waiting
        self.observer.loaded(self.in_flight, self.waiting)

    def _refusal(self, detail: str) -> ApiError:
        return ApiError(503, detail, code="overloaded", retry_after=max(1.0, self.limits.wait_seconds / 2))
