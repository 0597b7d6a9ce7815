"""What is searched for, in the same words for every engine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from yarl import URL

LANGUAGE = re.compile(r"(?P<language>[a-z]{2,3})(?:-(?P<region>[A-Z]{2}))?")
DOMAIN = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


class Freshness(StrEnum):
    """How old a result may be at most."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"

    @property
    def days(self) -> int:
        return {"day": 1, "week": 7, "month": 31, "year": 365}[self.value]


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One search. `count` is results a page, `page` starts at 1, `language` is `de` or `de-CH`.

    A domain stands for itself and every name below it; results from others never come back, whatever an engine does with
    the wish. Engines give fewer results where their own limit is lower, and Tavily knows no language. Raises ValueError
    for what cannot be asked.
    """

    query: str
    count: int = 10
    language: str | None = None
    freshness: Freshness | None = None
    include_domains: tuple[str, ...] = ()
    exclude_domains: tuple[str, ...] = ()
    page: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "query", " ".join(self.query.split()))
        if not self.query:
            raise ValueError("an empty query cannot be searched for")
        if self.count < 1 or self.page < 1:
            raise ValueError(f"count={self.count} and page={self.page} must be at least 1")
        if self.language is not None and not LANGUAGE.fullmatch(self.language):
            raise ValueError(f"language={self.language!r} is not a code as de or de-CH")
        if self.freshness is not None:
            object.__setattr__(self, "freshness", Freshness(self.freshness))
        for field in ("include_domains", "exclude_domains"):
            object.__setattr__(self, field, tuple(map(domain, getattr(self, field))))

    @property
    def language_code(self) -> str:
        """`de` of `de-CH`; empty where nothing is asked."""
        return (self.language or "").partition("-")[0]

    @property
    def region(self) -> str:
        """`CH` of `de-CH`; empty where nothing is asked."""
        return (self.language or "").partition("-")[2]

    @property
    def query_with_sites(self) -> str:
        """The query with the domains as operators, for engines without a parameter for them. OR binds first, as at Google."""
        return self.with_sites("{}")

    def with_sites(self, group: str) -> str:
        """The same where several wanted domains must be grouped: `group` is "({})" for an engine whose OR binds last."""
        wanted = " OR ".join(f"site:{name}" for name in self.include_domains)
        wanted = group.format(wanted) if len(self.include_domains) > 1 else wanted
        return " ".join(filter(None, [self.query, wanted, *(f"-site:{name}" for name in self.exclude_domains)]))

    def wants(self, url: str) -> bool:
        """Whether a URL's host is inside the asked domains and outside the refused ones."""
        host = (URL(url).raw_host or "").removesuffix(".")
        inside = not self.include_domains or any(below(host, name) for name in self.include_domains)
        return inside and not any(below(host, name) for name in self.exclude_domains)


def below(host: str, name: str) -> bool:
    """Whether `host` is `name` or a name below it."""
    return host == name or host.endswith(f".{name}")


def domain(text: str) -> str:
    """A domain as hosts of URLs are spelt: lower case, IDNA. Raises ValueError for anything else than a name."""
    bare = text.strip().lower().removeprefix("*.").strip(".")
    try:
        name = URL.build(scheme="http", host=bare).raw_host or "" if bare else ""
    except ValueError:
        name = ""
    if not DOMAIN.fullmatch(name):
        raise ValueError(f"{text!r} is not a domain as example.org")
    return name
