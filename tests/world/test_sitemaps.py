"""What hosts say to robots."""

from __future__ import annotations

import gzip
from xml.etree import ElementTree

import pytest
from protego import Protego

from aag_ray.world.site import Host, Site, SiteSection, Style
from aag_ray.world.sitemaps import robots, sitemap, sitemap_path


@pytest.fixture(scope="module")
def site() -> Site:
    return Site(SiteSection(pages=2500, hosts=9))


def origin(host: Host) -> str:
    return f"http://{host.address}:8081"


def locations(text: bytes | None) -> list[str]:
    assert text is not None
    tree = ElementTree.fromstring(gzip.decompress(text) if text.startswith(b"\x1f\x8b") else text)
    return [node.text or "" for node in tree.iter() if node.tag.endswith("}loc")]


def test_robots_allow_articles_and_forbid_the_staff_room(site: Site):
    for host in (*site.ordinary, site.spam):
        rules = Protego.parse(robots(site, host, origin(host)))
        article = origin(host) + site.path(site.page(host, 0))
        assert rules.can_fetch(article, "aag-ray")
        assert not rules.can_fetch(f"{origin(host)}/private/desk", "aag-ray")
        assert not rules.can_fetch(article, "greedy-robot")
        assert list(rules.sitemaps) == [origin(host) + sitemap_path(host)]


def test_one_host_asks_for_time(site: Site):
    delays = {host.style: Protego.parse(robots(site, host, "")).crawl_delay("aag-ray") for host in site.ordinary[:8]}
    assert {style: delay for style, delay in delays.items() if delay} == {Style.ARCHIVE: 0.1}
    hasty = Site(site.section.model_copy(update={"crawl_delay": 0.0}))
    assert "Crawl-delay" not in robots(hasty, hasty.ordinary[7], "")


def test_nobody_crawls_the_search_engine(site: Site):
    assert not Protego.parse(robots(site, site.search, "")).can_fetch("http://127.0.0.1/search?q=x", "aag-ray")


@pytest.mark.parametrize("hosts", [1, 9])
def test_sitemaps_name_every_article_once(hosts: int):
    site = Site(SiteSection(pages=2500, hosts=hosts))
    for host in (*site.ordinary, site.spam):
        start = locations(sitemap(site, host, origin(host), sitemap_path(host)))
        parts = [url.removeprefix(origin(host)) for url in start if "/sitemap-" in url]
        urls = [url for part in parts for url in locations(sitemap(site, host, origin(host), part))] if parts else start
        articles = {origin(host) + site.path(page) for page in site.pages(host)}
        assert len(urls) == len(set(urls))
        assert articles <= set(urls)
        assert len(urls) == len(articles) + site.lists(host)
        assert bool(parts) == (host.style is Style.ENCYCLOPAEDIA or site.count(host) > 1000)


def test_one_kind_of_host_compresses_its_sitemap(site: Site):
    host = next(host for host in site.ordinary if host.style is Style.STATISTICS)
    assert (sitemap(site, host, "", "/sitemap.xml.gz") or b"").startswith(b"\x1f\x8b")
    assert sitemap(site, host, "", "/sitemap.xml") is None


@pytest.mark.parametrize("path", ["/sitemap-0.xml", "/sitemap-9.xml", "/sitemap-01.xml", "/sitemap-x.xml", "/sitemap-1.xml.gz"])
def test_there_is_no_other_sitemap(site: Site, path: str):
    assert sitemap(site, site.ordinary[0], "", path) is None
