"""Fetching pages: redirects, deadlines, cache and archive, for a crawl of one host and for an answer on the spot."""

import asyncio
import time
from pathlib import Path

import pytest

from aag_ray.web.archive import Archive, read_record
from aag_ray.web.cache import CacheError
from aag_ray.web.fetch import Fetcher
from aag_ray.web.fetched import FetchOutcome


@pytest.mark.asyncio
async def test_a_page_is_read_with_everything_that_was_learned(site, configure):
    url = site.says("/a?b=c", b"<p>hello", Content_Type="text/html; charset=utf-8", X_Extra="1")
    before = time.time()
    async with Fetcher(configure(site)) as fetcher:
        fetched = await fetcher.fetch(url + "#part")
    assert fetched.ok
    assert fetched.url == url + "#part"
    assert fetched.final_url == url
    assert (fetched.status, fetched.body, fetched.content_type) == (200, b"<p>hello", "text/html; charset=utf-8")
    assert ("X-Extra", "1") in fetched.headers
    assert fetched.hops == (url,)
    assert before <= fetched.fetched_at <= time.time()
    assert fetched.seconds > 0
    assert fetched.detail == ""
    assert not fetched.from_cache


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.asyncio
    async def test_they_are_followed_and_recorded(self, site, configure, status: int):
        first = site.redirects("/1", "2?x=y#part", status)
        site.redirects("/2?x=y", site.url("/3"), status)
        site.says("/3", b"end")
        async with Fetcher(configure(site)) as fetcher:
            fetched = await fetcher.fetch(first)
        assert fetched.body == b"end"
        assert fetched.hops == (first, site.url("/2?x=y"), site.url("/3"))
        assert fetched.final_url == site.url("/3")

    @pytest.mark.asyncio
    async def test_a_loop_ends(self, site, configure):
        site.redirects("/a", "/b")
        site.redirects("/b", "/a")
        site.redirects("/self", "/self")
        async with Fetcher(configure(site)) as fetcher:
            assert (await fetcher.fetch(site.url("/a"))).outcome is FetchOutcome.REDIRECT_LOOP
            assert (await fetcher.fetch(site.url("/self"))).outcome is FetchOutcome.REDIRECT_LOOP
        assert len(site.seen) == 3

    @pytest.mark.parametrize(("length", "outcome"), [(3, FetchOutcome.OK), (4, FetchOutcome.TOO_MANY_REDIRECTS)])
    @pytest.mark.asyncio
    async def test_a_chain_may_be_as_long_as_the_limit(self, site, configure, length: int, outcome: FetchOutcome):
        for step in range(length):
            site.redirects(f"/{step}", f"/{step + 1}")
        site.says(f"/{length}", b"end")
        async with Fetcher(configure(site, limits={"redirects": 3})) as fetcher:
            assert (await fetcher.fetch(site.url("/0"))).outcome is outcome
        assert len(site.seen) == 4

    @pytest.mark.parametrize("location", ["", "http://[::1", "http://x:99999/", "http://\\@x/"])
    @pytest.mark.asyncio
    async def test_a_location_that_is_none_is_named(self, site, configure, location: str):
        async with Fetcher(configure(site)) as fetcher:
            fetched = await fetcher.fetch(site.redirects("/", location))
        assert fetched.outcome in (FetchOutcome.BAD_REDIRECT, FetchOutcome.BAD_URL)
        assert site.url("/") in fetched.detail

    @pytest.mark.asyncio
    async def test_one_who_stays_on_a_host_gets_the_target_instead(self, site, names, configure):
        names.default = ["127.0.0.1"]
        url = site.redirects("/", site.url("/there", "b.example"))
        site.redirects("/home", "/end")
        site.says("/end", b"end")
        async with Fetcher(configure(site), resolver=names) as fetcher:
            away = await fetcher.fetch(url, stay_on_host=True)
            home = await fetcher.fetch(site.url("/home"), stay_on_host=True)
        assert away.outcome is FetchOutcome.REDIRECTED_AWAY
        assert away.final_url == site.url("/there", "b.example")
        assert home.ok
        assert "b.example" not in {asked.host for asked in site.seen}


class TestDeadlines:
    @pytest.mark.asyncio
    async def test_a_deadline_covers_everything(self, site, configure):
        async def act(asked, writer):
            await asyncio.sleep(60)

        url = site.does("/", act)
        async with Fetcher(configure(site, limits={"header_seconds": 60.0, "seconds": 60.0})) as fetcher:
            fetched = await fetcher.fetch(url, deadline=0.1)
        assert fetched.outcome is FetchOutcome.DEADLINE
        assert fetched.hops == (url,)

    @pytest.mark.asyncio
    async def test_no_one_waits_for_a_turn_that_comes_too_late(self, site, configure):
        url = site.says("/", b"x")
        async with Fetcher(configure(site, politeness={"delay_seconds": 30.0})) as fetcher:
            assert (await fetcher.fetch(url)).ok
            late = await fetcher.fetch(url, deadline=20.0)
        assert late.outcome is FetchOutcome.DEADLINE
        assert "after the deadline" in late.detail  # said at once, not found out by waiting

    @pytest.mark.asyncio
    async def test_cancelling_is_raised_and_frees_the_host(self, site, configure):
        async def act(asked, writer):
            await asyncio.sleep(60)

        url = site.does("/slow", act)
        site.says("/", b"x")
        async with Fetcher(configure(site)) as fetcher:
            task = asyncio.create_task(fetcher.fetch(url))
            while not site.seen:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await fetcher.fetch(site.url("/"), deadline=5)).ok


