"""One exchange with a hostile server: whatever it does ends as an outcome, soon, and holds no more than its limits."""

import asyncio
import gzip
import tracemalloc
from collections.abc import Awaitable, Callable
from itertools import cycle

import brotli
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aag_ray.web.fetch import Fetcher
from aag_ray.web.fetched import FetchOutcome

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + bytes(100)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
MIB = 1024 * 1024


def endlessly(first: bytes, *pieces: bytes, pause: float = 0.0) -> Callable[..., Awaitable[None]]:
    """A server that never ends by itself."""

    async def act(asked, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        for piece in cycle(pieces):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return act


def silent() -> Callable[..., Awaitable[None]]:
    async def act(asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    return act


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
HAZARDS = {
    "gzip bomb": (("says", gzip.compress(bytes(8 * MIB)), {"Content_Encoding": "gzip"}), "decompressed_too_large"),
    "brotli bomb": (("says", brotli.compress(bytes(8 * MIB), quality=1), {"Content_Encoding": "br"}), "decompressed_too_large"),
    "zstd bomb": (("says", zstandard.compress(bytes(8 * MIB)), {"Content_Encoding": "zstd"}), "decompressed_too_large"),
    "small gzip bomb": (("says", gzip.compress(bytes(290_000)), {"Content_Encoding": "gzip"}), "compression_ratio"),
    "small brotli bomb": (("says", brotli.compress(bytes(290_000)), {"Content_Encoding": "br"}), "compression_ratio"),
    "small zstd bomb": (("says", zstandard.compress(bytes(290_000)), {"Content_Encoding": "zstd"}), "compression_ratio"),
    "nested codings": (("says", b"x", {"Content_Encoding": "gzip, gzip, gzip, gzip, gzip"}), "coding_unknown"),
    "unknown coding": (("says", b"x", {"Content_Encoding": "sdch"}), "coding_unknown"),
    "not gzip at all": (("says", b"<p>plain", {"Content_Encoding": "gzip"}), "decompression_failed"),
    "cut gzip": (("says", gzip.compress(b"page" * 999)[:-9], {"Content_Encoding": "gzip"}), "decompression_failed"),
    "announced huge body": (("sends", HEAD + b"Content-Length: 99999999999\r\n\r\n"), "body_too_large"),
    "endless chunks": (("does", endlessly(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n")), "body_too_large"),
    "endless without length": (("does", endlessly(HEAD + b"\r\n", b"x" * 4096)), "body_too_large"),
    "slow drip": (("does", endlessly(CHUNKED, b"1\r\nx\r\n", pause=0.02)), "too_slow"),
    "stops in the middle": (("does", endlessly(HEAD + b"Content-Length: 999\r\n\r\nabc", b"", pause=1)), "too_slow"),
    "chunk extensions without data": (("does", endlessly(CHUNKED + b"1;", b"a" * 50, pause=0.01)),
                                      {"too_slow", "malformed_response", "disconnected"}),
    "silence": (("does", silent()), "timeout"),
    "dripping headers": (("does", endlessly(b"HTTP/1.1 200 OK\r\nX: ", b"x", pause=0.02)), "timeout"),
    "endless 100 Continue": (("does", endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.001)), "timeout"),
    "one header of 1 MB": (("sends", HEAD + b"X: " + b"x" * 1_000_000 + b"\r\n\r\n"), "headers_too_large"),
    "endless header": (("does", endlessly(HEAD + b"X: ", b"x" * 1000)), "headers_too_large"),
    "10,000 headers": (("sends", HEAD + b"".join(b"X-%d: y\r\n" % n for n in range(10_000)) + b"\r\n"), "headers_too_large"),
    "cookie flood": (("sends", HEAD + b"Set-Cookie: a=b\r\n" * 20_000 + b"\r\n"), "headers_too_large"),
    "headers together too large": (("sends", HEAD + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 500) for n in range(40)) + b"\r\n"),
                                   "headers_too_large"),
    "endless status line": (("does", endlessly(b"HTTP/1.1 200 ", b"O" * 1000)), "headers_too_large"),
    "not HTTP": (("sends", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "malformed_response"),
    "HTTP/0.9": (("sends", b"<html>hello</html>"), {"malformed_response", "disconnected"}),
    "hangs up": (("sends", b""), "disconnected"),
    "body cut short": (("sends", HEAD + b"Content-Length: 50\r\n\r\nshort"), "disconnected"),
    "chunk size is no number": (("sends", CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n"), {"malformed_response", "disconnected"}),
    "chunk cut short": (("sends", CHUNKED + b"ff\r\nabc"), "disconnected"),
    "two lengths": (("sends", HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), "malformed_response"),
    "negative length": (("sends", HEAD + b"Content-Length: -3\r\n\r\nabc"), "malformed_response"),
    "a picture": (("says", PNG, {"Content_Type": "image/png"}), "content_type_refused"),
    "a picture called HTML": (("says", PNG, {"Content_Type": "text/html"}), "content_type_refused"),
    "a picture without a type": (("says", PNG, {"Content_Type": ""}), "content_type_refused"),
    "a PDF called text": (("says", b"%PDF-1.7\n%...", {"Content_Type": "text/plain"}), "content_type_refused"),
    "a download": (("says", b"x", {"Content_Type": "application/octet-stream"}), "content_type_refused"),
    "a type that is none": (("says", b"\0\1\2", {"Content_Type": "yes"}), "content_type_refused"),
    "another protocol": (("sends", b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), "unexpected_status"),
    "an unasked 304": (("says", b"", {"status": 304}), "unexpected_status"),
    "an unasked part": (("says", b"part", {"status": 206}), "unexpected_status"),
    "gone": (("says", b"gone", {"status": 410}), "http_client_error"),
    "broken": (("says", b"oops", {"status": 500}), "http_server_error"),
    "busy": (("says", b"later", {"status": 503}), "rate_limited"),
    "status 999": (("sends", b"HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n"), "http_server_error"),
}  # fmt: skip


@pytest.mark.parametrize("hazard", HAZARDS)
@pytest.mark.asyncio
async def test_every_hazard_ends_as_its_outcome_in_bounded_memory(site, configure, hazard: str):
    (kind, what, *more), expected = HAZARDS[hazard]
    getattr(site, kind)("/", what, **(more[0] if more else {}))
    limits = {"seconds": 3.0, "header_seconds": 0.4}
    async with Fetcher(configure(site, limits=limits)) as fetcher:
        tracemalloc.start()
        try:
            fetched = await fetcher.fetch(site.url())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert fetched.outcome in ({expected} if isinstance(expected, str) else expected), fetched.detail
    assert fetched.body == b""
    assert fetched.detail
    assert len(fetched.detail) < 1000
    assert peak < 12 * MIB  # server and client together; the largest body allowed here is 0.3 MB, the largest sent 8 MiB


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [({"bytes_per_second": 0}, "timeout"), ({"bytes_per_second": 10}, "timeout"), ({"bytes_per_second": 200}, "too_slow")],
    ids=str,
)
@pytest.mark.asyncio
async def test_the_minimum_rate_and_the_total_time_are_two_limits(site, configure, limits: dict, outcome: str):
    site.does("/", endlessly(CHUNKED, b"1\r\nx\r\n", pause=0.02))
    async with Fetcher(configure(site, limits={"seconds": 0.8} | limits)) as fetcher:
        fetched = await fetcher.fetch(site.url())
    assert fetched.outcome == outcome, fetched.detail


@pytest.mark.asyncio
async def test_a_slow_beginning_is_forgiven_within_the_grace(site, configure):
    async def act(asked, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 5\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"<p>hi")

    site.does("/", act)
    async with Fetcher(configure(site)) as fetcher:
        assert (await fetcher.fetch(site.url())).body == b"<p>hi"


@pytest.mark.parametrize(
    ("host", "outcome"),
    [("missing.example", FetchOutcome.DNS_FAILED), ("empty.example", FetchOutcome.DNS_FAILED)],
)
@pytest.mark.asyncio
async def test_a_name_without_an_address_is_told_from_a_closed_port(site, names, configure, host: str, outcome: FetchOutcome):
    names.says("empty.example", [])
    async with Fetcher(configure(site), resolver=names) as fetcher:
        assert (await fetcher.fetch(site.url("/", host))).outcome is outcome


@pytest.mark.asyncio
async def test_a_closed_port_and_a_server_without_tls_are_told_apart(configure, bound):
    async def plain_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"\r\n")
        writer.close()

    silent, talking = bound(), bound()
    closed_port, port = silent.getsockname()[1], talking.getsockname()[1]
    server = await asyncio.start_server(plain_http, sock=talking)
    config = configure(guard={"allow": [f"127.0.0.1:{closed_port},{port}"]})
    async with server, Fetcher(config) as fetcher:
        closed = await fetcher.fetch(f"http://127.0.0.1:{closed_port}/")
        plain = await fetcher.fetch(f"https://127.0.0.1:{port}/")
    assert closed.outcome is FetchOutcome.CONNECT_FAILED
    assert plain.outcome is FetchOutcome.TLS_FAILED


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.one_of(st.binary(max_size=400), st.binary(max_size=200).map(lambda tail: HEAD + tail)))
def test_no_bytes_of_a_server_are_a_fault_of_this_program(configure, bound, raw: bytes):
    async def run() -> FetchOutcome:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(raw)
            writer.close()

        server = await asyncio.start_server(handle, sock=bound())
        port = server.sockets[0].getsockname()[1]
        async with server, Fetcher(configure(guard={"allow": [f"127.0.0.1:{port}"]})) as fetcher:
            return (await fetcher.fetch(f"http://127.0.0.1:{port}/")).outcome

    assert asyncio.run(run()) is not FetchOutcome.FAILED


@pytest.mark.asyncio
async def test_a_request_says_who_asks_and_what_is_read(site, configure):
    site.says("/", b"<p>x")
    async with Fetcher(configure(site, politeness={"contact": "https://example.org/bot"})) as fetcher:
        await fetcher.fetch(site.url())
    headers = site.seen[0].headers
    assert headers["user-agent"].startswith("aag-ray/")
    assert headers["user-agent"].endswith("(+https://example.org/bot)")
    assert set(headers["accept-encoding"].split(", ")) == {"gzip", "deflate", "br", "zstd"}
    assert not {"cookie", "authorization", "referer", "proxy-connection"} & set(headers)


@pytest.mark.asyncio
async def test_a_cookie_is_never_sent_back(site, configure):
    site.says("/", b"<p>x", Set_Cookie="session=1")
    async with Fetcher(configure(site)) as fetcher:
        await fetcher.fetch(site.url())
        await fetcher.fetch(site.url())
    assert "cookie" not in site.seen[1].headers


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
@pytest.mark.asyncio
async def test_a_compressed_page_is_read(site, configure, coding: str):
    import zlib

    compress = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.compress, "deflate": zlib.compress}
    page = b"<p>" + b"some words of a page " * 200
    site.says("/", compress[coding](page), Content_Encoding=coding)
    async with Fetcher(configure(site)) as fetcher:
        fetched = await fetcher.fetch(site.url())
    assert fetched.body == page
    assert 0 < fetched.wire_bytes < len(page)
