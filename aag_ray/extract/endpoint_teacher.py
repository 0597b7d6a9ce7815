"""A teacher behind any endpoint that speaks OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp

from aag_ray.config import EndpointSection
from aag_ray.extract.teachers import BUSY, TeacherError, TeacherOutcome, TeacherReply
from aag_ray.web.politeness import retry_after

_BODY_BYTES = 8_000_000
_ERROR_BYTES = 4_000
_ANSWERED = frozenset({TeacherOutcome.OK, TeacherOutcome.EMPTY, TeacherOutcome.CUT_OFF})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and how to ask. `base_url` ends before `/chat/completions`; the key is read from the variable `key_variable`.

    Prices are for a million tokens. A call is tried `1 + retries` times, waiting `backoff` seconds, then twice that and so
    on, or what the endpoint asks for, but never more than `longest_wait`. `requests_per_minute` spaces out all requests,
    retries too; None for no limit. `extra` goes into every request as it is.
    """

    base_url: str
    model: str
    key_variable: str | None = None
    max_tokens: int = 4096
    timeout: float = 120.0
    retries: int = 4
    backoff: float = 1.0
    longest_wait: float = 60.0
    concurrency: int = 10
    requests_per_minute: float | None = None
    price_in: float = 0.0
    price_out: float = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, section: EndpointSection) -> Endpoint:
        """The endpoint that a configuration names."""
        same = section.model_dump(exclude={"key_env", "timeout_seconds"})
        return cls(**same, key_variable=section.key_env, timeout=section.timeout_seconds)

    def shared_by(self, clients: int) -> Endpoint:
        """What each of `clients` at once may do, so that all together keep to the limits; each has one slot at least."""
        rate = self.requests_per_minute and self.requests_per_minute / clients
        return replace(self, requests_per_minute=rate, concurrency=max(1, self.concurrency // clients))

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise ValueError(f"base_url={self.base_url!r} must start with http:// or https://")
        if self.concurrency < 1 or self.retries < 0 or self.timeout <= 0 or (self.requests_per_minute or 1) <= 0:
            raise ValueError("concurrency must be at least 1, retries at least 0, timeout and requests_per_minute above 0")


class EndpointTeacher:
    """Asks an endpoint; `async with` opens and closes its connections, again and again if need be, in one event loop.

    Raises TeacherError if the variable of the key is not set. The key appears in no reply, even if the endpoint echoes it.
    """

    def __init__(self, endpoint: Endpoint, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self.endpoint, self.name = endpoint, endpoint.model
        self._key = os.environ.get(endpoint.key_variable, "") if endpoint.key_variable else ""
        if endpoint.key_variable and not self._key:
            raise TeacherError(
                f"the environment variable {endpoint.key_variable} with the key for {endpoint.base_url} is not set"
            )
        self._sleep = sleep
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._next_start = 0.0
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> EndpointTeacher:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=aiohttp.ClientTimeout(total=self.endpoint.timeout),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def ask(self, prompt: str) -> TeacherReply:
        """One user message, at temperature 0. Raises RuntimeError outside of `async with`."""
        if self._session is None or self._session.closed:
            raise RuntimeError("an EndpointTeacher answers inside `async with` only")
        started = time.perf_counter()
        async with self._slots:
            attempt = 0
            while True:
                attempt += 1
                await self._pace()
                reply, wait = await self._once(self._session, prompt)
                if reply.outcome not in BUSY or attempt > self.endpoint.retries:
                    break
                # Jitter, so that calls that were refused together do not come back together.
                pause = self.endpoint.backoff * 2 ** (attempt - 1) * random.uniform(0.75, 1.25) if wait is None else wait
                await self._sleep(min(pause, self.endpoint.longest_wait))
        return replace(reply, seconds=time.perf_counter() - started, attempts=attempt, detail=self._without_key(reply.detail))

    async def _pace(self) -> None:
        if self.endpoint.requests_per_minute:
            now = time.monotonic()
            wait, self._next_start = self._next_start - now, max(self._next_start, now) + 60 / self.endpoint.requests_per_minute
            if wait > 0:
                await self._sleep(wait)

    async def _once(self, session: aiohttp.ClientSession, prompt: str) -> tuple[TeacherReply, float | None]:
        """A reply, and how long the endpoint asks to wait before the next one."""
        where, url = self.endpoint.base_url, f"{self.endpoint.base_url.rstrip('/')}/chat/completions"
        request = {"model": self.endpoint.model, "temperature": 0, "max_tokens": self.endpoint.max_tokens}
        request |= {"messages": [{"role": "user", "content": prompt}], **self.endpoint.extra}
        try:
            async with session.post(url, json=request, allow_redirects=False) as response:
                body = await _read(response, _BODY_BYTES if response.status == 200 else _ERROR_BYTES)
                if response.status != 200:
                    said = " ".join(body.decode("utf-8", "replace").split())[:300]
                    outcome = _outcome(response.status)
                    wait = retry_after(response.headers.get("Retry-After", ""), time.time())
                    return TeacherReply(outcome, detail=f"{where} answered {response.status}: {said}"), wait
        except TimeoutError:
            return TeacherReply(TeacherOutcome.TIMEOUT, detail=f"{where} took more than {self.endpoint.timeout:g} s"), None
        except (aiohttp.ClientError, OSError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            return TeacherReply(TeacherOutcome.UNREACHABLE, detail=f"{where}: {reason}"), None
        return self._reading(body), None

    def _reading(self, body: bytes) -> TeacherReply:
        where = self.endpoint.base_url
        if len(body) > _BODY_BYTES:
            return TeacherReply(TeacherOutcome.MALFORMED, detail=f"{where} answered with more than {_BODY_BYTES} bytes")
        try:
            answer = json.loads(body)
            choice = answer["choices"][0]
            text = choice["message"]["content"] or ""
            if not isinstance(text, str):
                raise TypeError(f"content is a {type(text).__name__}")
        except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
            told = f"{type(error).__name__}: {str(error)[:100]}"
            return TeacherReply(TeacherOutcome.MALFORMED, detail=f"{where} gave no chat completion ({told}): {body[:80]!r}")
        usage = answer.get("usage")
        read, written = (_count(usage, name) for name in ("prompt_tokens", "completion_tokens"))
        cost = (read * self.endpoint.price_in + written * self.endpoint.price_out) / 1_000_000
        outcome, detail = TeacherOutcome.OK, ""
        if choice.get("finish_reason") == "length":
            outcome, detail = TeacherOutcome.CUT_OFF, f"{where} stopped at {self.endpoint.max_tokens} tokens"
        elif choice.get("finish_reason") == "content_filter":
            outcome, detail = TeacherOutcome.REFUSED, f"{where} filtered its answer"
        elif not text.strip():
            outcome, detail = TeacherOutcome.EMPTY, f"{where} answered with an empty text"
        return TeacherReply(outcome, text.strip(), detail, read, written, cost)

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text


async def check_endpoint(endpoint: Endpoint) -> None:
    """Ask for one word. Raises TeacherError if the endpoint, its key or its model cannot be used as configured."""
    async with EndpointTeacher(replace(endpoint, max_tokens=min(16, endpoint.max_tokens))) as teacher:
        reply = await teacher.ask("Answer with the word yes.")
    if reply.outcome not in _ANSWERED:
        raise TeacherError(f"the teacher {endpoint.model} cannot be asked ({reply.outcome}): {reply.detail}")


def _outcome(status: int) -> TeacherOutcome:
    if status == 429:
        return TeacherOutcome.RATE_LIMITED
    if status in (401, 402, 403):
        return TeacherOutcome.DENIED
    return TeacherOutcome.SERVER_ERROR if status >= 500 or status == 408 else TeacherOutcome.REFUSED


def _count(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > limit:
            break
    return bytes(body[: limit + 1])
