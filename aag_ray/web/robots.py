"""What a site's robots.txt allows (RFC 9309), read once and kept for a day."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from yarl import URL

from aag_ray.config import PolitenessSection
from aag_ray.web.fetched import Fetched, FetchOutcome

if TYPE_CHECKING:
    from protego import Protego

MAX_SITES = 10_000
# The site has no rules (RFC 9309, 2.3.1.3 and, for redirects, 2.3.1.2).
UNAVAILABLE = frozenset({FetchOutcome.HTTP_CLIENT_ERROR, FetchOutcome.TOO_MANY_REDIRECTS, FetchOutcome.REDIRECT_LOOP})
AGENT_LINE = re.compile(r"^\s*user[ -]?agent[\s:]+([^#]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RobotsVerdict:
    """Whether a URL may be asked for: OK, or an outcome with its reason. `crawl_delay` is in seconds."""

    outcome: FetchOutcome
    detail: str = ""
    crawl_delay: float | None = None


@dataclass
class Site:
    """The rules of one origin; `rules` None means that everything is disallowed, for the reason in `refusal`."""

    rules: Protego | None = None
    refusal: RobotsVerdict = field(default_factory=lambda: RobotsVerdict(FetchOutcome.ROBOTS_UNREACHABLE))
    expires: float = 0.0
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class Robots:
    """Asks `read` for a site's robots.txt when it is first needed. `read` stands under the same guard as every page."""

    def __init__(
        self,
        config: PolitenessSection,
        read: Callable[[URL], Awaitable[Fetched]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.read = read
        self.clock = clock
        self.sites: OrderedDict[URL, Site] = OrderedDict()

    async def verdict(self, url: URL) -> RobotsVerdict:
        """What the site of a URL says to this agent about it."""
        site = await self._site(url)
        if site.rules is None:
            return site.refusal
        if not site.rules.can_fetch(str(url), self.config.agent):
            detail = f"{url.origin()}/robots.txt disallows {url.raw_path_qs} for {self.config.agent}"
            return RobotsVerdict(FetchOutcome.ROBOTS_DISALLOWED, detail)
        return RobotsVerdict(FetchOutcome.OK, crawl_delay=site.rules.crawl_delay(self.config.agent))

    async def sitemaps(self, url: URL) -> tuple[str, ...]:
        """The sitemaps a site names, unchecked: they are fetched under the guard like any URL."""
        site = await self._site(url)
        return tuple(site.rules.sitemaps) if site.rules else ()

    async def _site(self, url: URL) -> Site:
        origin = url.origin()
        site = self.sites.setdefault(origin, Site())
        self.sites.move_to_end(origin)
        while len(self.sites) > MAX_SITES:
            self.sites.popitem(last=False)
        async with site.reading:
            if self.clock() >= site.expires:
                self._keep(site, await self.read(origin.with_path("/robots.txt")))
        return site

    def _keep(self, site: Site, fetched: Fetched) -> None:
        if fetched.ok or fetched.outcome in UNAVAILABLE:
            site.rules = parse_robots(fetched.body, self.config)
            site.expires = self.clock() + self.config.robots_keep_seconds
            return
        # An answer that is no answer forbids everything (RFC 9309, 2.3.1.4); where there was none, its reason says more.
        outcome = FetchOutcome.ROBOTS_UNREACHABLE if fetched.status else fetched.outcome
        site.rules = None
        site.refusal = RobotsVerdict(outcome, f"{fetched.url} could not be read ({fetched.outcome}): {fetched.detail}")
        site.expires = self.clock() + self.config.robots_retry_seconds


def parse_robots(body: bytes, config: PolitenessSection) -> Protego:
    """The rules in the first `robots_bytes` of a robots.txt. Never raises: what cannot be read is no rule.

    Groups for other robots are folded into one, because the parser's time grows with agents times rules and a hostile
    file can name tens of thousands of each.
    """
    from protego import Protego

    text = body[: config.robots_bytes].removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    agent = config.agent.lower()

    def folded(line: str) -> str:
        if not (named := AGENT_LINE.match(line)):
            return line
        name = named[1].strip().lower()
        bare = name.replace("*", "")
        return f"user-agent: {name if name == '*' else bare if bare and bare in agent else 'another robot'}"

    return Protego.parse("\n".join(map(folded, text.splitlines())))
