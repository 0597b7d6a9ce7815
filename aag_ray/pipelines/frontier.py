"""What a crawl has yet to ask for: seeds, scope, depth, and whose turn it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from aag_ray.config import CrawlConfig
from aag_ray.pipelines.rows import Row
from aag_ray.settings import ConfigError
from aag_ray.web.fetch import Fetcher
from aag_ray.web.fetched import FetchOutcome, FetchStopped
from aag_ray.web.guard import Guard
from aag_ray.web.politeness import host_key
from aag_ray.web.sitemap import read_sitemap
from aag_ray.web.urls import canonical_url

# Not asked in its round's time: once more in a later one.
POSTPONED = frozenset({FetchOutcome.DEADLINE.value, FetchOutcome.WAIT_TOO_LONG.value})
TRIES = 3
# Links that need no second look, as they are written: a site's pages repeat most of them. Bounded, because the web is not.
JUDGED = 200_000


class Frontier:
    """URLs that are known and waiting, in the order they were found, those near a seed first. Deterministic: replaying the
    same rounds gives the same frontier."""

    def __init__(self, config: CrawlConfig, seeds: Sequence[Row]) -> None:
        self._crawl, self._guard = config.crawl, Guard(config.fetch.guard, config.fetch.limits.url_bytes)
        self._include, self._exclude = (
            [re.compile(pattern) for pattern in patterns]
            for patterns in (config.crawl.scope.include, config.crawl.scope.exclude)
        )
        self._hosts = {row["host"] for row in seeds}
        self._known = {row["id"] for row in seeds}
        self._waiting = {row["id"]: row for row in seeds}
        self._judged: set[str] = set()
        self._ready_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def next_round(self, most: int) -> list[Row]:
        """Take at most `most` URLs, nearest to the seeds first and of each host at most `host_urls`."""
        of_host: dict[str, int] = {}
        chosen: list[Row] = []
        for row in sorted(self._waiting.values(), key=lambda row: row["depth"]):
            if len(chosen) >= most:
                break
            of_host[row["host"]] = of_host.get(row["host"], 0) + 1
            if of_host[row["host"]] <= self._crawl.host_urls:
                chosen.append(row | {"ready_at": self._ready_at.get(row["host"], 0.0)})
        self.take(chosen)
        return chosen

    def take(self, rows: Iterable[Row]) -> None:
        """These are being asked for: they wait no longer."""
        for row in rows:
            self._waiting.pop(row["id"], None)

    def absorb(self, rows: Iterable[Row]) -> None:
        """What a round found: new links in scope, and what it had no time for."""
        for row in rows:
            self._ready_at[row["host"]] = max(self._ready_at.get(row["host"], 0.0), row["ready_at"])
            away = row["outcome"] == FetchOutcome.REDIRECTED_AWAY.value
            for link in row["links"] or ():
                self._add(link, row["depth"] + (0 if away else 1), row["id"])
            if row["outcome"] in POSTPONED and row["tries"] + 1 < TRIES:
                again = {name: row[name] for name in ("id", "url", "host", "depth", "found_on", "ready_at")}
                self._waiting[row["id"]] = again | {"tries": row["tries"] + 1}

    def _add(self, link: str, depth: int, found_on: str) -> None:
        if depth > self._crawl.scope.depth or link in self._judged:
            return
        if len(self._judged) >= JUDGED:
            self._judged.clear()
        self._judged.add(link)
        row = new_row(self._guard, link, depth, found_on)
        if row is None or row["id"] in self._known:
            return
        if self._crawl.scope.hosts == "seeds" and row["host"] not in self._hosts:
            return
        if self._include and not any(pattern.search(link) for pattern in self._include):
            return
        if any(pattern.search(link) for pattern in self._exclude):
            return
        self._known.add(row["id"])
        self._waiting[row["id"]] = row


def new_row(guard: Guard, url: str, depth: int, found_on: str) -> Row | None:
    """A URL as a row of the frontier, or None if the guard refuses it as it is written."""
    try:
        host = host_key(guard.check(url))
        identity = canonical_url(url)
    except (FetchStopped, ValueError):
        return None
    return {"id": identity, "url": url, "host": host, "depth": depth, "found_on": found_on, "ready_at": 0.0, "tries": 0}


async def first_rows(config: CrawlConfig) -> list[Row]:
    """Seeds, pages of site maps and results of searches, each URL once. Raises ConfigError if none of them can be asked."""
    guard = Guard(config.fetch.guard, config.fetch.limits.url_bytes)
    rows: dict[str, Row] = {}
    problems: list[str] = []

    def add(url: str, found_on: str) -> None:
        try:
            guard.check(url)
        except FetchStopped as stop:
            problems.append(f"{stop.outcome}: {stop.detail}")
        if (row := new_row(guard, url, 0, found_on)) is not None:
            rows.setdefault(row["id"], row)

    for seed in config.crawl.seeds:
        add(seed, "seed")
    if config.crawl.sitemaps:
        async with Fetcher(config.fetch.model_copy(update={"archive": None})) as fetcher:
            for address in config.crawl.sitemaps:
                found = await read_sitemap(fetcher, address, config.crawl.sitemap_urls)
                problems += found.failures
                for url in found.urls:
                    add(url, address)
    for query, urls, failures in await _searched(config):
        problems += failures
        for url in urls:
            add(url, f"search: {query}")
    for problem in problems[:20]:
        print(f"seed left out: {problem}", flush=True)
    if not rows:
        raise ConfigError(f"nothing to crawl: {problems[0] if problems else 'no site map or search named a page'}")
    return list(rows.values())


async def _searched(config: CrawlConfig) -> list[tuple[str, list[str], list[str]]]:
    if not config.crawl.queries:
        return []
    from aag_ray.web.search.pool import SearchPool
    from aag_ray.web.search.request import SearchRequest

    found = []
    async with SearchPool(config.search) as pool:
        for query in config.crawl.queries:
            answer = await pool.search(SearchRequest(query, count=config.crawl.results))
            failures = [] if answer.results else [f"search {query!r}: {answer.outcome}: {answer.detail}"]
            found.append((query, [result.url for result in answer.results], failures))
    return found
