"""Politeness: in simulated time by its rules, and in real time by what 40 hosts saw of 2,000 requests."""

import asyncio
import time
from collections import defaultdict
from email.utils import formatdate
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from aag_ray.config import PolitenessSection
from aag_ray.web.fetch import Fetcher
from aag_ray.web.fetched import FetchOutcome, FetchStopped
from aag_ray.web.politeness import Politeness, host_key, retry_after, user_agent

NOW = 1_800_000_000.0


class Time:
    """A clock that moves only when someone sleeps. Sleepers wake in the order of their times."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def polite(**values) -> tuple[Politeness, Time]:
    clock = Time()
    return Politeness(PolitenessSection(**values), clock=clock, sleep=clock.sleep, seed=29), clock


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0.0), ("120", 120.0), (" 7 ", 7.0),
     (formatdate(NOW + 90, usegmt=True), 90.0), (formatdate(NOW - 90, usegmt=True), 0.0),
     ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0), ("", None), ("soon", None), ("-5", None), ("1.5", None), ("9" * 400, None),
     ("\u0661\u0662", None), ("Mon, 99 Foo 2026 00:00:00 GMT", None)],
)  # fmt: skip
def test_retry_after_is_read_in_both_forms(value: str, seconds: float | None):
    assert retry_after(value, NOW) == seconds


@given(st.text(max_size=60))
def test_any_retry_after_is_a_wait_or_nothing(value: str):
    wait = retry_after(value, NOW)
    assert wait is None or wait >= 0


def test_a_host_is_its_name_and_an_unusual_port():
    same = {
        host_key(URL(url))
        for url in ("http://a.example/", "https://a.example/x", "http://a.example./", "http://A.example:443/")
    }
    assert same == {"a.example"}
    assert host_key(URL("http://a.example:8080/")) == "a.example:8080"


def test_the_user_agent_names_the_program_its_version_and_a_contact():
    assert user_agent(PolitenessSection()).startswith("aag-ray/")
    assert user_agent(PolitenessSection(agent="bot", contact="mailto:a@b.example")).endswith(" (+mailto:a@b.example)")
    with pytest.raises(ValueError, match="agent"):
        PolitenessSection(agent="two words")
    with pytest.raises(ValueError, match="contact"):
        PolitenessSection(contact="a\r\nX-Injected: b")


@pytest.mark.asyncio
async def test_requests_to_one_host_lie_a_delay_apart_and_other_hosts_do_not_wait():
    politeness, clock = polite(delay_seconds=2.0)
    starts = []
    for host in ("a", "a", "b", "a"):
        async with politeness.turn(host):
            starts.append((host, clock.now))
            await clock.sleep(0.5)
    assert starts == [("a", 0.0), ("a", 2.5), ("b", 3.0), ("a", 5.0)]


@pytest.mark.asyncio
async def test_a_crawl_delay_counts_for_its_host():
    politeness, clock = polite(delay_seconds=1.0)
    for expected in (0.0, 10.0, 20.0):
        async with politeness.turn("slow", delay=10.0):
            assert clock.now == expected


@pytest.mark.asyncio
async def test_turns_are_given_in_the_order_they_were_asked_for():
    politeness, _ = polite(delay_seconds=1.0)
    order = []

    async def ask(number: int) -> None:
        async with politeness.turn("a"):
            order.append(number)

    await asyncio.gather(*map(ask, range(20)))
    assert order == list(range(20))


@pytest.mark.asyncio
async def test_a_host_that_asks_for_rest_gets_it():
    politeness, clock = polite(delay_seconds=0.0)
    async with politeness.turn("a") as host:
        politeness.heard(host, 503, 40.0)
    async with politeness.turn("a"):
        assert clock.now == 40.0


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.asyncio
async def test_back_off_doubles_with_jitter_up_to_its_limit_and_ends_with_an_answer(status: int):
    politeness, clock = polite(delay_seconds=0.0, backoff_seconds=1.0, max_backoff_seconds=20.0)
    waits = []
    for _ in range(8):
        async with politeness.turn("a") as host:
            before = clock.now
            politeness.heard(host, status, None)
        async with politeness.turn("a"):
            waits.append(clock.now - before)
    for wait, full in zip(waits, [1, 2, 4, 8, 16, 20, 20, 20], strict=True):
        assert full / 2 <= wait <= full + 1e-9
    assert len(set(waits)) == len(waits)
    async with politeness.turn("a") as host:
        politeness.heard(host, 200, None)
    assert host.rests == 0


@pytest.mark.asyncio
async def test_a_turn_too_far_away_is_not_waited_for():
    politeness, clock = polite(delay_seconds=0.0, max_wait_seconds=60.0)
    async with politeness.turn("a") as host:
        politeness.heard(host, 429, 3600.0)
    for until, outcome in ((None, FetchOutcome.WAIT_TOO_LONG), (30.0, FetchOutcome.DEADLINE)):
        with pytest.raises(FetchStopped) as stopped:
            async with politeness.turn("a", until=until):
                pass
        assert stopped.value.outcome is outcome
    assert clock.now == 0.0
    assert host.users == 0


@pytest.mark.asyncio
async def test_a_silent_host_is_left_alone_for_a_while():
    politeness, clock = polite(delay_seconds=0.0, down_after=2, down_seconds=300.0)
    for _ in range(2):
        async with politeness.turn("a") as host:
            politeness.failed(host)
    with pytest.raises(FetchStopped, match="2 times in a row"):
        async with politeness.turn("a"):
            pass
    clock.now = 301.0
    async with politeness.turn("a") as host:
        politeness.heard(host, 200, None)
    assert host.failures == 0


@pytest.mark.asyncio
async def test_hosts_that_are_done_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aag_ray.web.politeness.MAX_HOSTS", 10)
    politeness, clock = polite(delay_seconds=1.0)
    for number in range(100):
        async with politeness.turn(f"h{number}"):
            pass
        clock.now += 2.0
    assert len(politeness.hosts) <= 10


@pytest.mark.asyncio
async def test_a_busy_host_is_asked_again_when_it_said(site, configure):
    answers = iter((429, 503, 200))

    async def act(asked, writer):
        status = next(answers)
        writer.write(f"HTTP/1.1 {status} S\r\nContent-Type: text/html\r\nContent-Length: 0\r\nRetry-After: 0\r\n\r\n".encode())

    url = site.does("/", act)
    async with Fetcher(configure(site, politeness={"retries": 2})) as fetcher:
        assert (await fetcher.fetch(url)).ok
    assert len(site.seen) == 3


@pytest.mark.asyncio
async def test_a_host_that_wants_an_hour_is_not_asked_again(site, configure):
    url = site.says("/", b"", 429, Retry_After="3600")
    async with Fetcher(configure(site, politeness={"retries": 5})) as fetcher:
        first, second = await fetcher.fetch(url), await fetcher.fetch(url)
    assert first.outcome is FetchOutcome.RATE_LIMITED
    assert "3600 s" in first.detail
    assert second.outcome is FetchOutcome.WAIT_TOO_LONG
    assert len(site.seen) == 1


@pytest.mark.asyncio
async def test_two_thousand_requests_to_forty_hosts_break_no_rule(site, names, configure):
    """Counted by the server: robots.txt first and obeyed, delay and crawl-delay kept, one at a time, rest granted."""
    names.default = ["127.0.0.1"]
    hosts = [f"h{number}.example" for number in range(40)]
    delay, crawl_delay, rest = 0.004, 0.03, 1.0
    slow, resting, forbidding = set(hosts[:4]), set(hosts[4:8]), set(hosts[8:12])
    asked_for_rest: dict[str, float] = {}

    async def robots(asked, writer):
        rules = f"User-agent: *\nDisallow: /private\n{f'Crawl-delay: {crawl_delay}' if asked.host in slow else ''}\n"
        if asked.host in forbidding:
            rules += "User-agent: aag-ray\nDisallow: /\n"
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(rules)}\r\nConnection: close\r\n\r\n{rules}".encode())

    async def page(asked, writer):
        if asked.host in resting and asked.path == "/20" and asked.host not in asked_for_rest:
            asked_for_rest[asked.host] = time.monotonic()
            writer.write(
                f"HTTP/1.1 429 S\r\nContent-Length: 0\r\nRetry-After: {rest:.0f}\r\nConnection: close\r\n\r\n".encode()
            )
            return
        body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\nConnection: close\r\n\r\n<p>x"
        writer.write(body)

    site.does("/robots.txt", robots)
    site.default = page
    paths = [f"/{number}" if number % 10 else f"/private/{number}" for number in range(1, 50)] + ["/20"]
    urls = [site.url(path, host) for path in paths for host in hosts]
    assert len(urls) == 2000
    config = configure(site, politeness={"robots": True, "delay_seconds": delay, "retries": 2, "concurrency": 32})
    async with Fetcher(config, resolver=names) as fetcher:
        ended = [fetched async for fetched in fetcher.fetch_all(urls, in_flight=2000)]

    counted: dict[str, int] = defaultdict(int)
    seen = defaultdict(list)
    for asked in site.seen:
        seen[asked.host].append(asked)
    for host, requests in seen.items():
        counted["robots.txt not first, or read again"] += [asked.path for asked in requests].count("/robots.txt") != 1
        counted["robots.txt not first, or read again"] += requests[0].path != "/robots.txt"
        pages = requests[1:]
        counted["disallowed"] += sum(asked.path.startswith("/private") or host in forbidding for asked in pages)
        counted["another user agent"] += sum(not asked.headers["user-agent"].startswith("aag-ray/") for asked in requests)
        least = crawl_delay if host in slow else delay
        for before, after in pairwise(pages):
            counted["two at once"] += after.began < before.ended
            counted["too soon"] += after.began - before.began < least
        if host in asked_for_rest:
            since = asked_for_rest[host]
            counted["asked while resting"] += sum(since < asked.began < since + rest for asked in pages)
    assert not any(counted.values()), dict(counted)
    assert len(counted) == 6
    outcomes = [fetched.outcome for fetched in ended]
    assert len(ended) == 2000
    assert outcomes.count(FetchOutcome.ROBOTS_DISALLOWED) == 4 * 50 + 36 * 4
    assert outcomes.count(FetchOutcome.OK) == 2000 - (4 * 50 + 36 * 4)
    assert set(asked_for_rest) == resting
