"""robots.txt by RFC 9309: what it says, what its absence says, and what a hostile one can do (nothing)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.config import PolitenessSection
from aag_ray.web.fetch import Fetcher
from aag_ray.web.fetched import FetchOutcome
from aag_ray.web.robots import parse_robots

OK, DISALLOWED, UNREACHABLE = FetchOutcome.OK, FetchOutcome.ROBOTS_DISALLOWED, FetchOutcome.ROBOTS_UNREACHABLE
RULES = [
    ("", "/any", True),
    ("User-agent: *\nDisallow: /private", "/private/x", False),
    ("User-agent: *\nDisallow: /private", "/public", True),
    ("User-agent: *\nDisallow: /", "/", False),
    ("User-agent: *\nDisallow:", "/", True),
    ("User-agent: *\nDisallow: /\n\nUser-agent: aag-ray\nAllow: /", "/x", True),
    ("User-agent: AAG-Ray\nDisallow: /\n\nUser-agent: *\nAllow: /", "/x", False),
    ("User-agent: other\nUser-agent: aag-ray\nDisallow: /x", "/x", False),
    ("User-agent: other\nDisallow: /", "/x", True),
    ("User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", True),
    ("User-agent: *\nAllow: /a\nDisallow: /a/b", "/a/b/c", False),
    ("User-agent: *\nDisallow: /*.pdf$", "/a/b.pdf", False),
    ("User-agent: *\nDisallow: /*.pdf$", "/a/b.pdf?x", True),
    ("User-agent: *\nDisallow: /a%3Cd", "/a%3cd", False),
    ("User-agent: *\nDisallow: /\u00fc", "/%C3%BC", False),
    ("\ufeffUser-agent: *\nDisallow: /x", "/x", False),
    ("User-agent: * # all\r\nDisallow: /x # this\r\n", "/x", False),
    ("Disallow: /x\nUser-agent: *\nDisallow: /y", "/x", True),
    ("User-agent: *\nDisallow: /", "/robots.txt", True),
    ("<html>not robots at all</html>", "/x", True),
]


@pytest.mark.parametrize(("text", "path", "allowed"), RULES)
def test_rules_are_read_as_the_standard_says(text: str, path: str, allowed: bool):
    rules = parse_robots(text.encode(), PolitenessSection())
    assert rules.can_fetch(f"http://site.example{path}", "aag-ray") is allowed


def test_only_the_first_bytes_count():
    text = b"User-agent: *\nDisallow: /a\n" + b"# padding\n" * 1000 + b"Disallow: /b\n"
    rules = parse_robots(text, PolitenessSection(robots_bytes=500))
    assert not rules.can_fetch("http://site.example/a", "aag-ray")
    assert rules.can_fetch("http://site.example/b", "aag-ray")


HOSTILE = {
    "thirty thousand robots": b"".join(b"User-agent: r%d\n" % n for n in range(20_000)) + b"Disallow: /x\n" * 15_000,
    "every robot twice": b"".join(b"User-agent: r%d\n" % (n % 9000) for n in range(18_000)) + b"Disallow: /\n" * 15_000,
    "robots without colons": b"".join(b"User agent r%d\n" % n for n in range(20_000)) + b"Disallow: /x\n" * 15_000,
    "other line ends": b"".join(b"User-agent: r%d\x0b" % n for n in range(20_000)) + b"Disallow: /x\x0b" * 15_000,
    "part of this name": b"".join(b"User-agent: a%s\n" % (b"*" * (n % 90)) for n in range(9000)) + b"Disallow: /x\n" * 9000,
    "stars": b"User-agent: *\nDisallow: /" + b"*a" * 200_000 + b"\n",
    "rules": b"User-agent: *\n" + b"".join(b"Disallow: /*%d*x$\n" % n for n in range(25_000)),
    "one line": b"User-agent: *\nDisallow: /" + b"a" * 500_000,
    "zeros": bytes(500_000),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_read_in_bounded_time(name: str):
    rules = parse_robots(HOSTILE[name], PolitenessSection())
    assert rules.can_fetch("http://site.example/" + "ab" * 1000, "aag-ray") in (True, False)
    assert len(rules._user_agents) < 40


@given(st.binary(max_size=400), st.text(max_size=30))
def test_any_bytes_are_rules(body: bytes, path: str):
    assert parse_robots(body, PolitenessSection()).can_fetch(f"http://site.example/{path}", "aag-ray") in (True, False)


STATUSES = [
    (200, OK), (401, OK), (403, OK), (404, OK), (410, OK), (451, OK),
    (429, UNREACHABLE), (500, UNREACHABLE), (502, UNREACHABLE), (503, UNREACHABLE), (599, UNREACHABLE), (304, UNREACHABLE),
]  # fmt: skip


@pytest.mark.parametrize(("status", "outcome"), STATUSES)
@pytest.mark.asyncio
async def test_a_status_allows_or_forbids_everything(site, configure, status: int, outcome: FetchOutcome):
    site.says("/robots.txt", b"", status, Content_Type="text/plain")
    site.says("/", b"<p>x")
    async with Fetcher(configure(site, politeness={"robots": True})) as fetcher:
        first, second = await fetcher.fetch(site.url()), await fetcher.fetch(site.url())
    assert (first.outcome, second.outcome) == (outcome, outcome)
    assert site.paths() == ["/robots.txt", *["/", "/"][: 2 * (outcome is OK)]]


@pytest.mark.parametrize(
    ("hops", "outcome"), [(5, DISALLOWED), (6, OK)], ids=["five redirects are followed", "after six there are no rules"]
)
@pytest.mark.asyncio
async def test_redirects_of_robots(site, configure, hops: int, outcome: FetchOutcome):
    site.redirects("/robots.txt", "/r0" if hops else "/rules")
    for hop in range(hops - 1):
        site.redirects(f"/r{hop}", f"/r{hop + 1}")
    site.says(f"/r{hops - 1}", b"User-agent: *\nDisallow: /", Content_Type="text/plain")
    site.says("/", b"<p>x")
    async with Fetcher(configure(site, politeness={"robots": True})) as fetcher:
        assert (await fetcher.fetch(site.url())).outcome is outcome


@pytest.mark.asyncio
async def test_a_site_that_does_not_answer_says_why(configure, bound):
    silent = bound().getsockname()[1]
    config = configure(guard={"allow": [f"127.0.0.1:{silent}"]}, politeness={"robots": True})
    async with Fetcher(config) as fetcher:
        fetched = await fetcher.fetch(f"http://127.0.0.1:{silent}/")
    assert fetched.outcome is FetchOutcome.CONNECT_FAILED
    assert "robots.txt" in fetched.detail


@pytest.mark.asyncio
async def test_an_endless_file_is_cut_and_its_beginning_counts(site, configure):
    async def act(asked, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nUser-agent: *\nDisallow: /x\n")
        while True:
            writer.write(b"# and so on\n" * 100)
            await writer.drain()

    site.does("/robots.txt", act)
    site.says("/", b"<p>x")
    async with Fetcher(configure(site, politeness={"robots": True})) as fetcher:
        assert (await fetcher.fetch(site.url("/"))).ok
        assert (await fetcher.fetch(site.url("/x"))).outcome is DISALLOWED


@pytest.mark.asyncio
async def test_each_origin_is_asked_once_however_many_wait_for_it(site, names, configure):
    names.default = ["127.0.0.1"]
    site.says("/robots.txt", b"User-agent: *\nDisallow: /no\nSitemap: http://a.example/map.xml", Content_Type="text/plain")
    site.says("/", b"<p>x")
    urls = [site.url(path, host) for host in ("a.example", "b.example") for path in ("/", "/no", "/", "/no")]
    async with Fetcher(configure(site, politeness={"robots": True}), resolver=names) as fetcher:
        outcomes = [fetched.outcome async for fetched in fetcher.fetch_all(urls)]
        sitemaps = await fetcher.robots.sitemaps(fetcher.guard.check(urls[0]))
    assert outcomes.count(DISALLOWED) == 4
    assert site.paths().count("/robots.txt") == 2
    assert sitemaps == ("http://a.example/map.xml",)


@pytest.mark.asyncio
async def test_the_target_of_a_redirect_has_rules_of_its_own(site, names, configure):
    names.default = ["127.0.0.1"]
    site.says("b.example/robots.txt", b"User-agent: *\nDisallow: /", Content_Type="text/plain")
    site.redirects("/", site.url("/", "b.example"))
    async with Fetcher(configure(site, politeness={"robots": True}), resolver=names) as fetcher:
        fetched = await fetcher.fetch(site.url("/", "a.example"))
    assert fetched.outcome is DISALLOWED
    assert [(asked.host, asked.path) for asked in site.seen if asked.path == "/"] == [("a.example", "/")]


@pytest.mark.asyncio
async def test_rules_are_kept_as_long_as_configured(site, configure):
    site.says("/robots.txt", b"", Content_Type="text/plain")
    site.says("/", b"<p>x")
    now = [0.0]
    async with Fetcher(configure(site, politeness={"robots": True, "robots_keep_seconds": 100.0})) as fetcher:
        fetcher.robots.clock = lambda: now[0]
        for now[0] in (1.0, 50.0, 100.0, 102.0):
            await fetcher.fetch(site.url())
    assert site.paths().count("/robots.txt") == 2
