"""Site maps (sitemaps.org, protocol 0.9): the pages that a site lists itself, through the guarded fetcher."""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass, field

from aag_ray.web.fetch import Fetcher

TYPES = ("application/xml", "text/xml", "application/gzip", "application/x-gzip", "application/octet-stream", "text/plain")
MAX_FILES = 500
MAX_BYTES = 50_000_000


@dataclass
class SiteMap:
    """What one site map led to: `urls` in order, each once, and `failures`, a message for each file that gave nothing."""

    urls: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


async def read_sitemap(fetcher: Fetcher, url: str, most: int) -> SiteMap:
    """At most `most` addresses of a site map: an index, a list, or plain lines, gzipped or not. Never raises for a server."""
    found, left, seen = SiteMap(), [url], {url}
    urls: dict[str, None] = {}
    while left and len(urls) < most:
        address = left.pop(0)
        fetched = await fetcher.fetch(address, content_types=TYPES)
        if not fetched.ok:
            found.failures.append(f"{address}: {fetched.outcome}: {fetched.detail}")
            continue
        try:
            indexes, pages = parse_sitemap(fetched.body)
        except ValueError as error:
            found.failures.append(f"{address}: {error}")
            continue
        for index in indexes:
            if index not in seen and len(seen) < MAX_FILES:
                seen.add(index)
                left.append(index)
        urls.update(dict.fromkeys(pages))
    found.urls = list(urls)[:most]
    return found


def parse_sitemap(body: bytes) -> tuple[list[str], list[str]]:
    """The further site maps and the pages that a file lists. Raises ValueError with what is wrong with it."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, iterparse

    if body.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(io.BytesIO(body)) as file:
                body = file.read(MAX_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"it is not whole gzip: {error}") from None
        if len(body) > MAX_BYTES:
            raise ValueError(f"it unpacks to more than {MAX_BYTES} bytes")
    if not body.lstrip().startswith(b"<"):
        lines = body.decode("utf-8", "replace").split()
        return [], [line for line in lines if line.startswith(("http://", "https://"))]
    maps: list[str] = []
    pages: list[str] = []
    above: list[str] = []
    try:
        for event, element in iterparse(io.BytesIO(body), events=("start", "end")):
            name = element.tag.rpartition("}")[2]
            if event == "start":
                above.append(name)
                continue
            above.pop()
            text = (element.text or "").strip()
            if name == "loc" and text and above[-1:] in (["sitemap"], ["url"]):
                (maps if above[-1] == "sitemap" else pages).append(text)
    except ParseError as error:
        raise ValueError(f"it is not XML: {error}") from None
    except DefusedXmlException as error:
        raise ValueError(f"it is XML that is not read: {error}") from None
    return maps, pages
