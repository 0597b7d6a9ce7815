"""Asking for pages: every redirect re-checked, every host treated politely, every end a typed outcome.

    async with Fetcher(FetchSection()) as fetcher:
        fetched = await fetcher.fetch("https://example.org/", deadline=5.0)

One Fetcher belongs to one event loop. A crawl gives it all URLs of a host at once (`fetch_all`, `stay_on_host`); an
answer on the spot gives it a deadline and, for news, a `max_age`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from aiohttp.abc import AbstractResolver
from yarl import URL

from aag_ray.config import FetchSection
from aag_ray.web.archive import Archive, ArchiveError
from aag_ray.web.cache import CacheError, PageCache, open_cache
from aag_ray.web.cached_page import CachedPage, fresh_seconds
from aag_ray.web.content_type import media_type
from aag_ray.web.exchange import Exchange, Reply, Wanted, outcome_of
from aag_ray.web.fetched import Fetched, FetchOutcome, FetchStopped, header
from aag_ray.web.guard import Guard
from aag_ray.web.politeness import RESTING, Politeness, host_key, retry_after, user_agent
from aag_ray.web.robots import Robots
from aag_ray.web.urls import canonical_url

ARCHIVED_AT_ONCE = 262_144  # bytes, 1 ms: to hand a smaller page to a thread takes longer than to write it
REDIRECTS = frozenset({301, 302, 303, 307, 308})
NO_ANSWER = frozenset({FetchOutcome.DNS_FAILED, FetchOutcome.CONNECT_FAILED, FetchOutcome.TIMEOUT, FetchOutcome.TOO_SLOW})
WAITING = frozenset({FetchOutcome.WAIT_TOO_LONG, FetchOutcome.DEADLINE, FetchOutcome.HOST_DOWN})
log = logging.getLogger(__name__)


@dataclass
class Errand:
    """One URL on its way: how it is to be read, and what has been learned so far."""

    url: str
    wanted: Wanted
    until: float | None = None
    stay_on_host: bool = False
    is_robots: bool = False
    hops: list[str] = field(default_factory=list)
    away: str = ""
    reply: Reply | None = None

    def ended(self, outcome: FetchOutcome, detail: str = "") -> Fetched:
        """What it came to, with the last answer where there was one."""
        reply = self.reply
        last = self.hops[-1] if self.hops else self.url
        if reply is None:
            return Fetched(self.url, self.away or last, outcome, detail, hops=tuple(self.hops), fetched_at=time.time())
        ok = outcome is FetchOutcome.OK
        return Fetched(
            url=self.url, final_url=self.away or last, outcome=outcome, detail=detail, status=reply.status,
            headers=reply.headers, body=reply.body if ok else b"", content_type=header(reply.headers, "content-type"),
            fetched_at=time.time(), hops=tuple(self.hops), wire_bytes=reply.wire_bytes,
        )  # fmt: skip


class Fetcher:
    """Reads pages under one configuration. `resolver` answers for names (by default the system's); it is always guarded."""

    def __init__(
        self,
        config: FetchSection,
        *,
        resolver: AbstractResolver | None = None,
        cache: PageCache | None = None,
        archive: Archive | None = None,
    ) -> None:
        self.config = config
        self.resolver = resolver
        self.cache = cache
        self.archive = archive
        self.guard = Guard(config.guard, config.limits.url_bytes)
        self.politeness = Politeness(config.politeness)
        self.robots = Robots(config.politeness, self._read_robots)
        self.slots = asyncio.Semaphore(config.politeness.concurrency)

    async def __aenter__(self) -> Fetcher:
        """Open what the configuration names.

        Raises CacheError if the cache's file cannot be opened, ConfigError if `ca_bundle` holds no certificates.
        """
        self.cache = self.cache or open_cache(self.config.cache)
        if self.archive is None and self.config.archive is not None:
            self.archive = Archive(self.config.archive)
        agent = user_agent(self.config.politeness)
        self.exchange = Exchange(self.guard, self.config.limits, agent, self.resolver, self.config.ca_bundle)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.exchange.close()
        if self.cache is not None:
            await self.cache.close()
        if self.archive is not None:
            self.archive.close()

    async def fetch(
        self,
        url: str,
        *,
        content_types: Sequence[str] | None = None,
        deadline: float | None = None,
        max_age: float | None = None,
        stay_on_host: bool = False,
    ) -> Fetched:
        """Read one page. Whatever a URL or a server does is an outcome; only cancellation is raised.

        `content_types` replaces the configured ones (a sitemap: `("application/xml", "text/xml")`). `deadline` is in
        seconds from now and covers waiting. A cached page not older than `max_age` seconds is taken unasked, else as
        long as its server said. With `stay_on_host`, a redirect to another host ends as REDIRECTED_AWAY with its target
        as `final_url`.
        """
        limits = self.config.limits
        wanted = Wanted(limits.content_types if content_types is None else tuple(content_types), limits.body_bytes)
        until = None if deadline is None else self.politeness.clock() + deadline
        errand = Errand(url, wanted, until, stay_on_host)
        started = time.monotonic()
        limit = asyncio.timeout(deadline)
        try:
            async with limit:
                fetched = await self._fetch(errand, max_age)
        except FetchStopped as stop:
            fetched = errand.ended(stop.outcome, stop.detail)
        except Exception as error:
            if limit.expired():
                fetched = errand.ended(FetchOutcome.DEADLINE, f"not done within {deadline:g} s")
            else:
                log.exception("while fetching %s", url)
                fetched = errand.ended(FetchOutcome.FAILED, f"{type(error).__name__}: {error}")
        return replace(fetched, seconds=time.monotonic() - started)

    async def fetch_all(
        self,
        urls: Iterable[str],
        *,
        in_flight: int = 1000,
        content_types: Sequence[str] | None = None,
        deadline: float | None = None,
        max_age: float | None = None,
        stay_on_host: bool = False,
    ) -> AsyncGenerator[Fetched, None]:
        """Read many pages and give each as it ends. `urls` is drawn as they end: at most `in_flight` are waiting or read."""
        source = iter(urls)
        tasks: set[asyncio.Task[Fetched]] = set()
        ended: asyncio.Queue[asyncio.Task[Fetched]] = asyncio.Queue()
        try:
            while True:
                for url in islice(source, in_flight - len(tasks)):
                    task = asyncio.create_task(
                        self.fetch(
                            url, content_types=content_types, deadline=deadline, max_age=max_age, stay_on_host=stay_on_host
                        )
                    )
                    task.add_done_callback(ended.put_nowait)
                    tasks.add(task)
                if not tasks:
                    return
                done = await ended.get()
                tasks.discard(done)
                yield done.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, errand: Errand, max_age: float | None) -> Fetched:
        start = self.guard.check(errand.url)
        key = canonical_url(str(start)) if self.cache is not None else ""
        cached, trouble = await self._recalled(key, errand.wanted)
        now = time.time()
        if cached and (now <= cached.fresh_until if max_age is None else now - cached.checked_at <= max_age):
            return cached.fetched(errand.url)
        reply = await self._follow(start, errand, cached)
        if cached and reply.status == 304:
            renewed = cached.renewed(reply.headers, time.time(), self.config.cache.fresh_seconds)
            trouble += await self._kept(key, renewed)
            return replace(renewed.fetched(errand.url), hops=tuple(errand.hops), detail=trouble)
        fetched = errand.ended(*outcome_of(reply))
        if not fetched.ok:
            return fetched
        if self.archive is not None:
            try:
                small = len(fetched.body) <= ARCHIVED_AT_ONCE
                record = self.archive.write(fetched) if small else await asyncio.to_thread(self.archive.write, fetched)
                fetched = replace(fetched, record=record)
            except ArchiveError as error:
                trouble += f"{error}; "
        fresh = fresh_seconds(fetched.headers, self.config.cache.fresh_seconds)
        if self.cache is not None and fresh is not None:
            at = fetched.fetched_at
            page = CachedPage(
                fetched.final_url, fetched.status, fetched.headers, at, at, at + fresh, fetched.body, fetched.record
            )
            trouble += await self._kept(key, page)
        return replace(fetched, detail=trouble)

    async def _recalled(self, key: str, wanted: Wanted) -> tuple[CachedPage | None, str]:
        if self.cache is None:
            return None, ""
        try:
            page = await self.cache.get(key)
        except CacheError as error:
            return None, f"{error}; "
        if page and wanted.content_types is not None:
            kind = media_type(header(page.headers, "content-type"))
            page = page if kind in {*wanted.content_types, ""} else None
        return page, ""

    async def _kept(self, key: str, page: CachedPage) -> str:
        try:
            if self.cache is not None:
                await self.cache.put(key, page)
        except CacheError as error:
            return f"{error}; "
        return ""

    async def _follow(self, url: URL, errand: Errand, cached: CachedPage | None = None) -> Reply:
        home, seen = host_key(url), {url}
        while True:
            # Validators are the final URL's own, and no business of another one on the way.
            conditions = cached.conditions if cached and cached.final_url == str(url) else {}
            reply = await self._ask(url, errand, conditions)
            if reply.status not in REDIRECTS:
                return reply
            target = self._target(url, reply)
            if errand.stay_on_host and host_key(target) != home:
                errand.away = str(target)
                raise FetchStopped(FetchOutcome.REDIRECTED_AWAY, f"{url} redirects to {target}")
            if target in seen:
                raise FetchStopped(FetchOutcome.REDIRECT_LOOP, f"{url} redirects back to {target}")
            if len(seen) > self.config.limits.redirects:
                raise FetchStopped(
                    FetchOutcome.TOO_MANY_REDIRECTS, f"more than {self.config.limits.redirects}, the last to {target}"
                )
            seen.add(target)
            url = target

    def _target(self, url: URL, reply: Reply) -> URL:
        location = header(reply.headers, "location").strip()
        try:
            target = url.join(URL(location)) if location else None
        except ValueError as error:
            raise FetchStopped(FetchOutcome.BAD_REDIRECT, f"{url} redirects to {location[:200]!r}: {error}") from None
        if target is None:
            raise FetchStopped(FetchOutcome.BAD_REDIRECT, f"{url} answered {reply.status} without a Location")
        try:
            return self.guard.check(target)
        except FetchStopped as stop:
            raise FetchStopped(stop.outcome, f"redirected by {url}: {stop.detail}") from None

    async def _ask(self, url: URL, errand: Errand, conditions: dict[str, str]) -> Reply:
        polite, delay, reply = self.config.politeness, 0.0, None
        if not errand.is_robots:
            delay = polite.delay_seconds
            if polite.robots:
                verdict = await self.robots.verdict(url)
                if verdict.outcome is not FetchOutcome.OK:
                    raise FetchStopped(verdict.outcome, verdict.detail)
                delay = max(delay, verdict.crawl_delay or 0.0)
        for _ in range(polite.retries + 1):
            try:
                async with self.politeness.turn(host_key(url), delay, errand.until) as host, self.slots:
                    errand.hops.append(str(url))
                    errand.reply = None
                    try:
                        errand.reply = reply = await self.exchange.get(url, errand.wanted, conditions)
                    except FetchStopped as stop:
                        if stop.outcome in NO_ANSWER:
                            self.politeness.failed(host)
                        raise
                    self.politeness.heard(host, reply.status, retry_after(header(reply.headers, "retry-after"), time.time()))
            except FetchStopped as stop:
                if reply is None or stop.outcome not in WAITING:
                    raise
                raise FetchStopped(FetchOutcome.RATE_LIMITED, f"{url} answered {reply.status}; {stop.detail}") from None
            if reply.status not in RESTING:
                break
        assert reply is not None  # there was at least one round
        return reply

    async def _read_robots(self, url: URL) -> Fetched:
        errand = Errand(str(url), Wanted(None, self.config.politeness.robots_bytes, cut=True), is_robots=True)
        try:
            return errand.ended(*outcome_of(await self._follow(self.guard.check(url), errand)))
        except FetchStopped as stop:
            return errand.ended(stop.outcome, stop.detail)
