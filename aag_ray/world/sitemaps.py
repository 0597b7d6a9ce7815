"""What a host says to robots: robots.txt (RFC 9309) and sitemaps (sitemaps.org), one of them compressed, one an index."""

from __future__ import annotations

import gzip

from aag_ray.world.site import LISTED, Host, Site, Style

SITEMAP_URLS = 1000
_NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
DISALLOWED = ("/private/", "/search")


def robots(site: Site, host: Host, origin: str) -> str:
    """A host's robots.txt. The search host forbids everything; the first archive host asks for time between requests."""
    if host.style is Style.SEARCH:
        return "User-agent: *\nDisallow: /\n"
    lines = ["# Robots are welcome, staff rooms are not.", "User-agent: *", *(f"Disallow: {path}" for path in DISALLOWED)]
    if host.style is Style.ARCHIVE and host.place == 0 and site.section.crawl_delay:
        lines.append(f"Crawl-delay: {site.section.crawl_delay:g}")
    lines += ["", "User-agent: greedy-robot", "Disallow: /"]
    if site.count(host):
        lines += ["", f"Sitemap: {origin}{sitemap_path(host)}"]
    return "\n".join(lines) + "\n"


def sitemap_path(host: Host) -> str:
    """Where a host's sitemap begins."""
    return "/sitemap.xml.gz" if host.style is Style.STATISTICS else "/sitemap.xml"


def sitemap(site: Site, host: Host, origin: str, path: str) -> bytes | None:
    """A host's sitemap at a path, or None if there is none. Encyclopaedias and large hosts have an index of parts."""
    stem, dot, end = path.partition(".xml")
    if not dot or end != sitemap_path(host).partition(".xml")[2] or not site.count(host):
        return None
    parts = -(-site.count(host) // SITEMAP_URLS)
    indexed = host.style is Style.ENCYCLOPAEDIA or parts > 1
    number = stem.removeprefix("/sitemap-")
    if stem == "/sitemap":
        text = _index(origin, parts, end) if indexed else _part(site, host, origin, 0)
    elif indexed and number.isdecimal() and number == str(int(number)) and 1 <= int(number) <= parts:
        text = _part(site, host, origin, int(number) - 1)
    else:
        return None
    return gzip.compress(text.encode(), 6, mtime=0) if end else text.encode()


def _index(origin: str, parts: int, end: str) -> str:
    rows = "".join(f"<sitemap><loc>{origin}/sitemap-{part + 1}.xml{end}</loc></sitemap>\n" for part in range(parts))
    return f"{_XML}<sitemapindex {_NAMESPACE}>\n{rows}</sitemapindex>\n"


def _part(site: Site, host: Host, origin: str, part: int) -> str:
    begin = part * SITEMAP_URLS
    pages = [site.page(host, index) for index in range(begin, min(begin + SITEMAP_URLS, site.count(host)))]
    rows = [(site.path(page), f"<lastmod>{site.day(page).isoformat()}</lastmod>") for page in pages]
    rows += [(f"/list/{index // LISTED + 1}", "") for index in range(begin, begin + len(pages), LISTED)]
    urls = "".join(f"<url><loc>{origin}{path}</loc>{changed}</url>\n" for path, changed in rows)
    return f"{_XML}<urlset {_NAMESPACE}>\n{urls}</urlset>\n"
