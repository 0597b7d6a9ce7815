"""Several providers as one: fall-back in order or several at once, the sick ones left alone, their results merged.

async with SearchPool(SearchSection.model_validate({"providers": [{"kind": "brave"}]})) as pool:
    answer = await pool.search(SearchRequest("capital of Peru"))
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from aag_ray.config import SearchSection
from aag_ray.web.search.answer import Attempt, SearchAnswer, SearchOutcome
from aag_ray.web.search.api import open_session
from aag_ray.web.search.breaker import HEALTHY, Breaker, Health
from aag_ray.web.search.merge import merged
from aag_ray.web.search.provider import Provider
from aag_ray.web.search.request import SearchRequest

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Member:
    """A provider of the pool, its place in the order of preference, and its health."""

    place: int
    provider: Provider
    breaker: Breaker

    @property
    def name(self) -> str:
        return self.provider.section.engine


@dataclass(slots=True)
class Asked:
    """A provider that is being waited for, since a moment of the loop's time."""

    member: Member
    since: float
    relieved: bool = False


class SearchPool:
    """Asks providers under one configuration, on one event loop. `clock` (seconds) is for their rests, and for tests."""

    def __init__(self, section: SearchSection, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.section = section
        self.clock = clock

    async def __aenter__(self) -> SearchPool:
        self.session = open_session()
        self.members = [
            Member(place, Provider(provider, self.session), Breaker(self.section.breaker, self.clock))
            for place, provider in enumerate(self.section.providers)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    @property
    def health(self) -> dict[str, Health]:
        """Each provider's state by name."""
        return {member.name: member.breaker.health for member in self.members}

    async def search(self, request: SearchRequest, *, deadline: float | None = None) -> SearchAnswer:
        """Ask until `answers` providers have given results, nobody is left, or `deadline` seconds (from the config) are over.

        What a provider does is never raised. Without results the outcome is EMPTY if anybody searched and found nothing,
        else the one reason of all, else ALL_FAILED; `attempts` has each provider's own.
        """
        return await Search(self, request, self.section.deadline_seconds if deadline is None else deadline).run()


class Search:
    """One search on its way."""

    def __init__(self, pool: SearchPool, request: SearchRequest, seconds: float) -> None:
        self.section = pool.section
        self.request = request
        self.seconds = seconds
        self.waiting = list(pool.members)
        self.asked: dict[asyncio.Task[SearchAnswer], Asked] = {}
        self.good: dict[int, SearchAnswer] = {}
        self.attempts: list[Attempt] = []
        self.loop = asyncio.get_running_loop()

    async def run(self) -> SearchAnswer:
        started = self.loop.time()
        until = started + self.seconds
        cut = SearchOutcome.OVERTAKEN
        try:
            for _ in range(self.section.answers):
                self._ask_next()
            while self.asked and len(self.good) < self.section.answers:
                slow = [asked.since + self.section.slow_seconds for asked in self.asked.values() if not asked.relieved]
                wake = min([until, *slow] if self.waiting else [until])
                done, _ = await asyncio.wait(
                    self.asked, timeout=max(0.0, wake - self.loop.time()), return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    self._take_in(task)
                if not done and self.loop.time() >= until:
                    cut = SearchOutcome.DEADLINE
                    break
                if not done:
                    self._relieve()
        finally:
            await self._give_up(cut)
        return self._answer(self.loop.time() - started)

    def _ask_next(self) -> None:
        while self.waiting:
            member = self.waiting.pop(0)
            if refusal := member.breaker.admit():
                self.attempts.append(Attempt(member.name, SearchOutcome.RESTING, refusal))
                continue
            self.asked[asyncio.create_task(member.provider.search(self.request))] = Asked(member, self.loop.time())
            return

    def _relieve(self) -> None:
        """Ask the next provider beside each one that has been silent for too long."""
        now = self.loop.time()
        for asked in list(self.asked.values()):
            if not asked.relieved and now >= asked.since + self.section.slow_seconds:
                asked.relieved = True
                self._ask_next()

    def _take_in(self, task: asyncio.Task[SearchAnswer]) -> None:
        asked, answer = self.asked.pop(task), task.result()
        asked.member.breaker.heard(answer)
        self.attempts.append(Attempt(asked.member.name, answer.outcome, answer.detail, len(answer.results), answer.seconds))
        if answer.ok:
            self.good[asked.member.place] = answer
            return
        if answer.outcome not in HEALTHY:
            log.warning("search: %s", self.attempts[-1])
        if not asked.relieved:  # whoever stood in for it is being asked already
            self._ask_next()

    async def _give_up(self, outcome: SearchOutcome) -> None:
        now = self.loop.time()
        for task, asked in self.asked.items():
            task.cancel()
            seconds = now - asked.since
            # Being cut short counts only against one that had its time.
            if seconds >= self.section.slow_seconds:
                asked.member.breaker.failed(f"no answer in {seconds:.1f} s")
            else:
                asked.member.breaker.released()
            self.attempts.append(Attempt(asked.member.name, outcome, f"no answer in {seconds:.1f} s", seconds=seconds))
        await asyncio.gather(*self.asked, return_exceptions=True)
        self.asked.clear()

    def _answer(self, seconds: float) -> SearchAnswer:
        attempts = tuple(self.attempts)
        detail = "; ".join(str(attempt) for attempt in attempts if attempt.detail or attempt.outcome not in HEALTHY)
        if self.good:
            answers = [self.good[place] for place in sorted(self.good)]
            names = ", ".join(answer.provider for answer in answers)
            results = merged(answer.results for answer in answers)
            return SearchAnswer(SearchOutcome.OK, detail, results, names, seconds, attempts)
        outcomes = {attempt.outcome for attempt in attempts}
        if not outcomes:
            return SearchAnswer(SearchOutcome.NOT_CONFIGURED, "no search provider is configured", seconds=seconds)
        if SearchOutcome.EMPTY in outcomes:
            return SearchAnswer(SearchOutcome.EMPTY, detail, seconds=seconds, attempts=attempts)
        only = outcomes.pop() if len(outcomes) == 1 else SearchOutcome.ALL_FAILED
        return SearchAnswer(only, detail, seconds=seconds, attempts=attempts)
