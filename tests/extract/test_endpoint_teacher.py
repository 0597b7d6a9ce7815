"""An endpoint is asked politely and paid for, and whatever it does ends in a typed reply."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from aag_ray.extract.endpoint_teacher import Endpoint, EndpointTeacher, check_endpoint
from aag_ray.extract.teachers import TeacherError, TeacherOutcome, TeacherReply, ask_all

KEY = "sk-very-secret-1234"


class Waits(list[float]):
    """Instead of sleeping, remember how long."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


async def asked(chat, waits: Waits | None = None, prompt: str = "Hi", **settings: Any) -> TeacherReply:
    endpoint = Endpoint(chat.base_url, "teacher-1", **({"retries": 2, "timeout": 5.0} | settings))
    async with EndpointTeacher(endpoint, sleep=Waits() if waits is None else waits) as teacher:
        return await teacher.ask(prompt)


def refusal(status: int, text: str = "no", **headers: str) -> web.Response:
    return web.Response(status=status, text=text, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.asyncio
async def test_a_prompt_is_one_user_message_and_the_reply_counts_tokens_and_cost(chat):
    chat.says("  The answer.\n")
    reply = await asked(chat, prompt="Why?\nBecause", price_in=2.0, price_out=10.0, max_tokens=77, extra={"seed": 3})
    assert (reply.outcome, reply.text, reply.attempts) == (TeacherOutcome.OK, "The answer.", 1)
    assert (reply.tokens_in, reply.tokens_out) == (100, 10)
    assert reply.cost == pytest.approx((100 * 2 + 10 * 10) / 1e6)
    assert chat.asked == [
        {
            "model": "teacher-1",
            "temperature": 0,
            "max_tokens": 77,
            "messages": [{"role": "user", "content": "Why?\nBecause"}],
            "seed": 3,
        }
    ]
    assert "Authorization" not in chat.headers[0]


@pytest.mark.asyncio
async def test_a_busy_endpoint_is_asked_again_after_the_time_it_names(chat):
    waits = Waits()
    chat.says(refusal(429, Retry_After="7"), refusal(429, Retry_After="3600"), "at last")
    reply = await asked(chat, waits, longest_wait=30)
    assert (reply.outcome, reply.text, reply.attempts) == (TeacherOutcome.OK, "at last", 3)
    assert waits == [7.0, 30.0]


@pytest.mark.asyncio
@pytest.mark.parametrize(("status", "outcome"), [(500, "server_error"), (503, "server_error"), (408, "server_error")])
async def test_a_broken_server_is_asked_again_with_growing_pauses_and_given_up(chat, status: int, outcome: str):
    waits = Waits()
    chat.says(lambda _: refusal(status, "out of\n memory"))
    reply = await asked(chat, waits, retries=3, backoff=1.0)
    assert (reply.outcome.value, reply.attempts, len(chat.asked)) == (outcome, 4, 4)
    assert f"answered {status}: out of memory" in reply.detail
    assert all(0.75 * expected <= wait <= 1.25 * expected for wait, expected in zip(waits, (1, 2, 4), strict=True))


@pytest.mark.asyncio
async def test_an_endpoint_that_stays_busy_is_rate_limited(chat):
    chat.says(lambda _: refusal(429))
    assert (await asked(chat)).outcome is TeacherOutcome.RATE_LIMITED


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422, 302])
async def test_a_refusal_is_not_asked_again(chat, status: int):
    chat.says(refusal(status, "bad model"))
    reply = await asked(chat)
    expected = TeacherOutcome.DENIED if status in (401, 402, 403) else TeacherOutcome.REFUSED
    assert (reply.outcome, reply.attempts, len(chat.asked)) == (expected, 1, 1)
    assert chat.base_url in reply.detail
    assert str(status) in reply.detail


@pytest.mark.asyncio
async def test_a_slow_endpoint_times_out_and_may_answer_the_next_time(chat):
    never = asyncio.Event()

    async def hang(_: dict[str, Any]) -> str:
        await never.wait()
        return ""

    chat.says(hang, "quick")
    reply = await asked(chat, timeout=0.3)
    assert (reply.outcome, reply.text, reply.attempts) == (TeacherOutcome.OK, "quick", 2)
    chat.asked.clear()
    chat.says(hang)
    assert (await asked(chat, timeout=0.2, retries=0)).outcome is TeacherOutcome.TIMEOUT
    never.set()


@pytest.mark.asyncio
async def test_an_endpoint_that_is_down_is_unreachable(chat):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        chat.base_url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        reply = await asked(chat)
    assert (reply.outcome, reply.attempts) == (TeacherOutcome.UNREACHABLE, 3)
    assert chat.base_url in reply.detail


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{"message": {}}]}',
        b'{"choices": [{"message": {"content": 7}}]}',
        b'{"choices": "x"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
async def test_what_is_no_completion_is_malformed(chat, body: bytes):
    chat.says(web.Response(body=body, content_type="application/json"))
    reply = await asked(chat)
    assert (reply.outcome, reply.text, reply.attempts) == (TeacherOutcome.MALFORMED, "", 1)


@pytest.mark.asyncio
async def test_an_endless_body_is_cut(chat):
    chat.says(web.Response(body=b'{"choices": "' + b"x" * 9_000_000))
    reply = await asked(chat)
    assert (reply.outcome, "more than 8000000 bytes" in reply.detail) == (TeacherOutcome.MALFORMED, True)