class TestManyPages:
    @pytest.mark.asyncio
    async def test_each_url_comes_back_once(self, site, configure):
        urls = [site.says(f"/{number}", b"%d" % number) for number in range(40)]
        wanted = [*urls, urls[0], "file:///etc/passwd", "not a url", site.url("/missing")]
        async with Fetcher(configure(site, politeness={"per_host": 8})) as fetcher:
            ended = [fetched async for fetched in fetcher.fetch_all(iter(wanted), in_flight=7)]
        assert sorted(fetched.url for fetched in ended) == sorted(wanted)
        assert sum(fetched.ok for fetched in ended) == 41

    @pytest.mark.asyncio
    async def test_leaving_early_cancels_what_is_under_way(self, site, configure):
        async def act(asked, writer):
            await asyncio.sleep(60)

        slow, quick = site.does("/slow", act), site.says("/", b"x")
        async with Fetcher(configure(site, politeness={"per_host": 2})) as fetcher:
            ended = fetcher.fetch_all([slow, quick])
            async for fetched in ended:
                assert fetched.url == quick
                break
            await ended.aclose()
            assert not [host for host in fetcher.politeness.hosts.values() if host.users]

    @pytest.mark.asyncio
    async def test_no_more_are_asked_at_once_than_allowed(self, site, names, configure):
        names.default = ["127.0.0.1"]
        open_now: dict[str, int] = {}
        most: dict[str, int] = {}

        async def act(asked, writer):
            for key in ("all", asked.host):
                open_now[key] = open_now.get(key, 0) + 1
                most[key] = max(most.get(key, 0), open_now[key])
            await asyncio.sleep(0.01)
            for key in ("all", asked.host):
                open_now[key] -= 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        site.default = act
        urls = [site.url(f"/{n}", f"h{n % 5}.example") for n in range(60)]
        async with Fetcher(configure(site, politeness={"per_host": 2, "concurrency": 6}), resolver=names) as fetcher:
            ended = [fetched.ok async for fetched in fetcher.fetch_all(urls)]
        assert all(ended)
        assert most.pop("all") == 6
        assert set(most.values()) == {2}

    @pytest.mark.asyncio
    async def test_a_host_that_stopped_answering_is_left_alone(self, names, configure, bound):
        silent = bound().getsockname()[1]
        names.default = ["127.0.0.1"]
        config = configure(guard={"allow": [f"127.0.0.1:{silent}"]}, politeness={"down_after": 3})
        urls = [f"http://dead.example:{silent}/{n}" for n in range(10)]
        async with Fetcher(config, resolver=names) as fetcher:
            outcomes = [fetched.outcome async for fetched in fetcher.fetch_all(urls)]
        assert outcomes.count(FetchOutcome.CONNECT_FAILED) == 3
        assert outcomes.count(FetchOutcome.HOST_DOWN) == 7


