"""The local web as a server: every link resolves, names and addresses both work, and it stops when told to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from selectolax.lexbor import LexborHTMLParser

from aag_ray.config import FetchSection
from aag_ray.web.fetch import Fetcher
from aag_ray.web.fetched import FetchOutcome
from aag_ray.world.serve import LocalWeb
from aag_ray.world.site import SiteSection

SECTION = SiteSection(pages=240, crawl_delay=0.0, index="at_first_search")
COMMAND = [sys.executable, "-m", "aag_ray.world", "serve"]


class Names(AbstractResolver):
    """Knows the names of one web."""

    def __init__(self, web: LocalWeb) -> None:
        self.addresses = {host.name: host.address for host in web.site.hosts}

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        address = self.addresses[host.removeprefix("www.")]
        return [{"hostname": host, "host": address, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


def polite(web: LocalWeb) -> FetchSection:
    return FetchSection.model_validate(
        {"guard": {"allow": web.allow}, "politeness": {"delay_seconds": 0.0, "per_host": 8, "retries": 0}}
    )


async def crawl(fetcher: Fetcher, seeds: tuple[str, ...], within: str) -> dict[str, FetchOutcome]:
    """Every URL below `within` that links lead to, and how it ended."""
    ended: dict[str, FetchOutcome] = {}
    waiting = set(seeds)
    while waiting:
        found: set[str] = set()
        async for fetched in fetcher.fetch_all(waiting):
            ended[fetched.url] = fetched.outcome
            links = LexborHTMLParser(fetched.body).css("a[href]") if fetched.ok else []
            found |= {urljoin(fetched.final_url, node.attributes["href"] or "").partition("#")[0] for node in links}
        waiting = {url for url in found - set(ended) if within in url}
    return ended


@pytest.mark.asyncio
async def test_a_crawl_from_the_seeds_finds_every_article_and_every_link_resolves():
    async with LocalWeb(SECTION).running() as web, Fetcher(polite(web)) as fetcher:
        hosts = tuple(web.origin(host) for host in web.site.ordinary)
        ended = {
            url: outcome
            for url, outcome in (await crawl(fetcher, web.seeds, "http://127.0.0.")).items()
            if url.startswith(hosts)
        }
        articles = {web.url(page) for host in web.site.ordinary for page in web.site.pages(host)}
        assert articles <= set(ended)
        known = {row["url"]: row["outcome"] for row in web.truth() if row["row"] == "page"}
        assert {url: outcome.value for url, outcome in ended.items()} == {url: known[url] for url in ended}
        assert not [key for key in web.asked if key[1] == "private"]


@pytest.mark.asyncio
async def test_hosts_answer_by_name_too_and_their_links_stay_by_name():
    async with LocalWeb(SECTION).running() as web, Fetcher(polite(web), resolver=Names(web)) as fetcher:
        home = web.named_origin(web.site.ordinary[1])
        ended = await crawl(fetcher, (f"{home}/",), home)
        assert {outcome for url, outcome in ended.items() if "/private/" not in url} == {FetchOutcome.OK}
        assert len(ended) >= web.site.count(web.site.ordinary[1])
        page = web.site.page(web.site.ordinary[1], 0)
        fetched = await fetcher.fetch(home + web.site.path(page))
        assert f":{web.port}/" in fetched.body.decode()
        assert "127.0.0." not in fetched.body.decode()
        moved = await fetcher.fetch(home.replace("//", "//www.") + web.site.path(page))
        assert moved.final_url == home + web.site.path(page)


@pytest.mark.asyncio
async def test_an_unknown_name_is_the_host_of_the_address():
    async with LocalWeb(SECTION).running() as web, aiohttp.ClientSession(web.seeds[2]) as session:
        async with session.get("/", headers={"Host": "elsewhere.example"}) as response:
            assert "The Daily Gazetteer" in await response.text()
        async with session.get("/robots.txt", headers={"Host": ""}) as response:
            assert web.seeds[2] in await response.text()


@pytest.mark.asyncio
async def test_duplicates_name_one_canonical_page_and_old_paths_lead_to_it():
    async with LocalWeb(SECTION).running() as web, Fetcher(polite(web)) as fetcher:
        archive = web.site.ordinary[7]
        page = web.site.page(archive, 3)
        plain = await fetcher.fetch(web.url(page))
        tracked = await fetcher.fetch(web.url(page) + "?utm_source=letter")
        moved = await fetcher.fetch(web.url(page).replace("/mirror/", "/go/"))
        assert plain.body == tracked.body == moved.body
        assert moved.hops == (web.url(page).replace("/mirror/", "/go/"), web.url(page))
        assert f'<link rel="canonical" href="{web.url(page)}">' in plain.body.decode()
        assert (await fetcher.fetch(f"{web.origin(archive)}/go/nowhere")).status == 404


@pytest.mark.asyncio
async def test_pages_that_are_not_there_are_not_found():
    async with LocalWeb(SECTION).running() as web, aiohttp.ClientSession(web.seeds[0]) as session:
        for path in (
            "/wiki/atlantis",
            "/list/0",
            "/list/2",
            "/list/x",
            "/list/",
            "/sitemap-9.xml",
            "/%00",
            "/wiki/",
            "/_truth.json",
        ):
            async with session.get(path) as response:
                assert response.status == 404, path
        async with session.post("/about", data=b"x") as response:
            assert response.status == 405


class TestSearch:
    @pytest.mark.asyncio
    async def test_answers_are_json_of_live_pages(self):
        async with LocalWeb(SECTION).running() as web, aiohttp.ClientSession() as session, Fetcher(polite(web)) as fetcher:
            question = web.site.world.questions["test"][0]
            options = {"q": question.question, "format": "json"}
            for asking in (session.get(web.search_url, params=options), session.post(web.search_url, data=options)):
                async with asking as response:
                    assert response.content_type == "application/json"
                    found = await response.json()
                assert found["query"] == question.question
                assert len(found["results"]) == 10
            fetched = [fetched async for fetched in fetcher.fetch_all(row["url"] for row in found["results"])]
            assert all(each.ok for each in fetched)
            assert web.asked["search.world.test", "search"] == 2

    @pytest.mark.asyncio
    async def test_bad_questions_get_an_error_in_json(self):
        async with LocalWeb(SECTION).running() as web, aiohttp.ClientSession() as session:
            for params, status in (
                ({"format": "json"}, 400),
                ({"q": "x", "format": "rss"}, 403),
                ({"q": "x", "pageno": "a"}, 400),
            ):
                async with session.get(web.search_url, params=params) as response:
                    assert response.status == status
            async with session.get(web.search_url, params={"q": "capital"}) as response:
                assert response.content_type == "text/html"
            async with session.get(web.search_url.replace("/search", "/admin")) as response:
                assert response.status == 404

    @pytest.mark.asyncio
    async def test_many_questions_at_once_share_one_index(self):
        async with LocalWeb(SECTION).running() as web, aiohttp.ClientSession() as session:

            async def ask(text: str) -> int:
                async with session.get(web.search_url, params={"q": text, "format": "json"}) as response:
                    return len((await response.json())["results"])

            assert await asyncio.gather(*(ask("capital city") for _ in range(20))) == [10] * 20


class TestLife:
    @pytest.mark.asyncio
    async def test_two_webs_run_beside_one_another_and_end_alone(self):
        async with LocalWeb(SECTION).running() as one, aiohttp.ClientSession() as session:
            async with LocalWeb(SECTION.model_copy(update={"seed": 30})).running() as other:
                assert one.port != other.port
                for web in (one, other):
                    async with session.get(web.seeds[0]) as response:
                        assert response.status == 200
            async with session.get(one.seeds[0]) as response:
                assert response.status == 200
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.2", one.port)

    @pytest.mark.asyncio
    async def test_a_taken_port_is_named(self):
        async with LocalWeb(SECTION).running() as web:
            again = LocalWeb(SECTION.model_copy(update={"port": web.port}))
            with pytest.raises(OSError, match=rf"cannot listen on 127.0.0.2:{web.port} .*port=0 takes a free one"):
                async with again.running():
                    pass

    @pytest.mark.asyncio
    async def test_it_stops_while_clients_are_still_reading(self):
        async with aiohttp.ClientSession() as session:
            async with LocalWeb(SECTION).running() as web:
                response = await session.get(f"{web.origin(web.site.hostile)}/endless")
                await response.content.readexactly(1000)
            response.close()

    @pytest.mark.asyncio
    async def test_nothing_listens_beyond_loopback(self):
        async with LocalWeb(SECTION).running() as web:
            listening = {
                line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[3] == "0A"
            }
            ours = {where.split(":")[0] for where in listening if int(where.split(":")[1], 16) == web.port}
            assert len(ours) >= len(web.site.hosts)
            assert all(address.endswith("7F") for address in ours)  # little-endian 127.x.y.z

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_the_command_serves_until_it_is_told_to_stop(self, number: signal.Signals, tmp_path: Path):
        arguments = [
            "--pages",
            "16",
            "--json",
            "--truth",
            str(tmp_path / "truth.jsonl"),
            "crawl_delay=0",
            "world.train_questions=60",
        ]
        with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                told = json.loads(process.stdout.readline())
                with socket.create_connection(("127.0.0.2", int(told["base"].rpartition(":")[2].strip("/")))):
                    pass
                FetchSection.model_validate({"guard": {"allow": told["allow"]}})
            finally:
                os.kill(process.pid, number)
            assert process.wait(timeout=60) == 0
        rows = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
        assert {row["row"] for row in rows} == {"page", "question"}
        assert sum(row.get("kind") == "article" for row in rows) == 16

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--pages", "3"], "pages=3 are fewer than hosts=8"),
            (["--hosts", "0"], "hosts"),
            (["--port", "8265"], "one of Ray's own ports"),
            (["--bias", "ads"], "bias"),
            (["colour=red"], "colour='red': unknown key"),
            (["world.min_city_population=900000000"], "world.min_city_population=900000000"),
        ],
    )
    def test_a_wrong_argument_is_named(self, arguments: list[str], said: str):
        done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr
