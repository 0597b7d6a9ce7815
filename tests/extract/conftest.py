"""A real chat-completions server on loopback that says what it is told to."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest_asyncio
from aiohttp import web

Answer = str | None | web.StreamResponse | Callable[[dict[str, Any]], Any]


def completion(text: str | None, **more: Any) -> web.Response:
    """A well-formed chat completion of 100 tokens read and 10 written."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": more.pop("finish_reason", "stop")}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return web.json_response({"object": "chat.completion", "choices": [choice], "usage": usage} | more)


@dataclass
class ChatServer:
    """Answers with each of `script` in turn, the last one again and again. `asked` and `headers` are what it received."""

    base_url: str = ""
    script: list[Answer] = field(default_factory=lambda: ["hello"])
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    busy: int = 0
    most_busy: int = 0

    def says(self, *script: Answer) -> None:
        """Texts become completions, responses go out as they are, functions of the request give either, awaited if needed."""
        self.script = list(script)

    def completion(self, text: str | None, **more: Any) -> web.Response:
        return completion(text, **more)

    @property
    def prompts(self) -> list[str]:
        return [request["messages"][-1]["content"] for request in self.asked]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(json.loads(await request.text()))
        self.headers.append(dict(request.headers))
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            answer = self.script[min(len(self.asked), len(self.script)) - 1]
            if callable(answer) and not isinstance(answer, web.StreamResponse):
                answer = answer(self.asked[-1])
            if inspect.isawaitable(answer) and not isinstance(answer, web.StreamResponse):
                answer = await answer
            return completion(answer) if answer is None or isinstance(answer, str) else answer
        finally:
            self.busy -= 1


@pytest_asyncio.fixture
async def chat() -> AsyncIterator[ChatServer]:
    server = ChatServer()
    app = web.Application(client_max_size=32 * 1024**2)
    app.router.add_post("/v1/chat/completions", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield server
    await runner.cleanup()
