"""Where a page leads: the addresses of its links, as a crawler may follow them."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urldefrag, urljoin, urlsplit

from aag_ray.config import PagesSection
from aag_ray.pages.limits import TooMuch, check_markup

MAX_LINKS = 5000
MAX_HREF = 4096
# Paths from the root of a site and whole addresses, as most links are written: there is nothing in them to resolve.
_PATH = r"(?:/(?!\.)[\w~%&=+!$,:@.-]*)*+(?:\?[\w~%&=+!$,:@./-]+)?+(?:\#.*)?"
_ROOTED = re.compile(rf"(?=/(?!/)){_PATH}", re.ASCII)
_SITE = r"(https?://[a-z0-9](?:[a-z0-9-]|\.(?=[a-z0-9]))*(?::\d{1,5})?+)"
_WHOLE = re.compile(rf"{_SITE}{_PATH}", re.ASCII)


def read_links(html: str, url: str, config: PagesSection | None = None) -> tuple[str, ...]:
    """Absolute http(s) addresses of a page's links in order, each once, without fragments; at most MAX_LINKS, written in
    at most MAX_HREF characters.

    `url` is where the page was read; a `<base>` may change what relative links mean. A page or link marked `nofollow` gives
    none. Markup beyond the limits of `config` gives none either: `read_page` says so as an outcome.
    """
    from selectolax.lexbor import LexborHTMLParser, SelectolaxError

    config = config or PagesSection()
    try:
        check_markup(html, config.max_characters, config.max_nodes, config.max_depth)
        document = LexborHTMLParser(html.encode(errors="replace"))
    except (TooMuch, SelectolaxError):
        return ()
    if any(_words(node.attributes.get("content")) & {"nofollow", "none"} for node in document.css('meta[name="robots" i]')):
        return ()
    base = document.css_first("base[href]")
    origin = _joined(url, base.attributes.get("href") or "") or url if base is not None else url
    above = origin[: origin.find("/", origin.find("//") + 2) + 1] or origin  # the site: what "/path" is joined with
    links: dict[str, None] = {}
    read: set[str] = set()
    for node in document.css("a[href], area[href]"):
        attributes = node.attributes
        href = attributes.get("href") or ""
        if href in read or len(href) > MAX_HREF or ("rel" in attributes and "nofollow" in _words(attributes["rel"])):
            continue
        read.add(href)
        if target := _joined(above if href[:1] == "/" != href[1:2] else origin, href):
            links[target] = None
            if len(links) == MAX_LINKS:
                break
    return tuple(links)


@lru_cache(maxsize=16_384)
def _joined(base: str, href: str) -> str:
    """The absolute address, or "" for what is none that could be asked (mailto, javascript, nonsense)."""
    if _ROOTED.fullmatch(href) and (here := _WHOLE.fullmatch(base)):
        return here[1] + href.partition("#")[0]
    if _WHOLE.fullmatch(href):
        return href.partition("#")[0]
    try:
        target = urldefrag(urljoin(base, href.strip())).url
        parts = urlsplit(target)
        return target if parts.scheme in ("http", "https") and parts.hostname else ""
    except ValueError:
        return ""


def _words(text: str | None) -> set[str]:
    return set((text or "").lower().replace(",", " ").split())
