"""Streams: one line of data an event, heartbeats in silence, an error event instead of a cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.serve.sse import DONE, HEARTBEAT, ClientLeft, sse, unless_client_leaves, with_heartbeat

ASKED = [{"role": "user", "content": "Who?"}]


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), st.sampled_from([None, "error"]))
def test_an_event_is_one_line_of_data_whatever_is_in_it(data: dict[str, Any], name: str | None):
    written = sse(data, name).decode()
    *lines, empty, end = written.split("\n")
    assert (empty, end) == ("", "")
    assert lines[:-1] == ([f"event: {name}"] if name else [])
    assert json.loads(lines[-1].removeprefix("data: ")) == data


def test_half_a_surrogate_pair_is_replaced():
    assert b'"?"' in sse({"text": "\ud800"})


@pytest.mark.asyncio
async def test_silence_is_filled_and_nothing_is_lost():
    go = asyncio.Event()

    async def events() -> AsyncGenerator[bytes, None]:
        yield b"one"
        await go.wait()
        yield b"two"

    got: list[bytes] = []
    async for chunk in with_heartbeat(events(), 0.01):
        got.append(chunk)
        if got.count(HEARTBEAT) == 2:
            go.set()
    assert got[0] == b"one"
    assert got[-1] == b"two"
    assert set(got[1:-1]) == {HEARTBEAT}


@pytest.mark.asyncio
async def test_closing_it_closes_what_is_below():
    ended: list[str] = []

    async def events() -> AsyncGenerator[bytes, None]:
        try:
            yield b"one"
            await asyncio.sleep(3600)
        finally:
            ended.append("closed")

    stream = with_heartbeat(events(), 0.01)
    assert [await anext(stream), await anext(stream)] == [b"one", HEARTBEAT]
    await stream.aclose()
    assert ended == ["closed"]


@pytest.mark.asyncio
async def test_work_is_cancelled_and_waited_for_when_the_client_leaves():
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("cancelled")

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    with pytest.raises(ClientLeft):
        await unless_client_leaves(receive, work())  # pyright: ignore[reportArgumentType]
    assert ended == ["cancelled"]


class TestOverHttp:
    def test_sources_come_before_text_and_done_at_the_end(self, serve: Callable[..., Any], web: Any, streamed: Any) -> None:
        messages = [{"role": "user", "content": web.questions[0]["question"]}]
        with streamed(serve(), model="aag-search", messages=messages) as lines:
            data = [line.removeprefix("data: ") for line in lines if line]
        assert data[-1] == DONE.decode().removeprefix("data: ").strip()
        chunks = [json.loads(line) for line in data[:-1]]
        first_text = next(n for n, chunk in enumerate(chunks) if chunk["choices"][0]["delta"].get("content"))
        sources = [n for n, chunk in enumerate(chunks) if chunk.get("aag", {}).get("event") == "sources"]
        assert len(sources) == 2
        assert sources[1] < first_text

    def test_a_failure_after_text_is_an_event_and_no_done(self, serve: Any, models: Any, streamed: Any) -> None:
        server = serve(models(known="one two three", fails=RuntimeError("broken")))
        with streamed(server, model="aag", messages=ASKED) as lines:
            data = [line.removeprefix("data: ") for line in lines if line]
        assert set(json.loads(data[-1])) == {"error"}
        assert server.ask("Who?", "aag", stream=False).status_code == 500

    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
    def test_a_slow_answer_has_heartbeats(self, serve: Any, models: Any, streamed: Any, path: str) -> None:
        server = serve(models(known="a b", waits=0.5), limits={"heartbeat_seconds": 0.05})
        asked = {"messages": ASKED} if "chat" in path else {"input": "Who?"}
        with streamed(server, path, model="aag", **asked) as lines:
            assert sum(line == ": still working" for line in lines) >= 3

    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
    def test_what_nobody_expected_ends_a_stream_with_an_event_that_tells_nothing(
        self, serve: Any, broken: Any, streamed: Any, path: str
    ) -> None:
        asked = {"messages": ASKED} if "chat" in path else {"input": "Who?"}
        with streamed(serve(policy=broken), path, model="aag", **asked) as lines:
            data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        last = json.loads(data[-1])
        assert (last.get("error") or last)["code"] == "internal"
        assert "path of the server" not in "".join(data)

    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
    def test_a_server_that_stops_says_so_to_those_who_still_listen(
        self, serve: Any, models: Any, streamed: Any, path: str
    ) -> None:
        server = serve(models(known="one two three", waits=3600))
        asked = {"messages": ASKED} if "chat" in path else {"input": "Who?"}
        with streamed(server, path, model="aag", **asked) as lines:
            next(lines)
            server.running.should_exit = True
            data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        last = json.loads(data[-1])
        assert (last.get("error") or last)["code"] == "stopping"
        assert server.models.cancelled == 1
