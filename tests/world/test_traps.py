"""Broken and hostile pages do what they are declared to do, and the project's own fetcher ends each as declared."""

from __future__ import annotations

import zlib

import aiohttp
import pytest

from aag_ray.config import FetchSection
from aag_ray.web.encoding import decode_page
from aag_ray.web.fetch import Fetcher
from aag_ray.web.fetched import FetchOutcome
from aag_ray.world.serve import LocalWeb
from aag_ray.world.site import SiteSection, Style
from aag_ray.world.traps import FAKE_TAGS, ORDERS, trap_at, trap_paths, traps

SECTION = SiteSection(pages=40, crawl_delay=0.0, index="at_first_search")


def hasty(web: LocalWeb) -> FetchSection:
    """The default limits, but no patience: nothing is tested here by waiting."""
    return FetchSection.model_validate(
        {
            "guard": {"allow": web.allow},
            "politeness": {"delay_seconds": 0.0, "per_host": 8, "retries": 0, "backoff_seconds": 0.01},
            "limits": {"slow_after_seconds": 0.5, "header_seconds": 1.5},
        }
    )


def test_paths_are_unique_and_outcomes_are_known():
    assert len({(trap.style, trap.path) for trap in traps()}) == len(traps())
    assert {trap.outcome for trap in traps()} <= {outcome.value for outcome in FetchOutcome}
    assert {trap.kind for trap in traps()} == {"broken", "redirect", "hostile"}
    assert len(trap_paths(Style.HOSTILE)) > 30


def test_a_chain_goes_on_at_every_number_and_other_paths_are_no_traps():
    assert trap_at(Style.HOSTILE, "/chain/77") is trap_at(Style.HOSTILE, "/chain/1")
    assert trap_at(Style.HOSTILE, "/nothing") is None
    assert trap_at(Style.NEWS, "/endless") is None


@pytest.mark.asyncio
async def test_the_fetcher_ends_every_trap_as_declared():
    async with LocalWeb(SECTION).running() as web, Fetcher(hasty(web)) as fetcher:
        hosts = {Style.ARCHIVE: web.site.ordinary[7], Style.HOSTILE: web.site.hostile}
        # 503 comes last, because it keeps its host resting.
        wanted = {web.origin(hosts[trap.style]) + trap.path: trap for trap in traps()}
        ended = {fetched.url: fetched async for fetched in fetcher.fetch_all(url for url in wanted if not url.endswith("/503"))}
        for url, fetched in ended.items():
            trap = wanted[url]
            assert fetched.outcome.value == trap.outcome, (url, fetched.detail)
            if fetched.ok:
                text = decode_page(fetched.body, fetched.content_type).text
                assert all(phrase in text for phrase in (*trap.keep, *trap.drop)), url
            if fetched.outcome in (FetchOutcome.OK, FetchOutcome.HTTP_CLIENT_ERROR) and trap.kind == "broken":
                assert fetched.status == trap.status
        busy = await fetcher.fetch(f"{web.origin(web.site.hostile)}/503")
        assert (busy.outcome, busy.status) == (FetchOutcome.RATE_LIMITED, 503)
        assert dict(busy.headers)["Retry-After"] == "1"


@pytest.mark.asyncio
async def test_the_bomb_is_valid_gzip_of_a_thousand_times_its_size():
    async with LocalWeb(SECTION).running() as web, aiohttp.ClientSession(auto_decompress=False) as session:
        async with session.get(f"{web.origin(web.site.hostile)}/gzip-bomb") as response:
            head = await response.content.readexactly(40_000)
        assert response.headers["Content-Encoding"] == "gzip"
        opened = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(head)
        assert len(opened) > 500 * len(head)


@pytest.mark.asyncio
async def test_orders_stand_where_they_are_said_to_stand():
    async with LocalWeb(SECTION).running() as web, aiohttp.ClientSession(web.origin(web.site.hostile)) as session:

        async def read(path: str) -> str:
            async with session.get(path) as response:
                return await response.text()

        assert f"<p>{ORDERS[0]}</p>" in await read("/orders")
        assert f'<div style="display:none">{ORDERS[1]}</div>' in await read("/hidden-orders")
        assert f"<!-- {ORDERS[2]} -->" in await read("/whispered-orders")
        assert FAKE_TAGS in await read("/fake-tags")
        assert (await read("/deep")).count("<div>") == 40_000