@pytest.mark.asyncio
async def test_empty_cut_off_and_filtered_answers_are_told_apart(chat):
    chat.says(None)
    assert (await asked(chat)).outcome is TeacherOutcome.EMPTY
    chat.says(lambda _: chat.completion("half an ans", finish_reason="length"))
    cut = await asked(chat)
    assert (cut.outcome, cut.text, cut.tokens_out) == (TeacherOutcome.CUT_OFF, "half an ans", 10)
    chat.says(lambda _: chat.completion("", finish_reason="content_filter"))
    assert (await asked(chat)).outcome is TeacherOutcome.REFUSED


@pytest.mark.asyncio
@pytest.mark.parametrize("usage", [None, "many", {}, {"prompt_tokens": None, "completion_tokens": -4}, {"prompt_tokens": True}])
async def test_a_wrong_count_of_tokens_costs_nothing(chat, usage: Any):
    chat.says(lambda _: chat.completion("fine", usage=usage))
    reply = await asked(chat, price_in=1.0)
    assert (reply.outcome, reply.tokens_in, reply.tokens_out, reply.cost) == (TeacherOutcome.OK, 0, 0, 0.0)


@pytest.mark.asyncio
async def test_the_key_comes_from_the_environment_and_is_never_told(chat, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TEACHER_KEY", KEY)
    chat.says(refusal(401, f"wrong key {KEY}"))
    reply = await asked(chat, key_variable="TEACHER_KEY")
    assert chat.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert reply.detail.endswith("wrong key [key]")
    assert KEY not in caplog.text
    assert KEY not in json.dumps(reply.to_row())
    assert KEY not in repr(Endpoint(chat.base_url, "m", key_variable="TEACHER_KEY"))


def test_a_missing_key_is_named(monkeypatch):
    monkeypatch.delenv("TEACHER_KEY", raising=False)
    with pytest.raises(ValueError, match="TEACHER_KEY"):
        EndpointTeacher(Endpoint("http://127.0.0.1:9/v1", "m", key_variable="TEACHER_KEY"))


@pytest.mark.asyncio
async def test_no_more_calls_run_at_once_than_allowed_and_order_is_kept(chat):
    async def echo(request: dict[str, Any]) -> str:
        await asyncio.sleep(0.01)
        return request["messages"][0]["content"].upper()

    chat.says(echo)
    async with EndpointTeacher(Endpoint(chat.base_url, "m", concurrency=3)) as teacher:
        replies = await ask_all(teacher, [f"p{number}" for number in range(12)])
    assert [reply.text for reply in replies] == [f"P{number}" for number in range(12)]
    assert chat.most_busy <= 3


@pytest.mark.asyncio
async def test_requests_are_spaced_out_by_the_rate_limit(chat):
    waits = Waits()
    async with EndpointTeacher(Endpoint(chat.base_url, "m", requests_per_minute=60), sleep=waits) as teacher:
        await ask_all(teacher, ["a", "b", "c", "d"])
    assert len(waits) == 3  # the first goes at once
    assert all(at - 0.9 < wait <= at for at, wait in enumerate(sorted(waits), 1))


@pytest.mark.asyncio
async def test_a_teacher_that_was_closed_and_opened_again_keeps_to_its_rate(chat):
    waits = Waits()
    teacher = EndpointTeacher(Endpoint(chat.base_url, "m", requests_per_minute=60), sleep=waits)
    for _ in range(3):
        async with teacher:
            await teacher.ask("hi")
    assert len(waits) == 2


@pytest.mark.parametrize("clients", [1, 3, 50])
def test_clients_at_once_share_the_limits(clients: int):
    part = Endpoint("http://x", "m", requests_per_minute=60, concurrency=10).shared_by(clients)
    assert part.requests_per_minute == 60 / clients
    assert part.concurrency == max(1, 10 // clients)
    assert Endpoint("http://x", "m").shared_by(clients).requests_per_minute is None


@pytest.mark.asyncio
async def test_an_endpoint_is_tried_before_it_is_relied_on(chat, monkeypatch: pytest.MonkeyPatch):
    chat.says("yes", None, chat.completion("ye", finish_reason="length"))
    for _ in range(3):
        await check_endpoint(Endpoint(chat.base_url, "m"))
    assert chat.asked[0]["max_tokens"] == 16
    for answer, why in ((refusal(401), "denied"), (refusal(404, "no model m"), "no model m"), (refusal(500), "server_error")):
        chat.asked.clear()
        chat.says(answer)
        with pytest.raises(TeacherError, match=why):
            await check_endpoint(Endpoint(chat.base_url, "m", retries=0))
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(TeacherError, match=r"NO_SUCH_KEY .* is not set"):
        await check_endpoint(Endpoint(chat.base_url, "m", key_variable="NO_SUCH_KEY"))


@pytest.mark.asyncio
async def test_a_closed_teacher_says_so(chat):
    teacher = EndpointTeacher(Endpoint(chat.base_url, "m"))
    with pytest.raises(RuntimeError, match="async with"):
        await teacher.ask("hi")
    async with teacher:
        assert (await teacher.ask("hi")).ok
    with pytest.raises(RuntimeError, match="async with"):
        await teacher.ask("hi")


@pytest.mark.parametrize(
    "wrong", [{"base_url": "ftp://x"}, {"concurrency": 0}, {"retries": -1}, {"timeout": 0}, {"requests_per_minute": -1}]
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(Endpoint("http://x", "m"), **wrong)