class TestCache:
    @pytest.mark.asyncio
    async def test_a_fresh_page_is_taken_unasked_under_any_spelling(self, site, configure, tmp_path: Path):
        site.says("/?b=2&a=1", b"<p>x", Cache_Control="max-age=100")
        async with Fetcher(configure(site, cache={"where": str(tmp_path / "pages.db")})) as fetcher:
            first = await fetcher.fetch(site.url("/?b=2&a=1"))
            again = await fetcher.fetch(site.url("/?a=1&b=2&utm_source=z#top"))
        assert len(site.seen) == 1
        assert (first.from_cache, again.from_cache) == (False, True)
        assert (again.body, again.fetched_at, again.final_url) == (first.body, first.fetched_at, first.final_url)
        assert again.url.endswith("#top")

    @pytest.mark.asyncio
    async def test_one_who_wants_news_asks_again(self, site, configure, tmp_path: Path):
        url = site.says("/", b"old", Cache_Control="max-age=100")
        async with Fetcher(configure(site, cache={"where": str(tmp_path / "pages.db")})) as fetcher:
            await fetcher.fetch(url)
            site.says("/", b"new", Cache_Control="max-age=100")
            assert (await fetcher.fetch(url, max_age=50)).body == b"old"
            assert (await fetcher.fetch(url, max_age=0)).body == b"new"
            assert (await fetcher.fetch(url)).body == b"new"

    @pytest.mark.parametrize(
        ("validator", "sent"),
        [({"ETag": '"v1"'}, {"if-none-match": '"v1"'}),
         ({"Last_Modified": "Sat, 21 Nov 2026 10:00:00 GMT"}, {"if-modified-since": "Sat, 21 Nov 2026 10:00:00 GMT"})],
    )  # fmt: skip
    @pytest.mark.asyncio
    async def test_an_unchanged_page_costs_no_body(self, site, configure, tmp_path: Path, validator: dict, sent: dict):
        url = site.says("/", b"<p>x", Cache_Control="no-cache", **validator)
        async with Fetcher(configure(site, cache={"where": str(tmp_path / "pages.db")})) as fetcher:
            first = await fetcher.fetch(url)
            site.says("/", status=304, Cache_Control="max-age=100", Content_Length="")
            renewed = await fetcher.fetch(url)
            unasked = await fetcher.fetch(url)
        assert sent.items() <= site.seen[1].headers.items()
        assert renewed.from_cache
        assert renewed.body == b"<p>x"
        assert renewed.fetched_at == first.fetched_at
        assert unasked.from_cache
        assert len(site.seen) == 2

    @pytest.mark.asyncio
    async def test_validators_go_to_their_own_url_only(self, site, configure, tmp_path: Path):
        url = site.redirects("/", "/end")
        site.says("/end", b"x", ETag='"v1"', Cache_Control="no-cache")
        async with Fetcher(configure(site, cache={"where": str(tmp_path / "pages.db")})) as fetcher:
            await fetcher.fetch(url)
            await fetcher.fetch(url)
        conditional = [asked.path for asked in site.seen if "if-none-match" in asked.headers]
        assert conditional == ["/end"]

    @pytest.mark.parametrize(
        "headers", [{"Cache_Control": "no-store"}, {"Cache_Control": "private"}, {"Vary": "*"}, {"status": 404}], ids=str
    )
    @pytest.mark.asyncio
    async def test_what_must_not_be_kept_is_asked_for_again(self, site, configure, tmp_path: Path, headers: dict):
        url = site.says("/", b"<p>x", **headers)
        async with Fetcher(configure(site, cache={"where": str(tmp_path / "pages.db")})) as fetcher:
            await fetcher.fetch(url)
            assert not (await fetcher.fetch(url)).from_cache
        assert len(site.seen) == 2

    @pytest.mark.asyncio
    async def test_a_page_of_an_unwanted_type_is_not_given_out(self, site, configure, tmp_path: Path):
        url = site.says("/sitemap.xml", b"<urlset/>", Content_Type="application/xml")
        async with Fetcher(configure(site, cache={"where": str(tmp_path / "pages.db")})) as fetcher:
            assert (await fetcher.fetch(url, content_types=("application/xml",))).ok
            assert (await fetcher.fetch(url)).outcome is FetchOutcome.CONTENT_TYPE_REFUSED

    @pytest.mark.asyncio
    async def test_a_cache_that_fails_costs_nothing_but_a_word(self, site, configure):
        class Broken:
            async def get(self, key):
                raise CacheError("the cache is down")

            async def put(self, key, page):
                raise CacheError("the cache is full")

            async def close(self):
                pass

        async with Fetcher(configure(site), cache=Broken()) as fetcher:
            fetched = await fetcher.fetch(site.says("/", b"x"))
        assert fetched.ok
        assert "the cache is down" in fetched.detail
        assert "the cache is full" in fetched.detail


class TestArchive:
    @pytest.mark.asyncio
    async def test_a_page_names_its_record_also_from_the_cache(self, site, configure, tmp_path: Path):
        url = site.says("/", b"<p>x", Cache_Control="max-age=100")
        config = configure(site, archive=str(tmp_path / "warc"), cache={"where": str(tmp_path / "pages.db")})
        async with Fetcher(config) as fetcher:
            fetched, cached = await fetcher.fetch(url), await fetcher.fetch(url)
        assert cached.from_cache
        assert cached.record == fetched.record
        page = read_record(tmp_path / "warc", fetched.record)
        assert (page.url, page.body, page.status) == (url, b"<p>x", 200)

    @pytest.mark.asyncio
    async def test_an_archive_that_cannot_be_written_is_told(self, site, configure):
        async with Fetcher(configure(site), archive=Archive(Path("/proc/archive"))) as fetcher:
            fetched = await fetcher.fetch(site.says("/", b"x"))
        assert fetched.ok
        assert fetched.record == ""
        assert "cannot write the archive" in fetched.detail


@pytest.mark.asyncio
async def test_a_fault_of_this_program_is_an_outcome_too(site, configure, caplog: pytest.LogCaptureFixture):
    class Faulty:
        async def get(self, key):
            raise ZeroDivisionError("a bug")

        async def put(self, key, page): ...

        async def close(self): ...

    async with Fetcher(configure(site), cache=Faulty()) as fetcher:
        fetched = await fetcher.fetch(site.says("/", b"x"))
    assert fetched.outcome is FetchOutcome.FAILED
    assert fetched.detail == "ZeroDivisionError: a bug"
    assert "ZeroDivisionError" in caplog.text
