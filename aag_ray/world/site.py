"""The plan of the local web: which hosts there are, which page stands where, and the way back from a URL to its page.

Nothing is stored for a page: its host, path and day follow from its number, so a web of any size takes no memory.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from aag_ray.config import RAY_PORTS, WorldSection
from aag_ray.settings import Section
from aag_ray.world.facts import Entity, load_elements, load_places
from aag_ray.world.relations import slug
from aag_ray.world.telling import tell
from aag_ray.world.world import World, build_world

DOMAIN = "world.test"  # RFC 6761: a top-level name that never exists
LISTED = 50  # pages on one page of a host's list
OLDEST_DAYS = 2400
TOLD = 4096  # tellings that are kept, about a kilobyte each: hosts are crawled side by side in the same order


class Style(StrEnum):
    """What kind of site a host is. The ordinary ones first, in the order in which hosts are given out."""

    ENCYCLOPAEDIA = "encyclopaedia"
    TRAVEL = "travel"
    NEWS = "news"
    BLOG = "blog"
    STATISTICS = "statistics"
    FORUM = "forum"
    MIRROR = "mirror"
    ARCHIVE = "archive"
    SPAM = "spam"
    HOSTILE = "hostile"
    SEARCH = "search"


ORDINARY = tuple(Style)[:8]
PATHS = {
    Style.ENCYCLOPAEDIA: "/wiki/{slug}",
    Style.TRAVEL: "/destinations/{slug}/",
    Style.NEWS: "/{day:%Y/%m/%d}/{slug}-explained",
    Style.BLOG: "/post/{slug}",
    Style.STATISTICS: "/data/{slug}.html",
    Style.FORUM: "/t/{slug}/{number}",
    Style.MIRROR: "/{language}/{slug}",
    Style.ARCHIVE: "/mirror/{slug}",
    Style.SPAM: "/answers/{slug}",
}
_SLUG = re.compile(
    r"/(?:wiki|destinations|\d{4}/\d\d/\d\d|post|data|t|de|fr|es|mirror|answers)"
    r"/([a-z0-9-]+?)(?:-explained)?(?:--(\d+))?(?:-explained)?(?:\.html|/\d*)?"
)
LANGUAGES = ("de", "fr", "es")


class SiteSection(Section):
    """The local web. `pages` are articles on the `hosts` ordinary hosts; spam, hostile and search have a host each.

    `port` 0 takes a free one. `crawl_delay` is what the first archive host asks for, in seconds. With `bias` spam, the search
    endpoint puts pages with wrong answers first. `index` is when it builds its index: a millisecond for each page, which a
    crawl need not wait for. `today` is the day that dates and time ranges count back from.
    """

    hosts: Annotated[int, Field(ge=1, le=200)] = 8
    pages: Annotated[int, Field(gt=0)] = 4000
    seed: Annotated[int, Field(ge=0)] = 29
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    crawl_delay: Annotated[float, Field(ge=0)] = 0.1
    bias: Literal["none", "spam"] = "none"
    index: Literal["at_start", "at_first_search"] = "at_start"
    today: datetime.date = datetime.date(2026, 1, 15)
    world: WorldSection = WorldSection()

    @model_validator(mode="after")
    def every_host_has_a_page(self) -> SiteSection:
        if self.pages < self.hosts:
            raise ValueError(f"pages={self.pages} are fewer than hosts={self.hosts}")
        if self.port in RAY_PORTS:
            raise ValueError(f"port={self.port} is one of Ray's own ports, which no crawler asks")
        return self


class Host(NamedTuple):
    """One host. `address` is a loopback address, `place` its number among the hosts of its style."""

    number: int
    style: Style
    place: int
    name: str
    address: str


class Page(NamedTuple):
    """One article: the `at`-th of its host, about entity number `entity`, in edition `edition` (from 0)."""

    host: Host
    at: int
    number: int
    entity: int
    edition: int


@dataclass(frozen=True)
class Catalogue:
    """All entities in the order in which pages are made of them, those of test questions first."""

    entities: tuple[Entity, ...]
    slugs: tuple[str, ...]

    @cached_property
    def by_slug(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.slugs)}

    @cached_property
    def by_name(self) -> dict[tuple[str, str], int]:
        return {(entity.kind, entity.name): number for number, entity in enumerate(self.entities)}

    @cached_property
    def at_home(self) -> dict[str, tuple[int, ...]]:
        """Country name -> its cities."""
        homes: dict[str, list[int]] = {}
        for number, entity in enumerate(self.entities):
            if entity.kind == "city":
                homes.setdefault(entity.home, []).append(number)
        return {home: tuple(cities) for home, cities in homes.items()}

    @cached_property
    def elements(self) -> tuple[Entity, ...]:
        return tuple(self.entities[number] for number in self.of_kind["element"])

    @cached_property
    def places(self) -> tuple[int, ...]:
        return tuple(number for number, entity in enumerate(self.entities) if entity.kind != "element")

    @cached_property
    def of_kind(self) -> dict[str, tuple[int, ...]]:
        kinds = ("country", "element", "city")
        return {kind: tuple(n for n, entity in enumerate(self.entities) if entity.kind == kind) for kind in kinds}

    @classmethod
    def build(cls, world: World, min_city_population: int) -> Catalogue:
        """Entities asked about in test, dev and train, then all others."""
        (countries, cities), elements = load_places(min_city_population), load_elements()
        known = {(entity.kind, entity.name): entity for entity in (*countries, *elements, *cities)}
        asked = [
            (question.id.split("-")[1], question.entity) for s in ("test", "dev", "train") for question in world.questions[s]
        ]
        ordered = tuple(known[key] for key in dict.fromkeys([*asked, *known]))
        slugs: dict[str, None] = {}
        for entity in ordered:
            plain = slug(entity.name)
            slugs[plain if plain not in slugs else f"{plain}-{entity.kind}"] = None
        return cls(ordered, tuple(slugs))


def known_world(section: WorldSection, seed: int) -> tuple[World, Catalogue]:
    """The questions and entities behind a web; kept, because building them takes seconds. Errors: see `build_world`."""
    return _known_world(section.model_dump_json(), seed)


@lru_cache(maxsize=2)
def _known_world(settings: str, seed: int) -> tuple[World, Catalogue]:
    section = WorldSection.model_validate_json(settings)
    world = build_world(section, seed)
    return world, Catalogue.build(world, section.min_city_population)


class Site:
    """All hosts and pages of one web. Raises ImportError and ValueError as `build_world` does."""

    def __init__(self, section: SiteSection) -> None:
        self.section = section
        self.world, self.catalogue = known_world(section.world, section.seed)
        styles = [ORDINARY[number % len(ORDINARY)] for number in range(section.hosts)]
        self.ordinary = tuple(self._host(number, style, number // len(ORDINARY)) for number, style in enumerate(styles))
        special = (Style.SPAM, Style.HOSTILE, Style.SEARCH)
        self.spam, self.hostile, self.search = (self._host(section.hosts + n, style, 0) for n, style in enumerate(special))
        self.hosts = (*self.ordinary, self.spam, self.hostile, self.search)
        self.told = lru_cache(maxsize=TOLD)(self._told)
        self.by_name = {host.name: host for host in self.hosts}
        self.by_address = {host.address: host for host in self.hosts}

    def _host(self, number: int, style: Style, place: int) -> Host:
        name = f"{style}-{place + 1}" if place else str(style)
        return Host(number, style, place, f"{name}.{DOMAIN}", f"127.0.0.{number + 2}")

    def subjects(self, style: Style) -> Sequence[int]:
        """The entities that sites of a style write about, in the order of their pages."""
        if style in (Style.TRAVEL, Style.MIRROR):
            return self.catalogue.places
        return range(len(self.catalogue.entities))

    def count(self, host: Host) -> int:
        """How many articles stand on a host."""
        if host.style is Style.SPAM:
            return min(len(self.catalogue.entities), -(-self.section.pages // self.section.hosts))
        if host.style not in ORDINARY:
            return 0
        whole, rest = divmod(self.section.pages, self.section.hosts)
        return whole + (host.number < rest)

    def page(self, host: Host, index: int) -> Page:
        """The `index`-th article of a host. Raises IndexError if there is none."""
        if not 0 <= index < self.count(host):
            raise IndexError(f"{host.name} has {self.count(host)} articles, none with the number {index}")
        subjects = self.subjects(host.style)
        edition, rank = divmod(index * self._peers(host.style) + host.place, len(subjects))
        number = self.section.pages + index if host.style is Style.SPAM else index * self.section.hosts + host.number
        return Page(host, index, number, subjects[rank], edition)

    def numbered(self, number: int) -> Page:
        """The article with a number: those of the ordinary hosts first, then the spam host's. Raises IndexError if none."""
        if number >= self.section.pages:
            return self.page(self.spam, number - self.section.pages)
        index, host = divmod(number, self.section.hosts)
        return self.page(self.ordinary[host], index)

    def pages(self, host: Host) -> Iterator[Page]:
        return (self.page(host, index) for index in range(self.count(host)))

    def articles(self) -> Iterator[Page]:
        """Every article of the ordinary hosts, then those of the spam host."""
        return (page for host in (*self.ordinary, self.spam) for page in self.pages(host))

    def about(self, style: Style, entity: int, edition: int = 0) -> Page | None:
        """A style's page about an entity, on whichever host it is."""
        subjects, peers = self.subjects(style), self._peers(style)
        rank = self._rank(style, entity)
        if rank is None or not peers or edition < 0:
            return None
        index, place = divmod(edition * len(subjects) + rank, peers)
        host = self.spam if style is Style.SPAM else self.ordinary[place * len(ORDINARY) + ORDINARY.index(style)]
        return self.page(host, index) if index < self.count(host) else None

    def find(self, host: Host, path: str) -> Page | None:
        """The article at a path, or None."""
        found = _SLUG.fullmatch(path)
        entity = self.catalogue.by_slug.get(found[1]) if found else None
        if found is None or entity is None or host.style not in PATHS:
            return None
        page = self.about(host.style, entity, int(found[2] or 1) - 1)
        return page if page is not None and page.host == host and self.path(page) == path else None

    def path(self, page: Page) -> str:
        name = self.catalogue.slugs[page.entity] + (f"--{page.edition + 1}" if page.edition else "")
        form = PATHS[page.host.style]
        return form.format(slug=name, day=self.day(page), number=page.number + 1000, language=self.language(page))

    def entity(self, page: Page) -> Entity:
        return self.catalogue.entities[page.entity]

    def language(self, page: Page) -> str:
        return LANGUAGES[page.entity % len(LANGUAGES)] if page.host.style is Style.MIRROR else "en"

    def day(self, page: Page) -> datetime.date:
        """When it was published: the newer, the more pages, as on the real web."""
        dice = (page.number * 2654435761 + self.section.seed * 97 + 12345) % 2**32 / 2**32  # Knuth's multiplicative hash
        age = int(OLDEST_DAYS * dice**3)
        return self.section.today - datetime.timedelta(days=age)

    def _told(self, entity: int, wording: int) -> tuple[str, ...]:
        return tuple(passage.text for passage in tell(self.catalogue.entities[entity], self.section.seed * 1000 + wording))

    def lists(self, host: Host) -> int:
        """How many pages a host's list of articles has."""
        return -(-self.count(host) // LISTED)

    def _peers(self, style: Style) -> int:
        if style is Style.SPAM:
            return 1
        whole, rest = divmod(self.section.hosts, len(ORDINARY))
        return whole + (style in ORDINARY[:rest])

    def _rank(self, style: Style, entity: int) -> int | None:
        if self.subjects(style) is not self.catalogue.places:
            return entity
        return self._place_ranks.get(entity)

    @cached_property
    def _place_ranks(self) -> dict[int, int]:
        return {entity: rank for rank, entity in enumerate(self.catalogue.places)}
