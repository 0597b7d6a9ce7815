"""The policy's parts behind real handles: a lost replica's call is made once more, and who leaves ends the work there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import serve

from aag_ray.answer.parts import Awakening, Piece, Unavailable
from aag_ray.serve.handles import RemoteEngine

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
REPLICAS = 3


@pytest.fixture(scope="module")
def handle() -> Iterator[Any]:
    """Replicas of an engine that does what the question says; defined in here so that Ray sends it by value."""

    @serve.deployment(name="engine", num_replicas=REPLICAS, max_ongoing_requests=8, ray_actor_options={"num_cpus": 0})
    class Engine:
        async def awaken(self, question: str) -> Awakening:
            dies(question)
            if question == "fail":
                raise ZeroDivisionError("by nought")
            if question == "full":
                raise Unavailable("3 prompts are waiting", 3.0)
            await rests(question)
            return Awakening("awake")

        async def read(self, question: str, *_: Any, answer_tokens: int) -> AsyncGenerator[Piece, None]:
            if "after" not in question:
                dies(question)
            yield Piece("one")
            if "after" in question:
                while not (Path(question.split()[-1]) / "received").exists():
                    await asyncio.sleep(0.02)
                dies(question)
            await rests(question)
            yield Piece(" two")

    def dies(question: str) -> None:
        """`die <times> … <folder>`: the process, until the folder has so many files."""
        if question.startswith("die"):
            folder = Path(question.split()[-1])
            if len(list(folder.glob("[0-9]*"))) < int(question.split()[1]):
                (folder / str(os.getpid())).touch()
                os._exit(1)

    async def rests(question: str) -> None:
        """`rest <file>`: until it is cancelled, which the file then says."""
        if question.startswith("rest"):
            file = Path(question.split()[-1])
            file.write_text("resting")
            try:
                await asyncio.sleep(3600)
            finally:
                file.write_text("ended")

    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield serve.run(Engine.bind(), name="parts", route_prefix=None)
    serve.shutdown()
    ray.shutdown()


async def texts(engine: RemoteEngine, question: str) -> list[str]:
    return [piece.text async for piece in engine.read(question, None, (), answer_tokens=2)]


async def until(file: Path, said: str) -> None:
    async with asyncio.timeout(60):
        while not file.exists() or file.read_text() != said:
            await asyncio.sleep(0.02)


@pytest.mark.asyncio
async def test_what_a_part_raises_comes_as_it_is(handle: Any):
    engine = RemoteEngine(handle)
    assert (await engine.awaken("?")).document == "awake"
    assert await texts(engine, "?") == ["one", " two"]
    with pytest.raises(ZeroDivisionError, match="by nought"):
        await engine.awaken("fail")
    with pytest.raises(Unavailable, match="3 prompts") as refused:
        await engine.awaken("full")
    assert refused.value.retry_after == 3.0


@pytest.mark.asyncio
async def test_a_caller_who_leaves_ends_the_work_there(handle: Any, tmp_path: Path):
    engine, call, stream = RemoteEngine(handle), tmp_path / "call", tmp_path / "stream"
    task = asyncio.ensure_future(engine.awaken(f"rest {call}"))
    await until(call, "resting")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await until(call, "ended")
    async with aclosing(engine.read(f"rest {stream}", None, (), answer_tokens=2)) as pieces:
        assert (await anext(pieces)).text == "one"
        await until(stream, "resting")
    await until(stream, "ended")


@pytest.mark.asyncio
async def test_a_call_and_a_stream_not_yet_begun_are_made_once_more(handle: Any, tmp_path: Path):
    for name, ask, answer in (("call", RemoteEngine(handle).awaken, Awakening("awake")), ("stream", None, ["one", " two"])):
        folder = tmp_path / name
        folder.mkdir()
        question = f"die 1 {folder}"
        assert (await ask(question) if ask else await texts(RemoteEngine(handle), question)) == answer
        assert len(list(folder.iterdir())) == 1


@pytest.mark.asyncio
async def test_a_stream_that_has_begun_is_not_begun_again(handle: Any, tmp_path: Path):
    pieces = RemoteEngine(handle).read(f"die 9 after {tmp_path}", None, (), answer_tokens=2)
    assert (await anext(pieces)).text == "one"
    (tmp_path / "received").touch()
    with pytest.raises(Unavailable, match="was lost while it was at work"):
        await anext(pieces)
    assert len(list(tmp_path.glob("[0-9]*"))) == 1


@pytest.mark.asyncio
async def test_what_is_lost_twice_is_unavailable(handle: Any, tmp_path: Path):
    with pytest.raises(Unavailable, match="send it again"):
        await RemoteEngine(handle).awaken(f"die 9 {tmp_path}")
    assert len(list(tmp_path.iterdir())) == 2
