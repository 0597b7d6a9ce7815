"""Which URLs may be asked at all: no address of this machine, of its network or of a cloud's metadata service.

A URL is checked twice: as it is written (`Guard.check`), and by the addresses its name resolves to (`GuardedResolver`).
The connection is then made to exactly the addresses that were checked, so a name cannot change in between.
"""

from __future__ import annotations

import re
import socket
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from aag_ray.config import RAY_PORTS, AllowedSite, GuardSection
from aag_ray.web.fetched import FetchOutcome, FetchStopped

Address = IPv4Address | IPv6Address

# IANA's special-purpose registries, written out because `is_global` knows fewer of them in older Pythons, and public
# addresses that a cloud answers itself (168.63.129.16).
CLOSED = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8", "100.64.0.0/10", "168.63.129.16/32", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
)  # fmt: skip
GLOBAL_UNICAST = ip_network("2000::/3")
NAT64 = ip_network("64:ff9b::/96")
# What no name opens, only a network of the allow-list that holds it.
NEVER_BY_NAME = tuple(ip_network(text) for text in ("0.0.0.0/8", "169.254.0.0/16", "168.63.129.16/32", "::/128", "fe80::/10"))
PRIVATE_NAMES = ("localhost", "localdomain", "local", "internal", "home.arpa")
NAME = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
WITH_USER = re.compile(r"[^/?#\\@]*@")
CHECKED = 4096
NUMERIC = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)")


