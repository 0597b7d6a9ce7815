"""How broken and hostile servers answer: fixed bodies, bombs, bodies without an end, silence."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress

from aiohttp import web

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
MEGABYTE = 1 << 20


def says(
    body: str | bytes,
    content_type: str = "text/html; charset=utf-8",
    status: int = 200,
    encoding: str = "utf-8",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """An answer with a fixed body."""
    sent = {"Content-Type": content_type, **(headers or {})}
    content = body.encode(encoding) if isinstance(body, str) else body

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, body=content, headers=sent)

    return answer


def document(text: str, head: str = "", attributes: str = "") -> str:
    """A short page with `text`, which is HTML, as its main part."""
    start = f'<!DOCTYPE html>\n<html lang="en"><head><title>A page</title>{head}</head>\n'
    return f"{start}<body{attributes}><main>{text}</main></body></html>\n"


def streams(chunks: Callable[[], AsyncIterator[bytes]], headers: Mapping[str, str] | None = None) -> Answer:
    """An answer whose body comes in pieces, for as long as the client takes them."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/html; charset=utf-8", **(headers or {})})
        with suppress(ConnectionResetError):  # the client has had enough, which is what it should have
            await response.prepare(request)
            async for chunk in chunks():
                await response.write(chunk)
                await asyncio.sleep(0)  # writing alone never waits while the client keeps up
        return response

    return answer


async def bomb(megabytes: int) -> AsyncIterator[bytes]:
    """Gzip of `megabytes` of spaces, a thousandth of their size: one megabyte, compressed once and said again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    unit = packer.compress(b" " * MEGABYTE) + packer.flush(zlib.Z_FULL_FLUSH)
    yield b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"
    for _ in range(megabytes // 32):
        yield unit * 32


async def endless() -> AsyncIterator[bytes]:
    """A page without an end."""
    while True:
        yield b"<p>And then something else happened, and after that yet another thing.</p>\n" * 800


async def drip() -> AsyncIterator[bytes]:
    """One byte now and then."""
    while True:
        yield b"."
        await asyncio.sleep(0.2)


async def silence(_: web.BaseRequest) -> web.StreamResponse:
    """No answer at all, for longer than anybody waits."""
    await asyncio.sleep(600)
    return web.Response(status=204)


async def truncated(request: web.BaseRequest) -> web.StreamResponse:
    """Half of the bytes that were promised."""
    response = web.StreamResponse(headers={"Content-Type": "text/html; charset=utf-8", "Content-Length": "20000"})
    await response.prepare(request)
    await response.write(b"<p>half" + b" " * 9993)
    if request.transport is not None:
        request.transport.close()
    return response


async def chain(request: web.BaseRequest) -> web.StreamResponse:
    """To the next number, and so on."""
    number = request.path.rpartition("/")[2]
    return web.Response(status=302, headers={"Location": f"/chain/{int(number) + 1 if number.isdecimal() else 1}"})


def redirects(location: str, status: int = 302) -> Answer:
    return says(b"", status=status, headers={"Location": location})
