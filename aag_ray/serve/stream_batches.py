"""Streams between replicas: each item sent costs both sides the better part of a millisecond, so that what comes together goes
together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

Item = TypeVar("Item")


async def batched(items: AsyncGenerator[Item, None], seconds: float) -> AsyncGenerator[list[Item], None]:
    """The items in lists, which begin at least `seconds` apart: an item that comes later than that goes at once.

    The last ones do not wait; what `items` raises is raised after them. Closing it closes `items`.
    """
    waiting: list[Item] = []
    arrived = asyncio.Event()

    async def take() -> None:
        async with aclosing(items):
            async for item in items:
                waiting.append(item)
                arrived.set()

    clock = asyncio.get_running_loop().time
    due = clock()
    taking = asyncio.create_task(take())
    taking.add_done_callback(lambda _: arrived.set())
    try:
        while not taking.done() or waiting:
            await arrived.wait()
            if (left := due - clock()) > 0 and not taking.done():
                await asyncio.wait([taking], timeout=left)
            if not taking.done():
                arrived.clear()
            if waiting:
                sent, waiting[:] = list(waiting), []
                due = clock() + seconds
                yield sent
        await taking
    finally:
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
