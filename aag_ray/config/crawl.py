"""Everything `jobs/crawl.py` and `jobs/tag.py` can be told."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from aag_ray.config.basics import JobConfig, Natural, Positive, RunSection
from aag_ray.config.fetch import FetchSection
from aag_ray.config.pages import PagesSection
from aag_ray.config.search import SearchSection
from aag_ray.settings import Section


class ScopeSection(Section):
    """Which links are followed: how far from a seed, to which hosts, and by regular expressions that a URL is searched for.

    A URL must match one of `include`, if there are any, and none of `exclude`. Seeds are always in scope.
    """

    depth: Natural = 3
    hosts: Literal["seeds", "any"] = "seeds"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @model_validator(mode="after")
    def patterns_can_be_read(self) -> ScopeSection:
        for pattern in (*self.include, *self.exclude):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
        return self


class CrawlSection(Section):
    """Where a crawl starts, how far it goes, and how the work is shared.

    It runs in rounds. In a round a host gives at most `host_urls` pages, all to one worker, which reads whole hosts, together
    about `batch_urls` pages at a time; after `round_seconds` the rest of a round is left for a later one. `max_pages` counts
    the URLs that were asked for, `max_seconds` the time of one call. A site map gives at most `sitemap_urls`, a query `results`
    seeds.
    """

    seeds: tuple[str, ...] = ()
    sitemaps: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()
    results: Positive = 10
    sitemap_urls: Positive = 50_000
    scope: ScopeSection = ScopeSection()
    max_pages: Positive = 1000
    max_seconds: float = Field(default=3600.0, gt=0)
    round_seconds: float = Field(default=600.0, gt=0)
    host_urls: Positive = 200
    batch_urls: Positive = 1000
    actors: Positive = 2
    cpus_per_actor: float = Field(default=1.0, gt=0)


class WebRunSection(RunSection):
    """The run that a crawl and what is made of it share."""

    name: str = Field(default="web", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


class CrawlConfig(JobConfig):
    """Everything `jobs/crawl.py` can be told."""

    run: WebRunSection = WebRunSection()  # pyright: ignore[reportIncompatibleVariableOverride]  # a default of its own
    crawl: CrawlSection = CrawlSection()
    fetch: FetchSection = FetchSection()
    search: SearchSection = SearchSection()
    pages: PagesSection = PagesSection()

    @model_validator(mode="after")
    def has_a_start(self) -> CrawlConfig:
        if self.crawl.queries and not self.search.providers:
            raise ValueError("crawl.queries needs at least one entry in search.providers")
        return self


class TagConfig(JobConfig):
    """Everything `jobs/tag.py` can be told. It reads the crawl of the same run."""

    run: WebRunSection = WebRunSection()  # pyright: ignore[reportIncompatibleVariableOverride]  # a default of its own
    pages: PagesSection = PagesSection()
    batch_pages: Positive = 64
    actors: Positive = 2
    cpus_per_actor: float = Field(default=1.0, gt=0)
