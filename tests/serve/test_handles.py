"""The policy and its parts behind real handles: a lost replica's call is made once more, who leaves ends the work there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import serve

from aag_ray.answer.answer import Answer
from aag_ray.answer.event import Text
from aag_ray.answer.parsed import ParsedRequest, fallback
from aag_ray.answer.parts import Awakening, Piece, Unavailable
from aag_ray.answer.request import AnswerRequest, Mode
from aag_ray.serve.handles import RemoteEngine, RemoteParser, RemotePolicy

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
REPLICAS = 3


@pytest.fixture(scope="module")
def handle() -> Iterator[Any]:
    """Replicas of engine and policy that do what the question says; defined in here so that Ray sends them by value."""

    @serve.deployment(name="engine", num_replicas=REPLICAS, max_ongoing_requests=8, ray_actor_options={"num_cpus": 0})
    class Engine:
        async def parse(self, request: AnswerRequest, today: date) -> ParsedRequest:
            await does(request.question)
            return fallback("parsed", "")

        async def whole(self, request: AnswerRequest) -> Answer:
            await does(request.question)
            return Answer("whole")

        async def answer(self, request: AnswerRequest) -> AsyncGenerator[list[Any], None]:
            await does(request.question)
            yield [Text("one"), Text(" two")]

        async def recall(self, question: str, *, answer_tokens: int) -> AsyncGenerator[list[Any], None]:
            await does(question)
            yield [Awakening("awake"), Piece("one")]
            yield [Piece(" two")]

        async def read(self, question: str, *_: Any, answer_tokens: int) -> AsyncGenerator[list[Piece], None]:
            if "after" not in question:
                dies(question)
            yield [Piece("one")]
            if "after" in question:
                while not (Path(question.split()[-1]) / "received").exists():
                    await asyncio.sleep(0.02)
                dies(question)
            await rests(question)
            yield [Piece(" two"), Piece(" three")]

    async def does(question: str) -> None:
        dies(question)
        if question == "fail":
            raise ZeroDivisionError("by nought")
        if question == "full":
            raise Unavailable("3 prompts are waiting", 3.0)
        await rests(question)

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
    return [piece.text async for piece in engine.read(question, (), answer_tokens=2)]


async def awakened(engine: RemoteEngine, question: str) -> str:
    awakening, pieces = await engine.recall(question, answer_tokens=2)
    return awakening.document + "".join([piece.text async for piece in pieces])


async def parsed(engine: RemoteEngine, question: str) -> str:
    return (await RemoteParser(engine.handle).parse(AnswerRequest.asking(question), date(2026, 1, 1))).question


def request(question: str) -> AnswerRequest:
    return AnswerRequest.asking(question, mode=Mode.MEMORY)


async def until(file: Path, said: str) -> None:
    async with asyncio.timeout(60):
        while not file.exists() or file.read_text() != said:
            await asyncio.sleep(0.02)


@pytest.mark.asyncio
async def test_what_a_part_raises_comes_as_it_is(handle: Any):
    engine = RemoteEngine(handle)
    assert await parsed(engine, "who?") == "parsed"
    assert await awakened(engine, "who?") == "awakeone two"
    assert await texts(engine, "who?") == ["one", " two", " three"]
    for ask in (parsed, awakened):
        with pytest.raises(ZeroDivisionError, match="by nought"):
            await ask(engine, "fail")
        with pytest.raises(Unavailable, match="3 prompts") as refused:
            await ask(engine, "full")
        assert refused.value.retry_after == 3.0


@pytest.mark.asyncio
async def test_a_policy_that_is_busy_or_lost_has_failed_streamed_or_whole(handle: Any, tmp_path: Path):
    policy = RemotePolicy(handle)
    assert [event.text async for event in policy.answer(request("who?"))] == ["one", " two"]  # type: ignore[union-attr]
    assert (await policy.whole(request("who?"))).text == "whole"
    for number, fault in enumerate(("full", "die 9")):
        folders = [tmp_path / f"{number}{name}" for name in ("stream", "whole")]
        for folder in folders:
            folder.mkdir()
        asked = [request(fault if fault == "full" else f"{fault} {folder}") for folder in folders]
        *_, failed = [event async for event in policy.answer(asked[0])]
        assert failed.code == "overloaded"  # type: ignore[union-attr]
        whole = (await policy.whole(asked[1])).failed
        assert whole is not None
        assert (whole.code, "again" in whole.message or "waiting" in whole.message) == ("overloaded", True)


@pytest.mark.asyncio
async def test_a_caller_who_leaves_ends_the_work_there(handle: Any, tmp_path: Path):
    engine, stream = RemoteEngine(handle), tmp_path / "stream"
    for ask in (parsed, awakened):
        call = tmp_path / ask.__name__
        task = asyncio.ensure_future(ask(engine, f"rest {call}"))
        await until(call, "resting")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(call, "ended")
    async with aclosing(engine.read(f"rest {stream}", (), answer_tokens=2)) as pieces:
        assert (await anext(pieces)).text == "one"
        await until(stream, "resting")
    await until(stream, "ended")


@pytest.mark.asyncio
async def test_a_call_and_a_stream_not_yet_begun_are_made_once_more(handle: Any, tmp_path: Path):
    for ask, answer in ((parsed, "parsed"), (awakened, "awakeone two"), (texts, ["one", " two", " three"])):
        folder = tmp_path / ask.__name__
        folder.mkdir()
        assert await ask(RemoteEngine(handle), f"die 1 {folder}") == answer
        assert len(list(folder.iterdir())) == 1


@pytest.mark.asyncio
async def test_a_stream_that_has_begun_is_not_begun_again(handle: Any, tmp_path: Path):
    pieces = RemoteEngine(handle).read(f"die 9 after {tmp_path}", (), answer_tokens=2)
    assert (await anext(pieces)).text == "one"
    (tmp_path / "received").touch()
    with pytest.raises(Unavailable, match="was lost while it was at work"):
        await anext(pieces)
    assert len(list(tmp_path.glob("[0-9]*"))) == 1


@pytest.mark.asyncio
async def test_what_is_lost_twice_is_unavailable(handle: Any, tmp_path: Path):
    class Counting:
        """The handle, and how often it was asked."""

        asked = 0

        def __getattr__(self, name: str) -> Any:
            return self

        def options(self, **how: Any) -> Any:
            self.how = how
            return self

        def remote(self, *arguments: Any, **named: Any) -> Any:
            self.asked += 1
            return handle.recall.options(**self.how).remote(*arguments, **named)

    counting: Any = Counting()
    with pytest.raises(Unavailable, match="send it again"):
        await RemoteEngine(counting).recall(f"die 9 {tmp_path}", answer_tokens=2)
    assert counting.asked == 2
    assert len(list(tmp_path.iterdir())) >= 2, "Serve itself asks another replica where one dies before it has taken the call"