def carried(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped or NAT64 one (which reach it), otherwise the address itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(address.packed[-4:])
    return address


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public Internet, by what it carries. 6to4 and Teredo never do."""
    address = carried(address)
    if isinstance(address, IPv6Address) and (address.scope_id or address not in GLOBAL_UNICAST):
        return False
    return address.is_global and not address.is_multicast and not any(address in network for network in CLOSED)


class Guard:
    """Decides by configuration. Raises FetchStopped for what is refused; the detail says what is allowed."""

    def __init__(self, config: GuardSection, url_bytes: int = 4096) -> None:
        self.ports = frozenset(config.ports)
        self.sites = tuple(AllowedSite.parse(entry) for entry in config.allow)
        self.url_bytes = url_bytes
        # The same URL is checked on its way in, before it is asked for and as a target. Only what is allowed is kept.
        self._checked = lru_cache(maxsize=CHECKED)(self._check)

    def check(self, url: str | URL) -> URL:
        """The URL as it will be asked (no fragment), if its form, host and port are allowed; otherwise FetchStopped.

        Addresses written as a host are checked here, because aiohttp asks no resolver about them.
        """
        return self._checked(str(url))

    def _check(self, url: str) -> URL:
        parsed = self._parse(url)
        host, port = parsed.raw_host or "", parsed.port or 0
        address = literal_address(host, url)
        if address is not None:
            self.check_addresses(host, port, [address])
            return parsed
        name = host.removesuffix(".")
        if not NAME.fullmatch(name):
            raise FetchStopped(FetchOutcome.BAD_URL, f"{url}: {host!r} is not a host name")
        sites = [site for site in self.sites if port in site.ports and (site.network or matches(site, name))]
        if not sites and (port not in self.ports or port in RAY_PORTS):
            raise FetchStopped(FetchOutcome.PORT_REFUSED, self._ports_detail(url, port))
        if not sites and any(name == private or name.endswith(f".{private}") for private in PRIVATE_NAMES):
            raise FetchStopped(FetchOutcome.ADDRESS_REFUSED, f"{url}: {name} is a name of this machine or network")
        return parsed

    def check_addresses(self, host: str, port: int, addresses: list[Address]) -> None:
        """Raise FetchStopped unless every address of a host may be asked on this port."""
        for address in addresses:
            if not self._permits(host.removesuffix("."), port, address):
                where = host if host.strip("[]") == str(address) else f"{host} ({address})"
                if is_public(address):
                    raise FetchStopped(FetchOutcome.PORT_REFUSED, self._ports_detail(where, port))
                raise FetchStopped(
                    FetchOutcome.ADDRESS_REFUSED,
                    f"{where} port {port} is not public; only an entry in guard.allow opens it",
                )

    def _permits(self, name: str, port: int, address: Address) -> bool:
        if port in RAY_PORTS:
            return False
        if port in self.ports and is_public(address):
            return True
        inner = carried(address)
        if any(site.network and port in site.ports and inner in site.network for site in self.sites):
            return True
        if inner.is_multicast or any(inner in network for network in NEVER_BY_NAME):
            return False
        return any(port in site.ports and matches(site, name) for site in self.sites)

    def _parse(self, url: str) -> URL:
        text = url.strip()
        shown = text if len(text) <= 200 else f"{text[:200]}…"
        if len(text.encode(errors="replace")) > self.url_bytes:
            raise FetchStopped(FetchOutcome.BAD_URL, f"{shown} is longer than {self.url_bytes} bytes")
        scheme, colon, _ = text.partition(":")
        if not colon or scheme.lower() not in ("http", "https"):
            raise FetchStopped(FetchOutcome.SCHEME_REFUSED, f"{shown!r}: only http and https are asked")
        if not text[len(scheme) :].startswith("://") or CONTROL.search(text):
            raise FetchStopped(FetchOutcome.BAD_URL, f"{shown!r} is not scheme://host/path without control characters")
        if WITH_USER.match(text, len(scheme) + 3):
            raise FetchStopped(FetchOutcome.USERINFO_REFUSED, f"a URL of {scheme} names a user before its host; leave that out")
        try:
            # Twice, because equal URLs with and without a default port are unequal to yarl until they are written out.
            parsed = URL(str(URL(text).with_fragment(None)), encoded=True)
            if parsed.raw_host and parsed.port and not parsed.raw_user and not parsed.raw_password:
                return parsed
        except ValueError as error:  # UnicodeError of an impossible name is one
            raise FetchStopped(FetchOutcome.BAD_URL, f"{shown!r}: {error}") from None
        raise FetchStopped(FetchOutcome.BAD_URL, f"{shown!r} has no host that can be asked")

    def _ports_detail(self, where: str, port: int) -> str:
        if port in RAY_PORTS:
            return f"{where}: port {port} is one of Ray's own ports"
        return f"{where}: port {port} is closed; open are {', '.join(map(str, sorted(self.ports)))} and those in guard.allow"


def matches(site: AllowedSite, name: str) -> bool:
    """Whether a name is the site's, or below it where the site is `*.name`."""
    return name.endswith(site.host[1:]) if site.host.startswith("*.") else name == site.host


def literal_address(host: str, url: str = "") -> Address | None:
    """The address a host is written as, or None for a name. Raises FetchStopped for other notations (`127.1`, `0x7f.1`)."""
    bare = host.removesuffix(".")
    if ":" not in bare and not bare.rpartition(".")[2][:1].isdigit():
        return None
    try:
        return ip_address(bare.replace("%25", "%"))
    except ValueError:
        if NUMERIC.fullmatch(bare):
            raise FetchStopped(
                FetchOutcome.ADDRESS_REFUSED, f"{url}: {host} is a number; write an address as four decimal numbers"
            ) from None
        return None


class GuardedResolver(AbstractResolver):
    """Resolves by `inner` and passes on only answers that were all checked.

    Raises FetchStopped if any was refused, OSError if there is none.
    """

    def __init__(self, guard: Guard, inner: AbstractResolver) -> None:
        self.guard = guard
        self.inner = inner

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        answers = await self.inner.resolve(host, port, family)
        if not answers:
            raise OSError(f"{host} has no address")
        self.guard.check_addresses(host, port, [ip_address(answer["host"]) for answer in answers])
        return answers

    async def close(self) -> None:
        await self.inner.close()
