"""How the outside world is asked."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from aag_ray.config.basics import Natural, Positive, Seconds
from aag_ray.settings import Section

Port = Annotated[int, Field(ge=1, le=65535)]

# The head, the dashboard, Serve, the client server and the workers of a Ray cluster (Ray 2.60, "Configuring Ray").
RAY_PORTS = frozenset({6379, 6380, 8000, 8076, 8265, 9000, 44217, 44227, 52365, *range(10001, 20000)})


class AllowedSite(NamedTuple):
    """One entry of the allow-list: a name, every name below it (`*.name`) or a network, and the ports it opens."""

    host: str
    network: IPv4Network | IPv6Network | None
    ports: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> AllowedSite:
        """Read `HOST:PORT[,PORT…]`; HOST may be an address or a network (`127.0.0.0/8`, `[fd00::/8]`).

        Raises ValueError if it is none of these, or opens one of Ray's own ports.
        """
        host, _, listed = text.rpartition(":")
        ports = frozenset(int(port) for port in listed.split(",") if port.isdecimal() and 0 < int(port) < 65536)
        if not host or len(ports) != len(listed.split(",")):
            raise ValueError(f"{text!r} is not HOST:PORT[,PORT…], for example intranet.example:8080 or 127.0.0.0/8:8081")
        if ports & RAY_PORTS:
            raise ValueError(f"{text!r} opens port {min(ports & RAY_PORTS)}, one of Ray's own ports, which stay closed")
        try:
            network = ip_network(host.strip("[]"), strict=False)
        except ValueError:
            network = None
        if network is None and not re.fullmatch(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", host):
            raise ValueError(f"{text!r}: {host!r} is neither a lower-case name, *.name, an address nor a network")
        return cls(host, network, ports)


class GuardSection(Section):
    """Which addresses may be asked. `allow` opens a test site or an intranet (`HOST:PORT[,PORT…]`); nothing else does."""

    ports: tuple[Port, ...] = (80, 443, 8080, 8443)
    allow: tuple[str, ...] = ()

    @model_validator(mode="after")
    def rays_ports_stay_closed(self) -> GuardSection:
        if closed := RAY_PORTS & set(self.ports):
            raise ValueError(f"ports={self.ports} opens {min(closed)}, one of Ray's own ports")
        for entry in self.allow:
            AllowedSite.parse(entry)
        return self


class LimitsSection(Section):
    """What one answer may cost. Sizes in bytes, times in seconds; `seconds` is for one exchange, redirects count anew.

    A body slower than `bytes_per_second` is given up `slow_after_seconds` after its first byte was asked for.
    """

    url_bytes: Positive = 4096
    header_bytes: Positive = 32_768
    body_bytes: Positive = 5_000_000
    decompressed_bytes: Positive = 10_000_000
    ratio: float = Field(default=200.0, gt=1)
    redirects: Natural = 5
    connect_seconds: float = Field(default=10.0, gt=0)
    header_seconds: float = Field(default=15.0, gt=0)
    seconds: float = Field(default=30.0, gt=0)
    bytes_per_second: Natural = 1024
    slow_after_seconds: Seconds = 5.0
    content_types: tuple[str, ...] = ("text/html", "application/xhtml+xml", "text/plain")


class PolitenessSection(Section):
    """How a host is treated. `agent` is the product token robots.txt is matched by; `contact` tells a site whom to write to.

    Nobody waits longer than `max_wait_seconds` for a host: the row ends with an outcome instead. A host that failed to
    answer `down_after` times in a row is left alone for `down_seconds`.
    """

    agent: str = Field(default="aag-ray", pattern=r"^[A-Za-z_-]+$")
    contact: str = Field(default="", pattern=r"^[!-'*-~]*$")
    concurrency: Positive = 64
    per_host: Positive = 1
    delay_seconds: Seconds = 1.0
    max_wait_seconds: Seconds = 60.0
    retries: Natural = 2
    backoff_seconds: float = Field(default=1.0, gt=0)
    max_backoff_seconds: float = Field(default=60.0, gt=0)
    down_after: Positive = 5
    down_seconds: Seconds = 300.0
    robots: bool = True
    robots_bytes: Positive = 512_000
    robots_keep_seconds: Seconds = 86_400.0
    robots_retry_seconds: Seconds = 300.0


class CacheSection(Section):
    """Where pages are kept: a file (SQLite) or a `redis://` URL; None keeps none.

    `fresh_seconds` counts where the server says nothing; after `keep_seconds` a page is forgotten, whatever it said.
    `max_bytes` bounds the file; Redis has its own limit.
    """

    where: str | None = None
    fresh_seconds: Seconds = 3600.0
    keep_seconds: Seconds = 604_800.0
    max_bytes: Positive = 2_000_000_000


class FetchSection(Section):
    """Everything about asking the outside world. `archive` is a folder for WARC files; None writes none.

    `ca_bundle` is a file of certificates (PEM) that are trusted beside the system's: an intranet's own authority.
    """

    guard: GuardSection = GuardSection()
    limits: LimitsSection = LimitsSection()
    politeness: PolitenessSection = PolitenessSection()
    cache: CacheSection = CacheSection()
    archive: Path | None = None
    ca_bundle: Path | None = None
