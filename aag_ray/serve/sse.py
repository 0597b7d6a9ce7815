"""Server-sent events that never just break off: heartbeats in silence, an error event at the end of a failure.

When the client leaves, whatever was being made for it is cancelled.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from aag_ray.serve.errors import ApiError, stopping

log = logging.getLogger(__name__)
HEARTBEAT = b": still working\n\n"
DONE = b"data: [DONE]\n\n"
LAST_SECONDS = 1.0  # for the last event to a client that reads slowly
Result = TypeVar("Result")


class ClientLeft(Exception):
    """The client closed its connection before it had its answer."""


def as_json(data: Mapping[str, Any]) -> bytes:
    """Compact JSON in UTF-8, in one line. Half of a surrogate pair, which UTF-8 cannot hold, becomes "?"."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def sse(data: Mapping[str, Any], event: str | None = None) -> bytes:
    """One event."""
    name = f"event: {event}\n".encode() if event else b""
    return name + b"data: " + as_json(data) + b"\n\n"


async def with_heartbeat(events: AsyncGenerator[bytes, None], seconds: float) -> AsyncGenerator[bytes, None]:
    """The same, with a comment whenever nothing came for `seconds`. Closing it closes `events`."""
    waiting: asyncio.Task[bytes] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait([waiting], timeout=seconds)
            if not done:
                yield HEARTBEAT
                continue
            finished, waiting = waiting, None
            try:
                yield finished.result()
            except StopAsyncIteration:
                return
    finally:
        if waiting is not None:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await events.aclose()


async def unless_client_leaves(receive: Receive, work: Awaitable[Result]) -> Result:
    """The result of `work`. Raises ClientLeft, after `work` was cancelled and has ended, if the client goes first."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeft
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """A response of events, made while it holds `place`; an ApiError of entering it is an ordinary response.

    `on_fault` turns what `events` raises into the last event.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        place: AbstractAsyncContextManager[None],
        heartbeat_seconds: float,
        on_fault: Callable[[Exception], bytes],
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self.events, self.place, self.heartbeat_seconds, self.on_fault = events, place, heartbeat_seconds, on_fault

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_client_leaves(receive, self._admitted(send))
        except ApiError as refusal:
            await refusal.response(scope, receive, send)
        except (ClientLeft, OSError):
            log.info("a client left before the end of its stream")

    async def _admitted(self, send: Send) -> None:
        async with self.place:
            await self._send(send)

    async def _send(self, send: Send) -> None:
        async def body(chunk: bytes, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": chunk, "more_body": more})

        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(with_heartbeat(self.events, self.heartbeat_seconds)) as events:
            try:
                async for chunk in events:
                    await body(chunk)
            except asyncio.CancelledError:
                # The server stops, or the client has left and this goes nowhere.
                with suppress(OSError, TimeoutError):
                    async with asyncio.timeout(LAST_SECONDS):
                        await body(self.on_fault(stopping()), more=False)
                raise
            except OSError:
                raise
            except Exception as error:
                log.exception("while streaming")
                await body(self.on_fault(error))
        await body(b"", more=False)
