"""Site maps as sites write them: lists, indexes, gzip, plain lines, and what only looks like one."""

from __future__ import annotations

import gzip

import pytest

from aag_ray.web.fetch import Fetcher
from aag_ray.web.sitemap import parse_sitemap, read_sitemap

NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


def urlset(*urls: str) -> bytes:
    return f"<?xml version='1.0'?><urlset {NAMESPACE}>{''.join(f'<url><loc> {u} </loc></url>' for u in urls)}</urlset>".encode()


def index(*urls: str) -> bytes:
    inside = "".join(f"<sitemap><loc>{url}</loc></sitemap>" for url in urls)
    return f"<sitemapindex {NAMESPACE}>{inside}</sitemapindex>".encode()


def test_a_list_names_pages_and_an_index_names_site_maps():
    assert parse_sitemap(urlset("https://a.example/1", "https://a.example/2")) == (
        [],
        ["https://a.example/1", "https://a.example/2"],
    )
    assert parse_sitemap(index("https://a.example/s.xml")) == (["https://a.example/s.xml"], [])


def test_gzip_and_plain_lines_are_read():
    assert parse_sitemap(gzip.compress(urlset("https://a.example/1")))[1] == ["https://a.example/1"]
    assert parse_sitemap(b"https://a.example/1\nhttps://a.example/2\nnonsense\n")[1] == [
        "https://a.example/1",
        "https://a.example/2",
    ]


def test_a_picture_in_a_list_is_no_page():
    body = b"<urlset><url><loc>https://a.example/1</loc><image><loc>https://a.example/1.png</loc></image></url></urlset>"
    assert parse_sitemap(body)[1] == ["https://a.example/1"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<urlset><url>", "not XML"),
        (b"\x1f\x8bbroken", "gzip"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><urlset><url><loc>&a;</loc></url></urlset>', "not read"),
        (b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><urlset/>', "not read"),
    ],
)
def test_what_is_broken_or_hostile_says_so(body: bytes, reason: str):
    with pytest.raises(ValueError, match=reason):
        parse_sitemap(body)


@pytest.mark.asyncio
async def test_an_index_is_followed_under_the_guard_and_failures_are_named(site, configure):
    site.says("/a.xml", urlset(*(f"https://a.example/{n}" for n in range(5))), Content_Type="application/xml")
    site.says("/b.xml", b"<broken", Content_Type="text/xml")
    inside = (site.url("/a.xml"), site.url("/b.xml"), "http://10.0.0.1/private.xml", site.url("/index.xml"))
    start = site.says("/index.xml", index(*inside), Content_Type="application/xml")
    async with Fetcher(configure(site)) as fetcher:
        found = await read_sitemap(fetcher, start, most=3)
        assert found.urls == [f"https://a.example/{n}" for n in range(3)]
        found = await read_sitemap(fetcher, start, most=100)
    assert len(found.urls) == 5
    assert [message.split(": ")[1] for message in found.failures] == ["it is not XML", "address_refused"]
