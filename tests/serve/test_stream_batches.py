"""Lists of a stream's items: the first at once, the rest together, all of them in order, whatever ends the stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from aag_ray.serve.stream_batches import batched

NEVER = 3600.0


class Source:
    """Numbers, each when it is let go; `fails` after them. `closed` once nobody asks any more."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.free: asyncio.Queue[int | None] = asyncio.Queue()
        self.fails, self.closed, self.taken = fails, False, 0

    def give(self, *numbers: int) -> None:
        for number in numbers:
            self.free.put_nowait(number)

    def end(self) -> None:
        self.free.put_nowait(None)

    async def items(self) -> AsyncGenerator[int, None]:
        try:
            while (number := await self.free.get()) is not None:
                self.taken += 1
                yield number
            if self.fails:
                raise self.fails
        finally:
            self.closed = True

    async def took(self, number: int) -> None:
        while self.taken < number:
            await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_the_first_item_goes_alone_and_those_that_wait_go_together_at_the_end():
    source = Source()
    lists = batched(source.items(), NEVER)
    source.give(1)
    assert await anext(lists) == [1]
    source.give(2, 3, 4)
    source.end()
    assert [some async for some in lists] == [[2, 3, 4]]
    assert source.closed


@pytest.mark.asyncio
async def test_what_comes_within_the_time_goes_together_when_it_is_over():
    source = Source()
    async with aclosing(batched(source.items(), 0.05)) as lists:
        source.give(1)
        assert await anext(lists) == [1]
        source.give(2, 3)
        assert await anext(lists) == [2, 3]  # and not at the end, which does not come


@pytest.mark.asyncio
async def test_without_a_time_nothing_waits():
    source = Source()
    async with aclosing(batched(source.items(), 0.0)) as lists:
        for number in range(4):
            source.give(number)
            assert await anext(lists) == [number]


@pytest.mark.asyncio
async def test_a_stream_of_nothing_is_no_list():
    source = Source()
    source.end()
    assert [some async for some in batched(source.items(), NEVER)] == []


@pytest.mark.asyncio
@pytest.mark.parametrize("before", [0, 1, 3])
async def test_what_came_before_a_failure_comes_before_it(before: int):
    source, heard = Source(ZeroDivisionError("by nought")), []
    source.give(*range(before))
    source.end()

    async def hear() -> None:
        async for some in batched(source.items(), NEVER):
            heard.extend(some)

    with pytest.raises(ZeroDivisionError, match="by nought"):
        await hear()
    assert heard == list(range(before))


@pytest.mark.asyncio
async def test_a_slow_listener_misses_nothing():
    source = Source()
    async with aclosing(batched(source.items(), 0.0)) as lists:
        source.give(0)
        heard = await anext(lists)
        source.give(1, 2)
        await source.took(3)
        source.give(3)
        source.end()
        async for some in lists:
            heard += some
    assert heard == [0, 1, 2, 3]


@pytest.mark.asyncio
@pytest.mark.parametrize("listening", [True, False], ids=["while it waits for an item", "between two items"])
async def test_who_leaves_ends_the_source(listening: bool):
    source = Source()
    lists = batched(source.items(), NEVER)
    source.give(1)
    await anext(lists)
    if listening:
        task = asyncio.ensure_future(anext(lists))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await lists.aclose()
    assert source.closed
    assert asyncio.all_tasks() == {asyncio.current_task()}
