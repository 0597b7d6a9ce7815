"""A real HTTP server on loopback that speaks each engine's documented format, or answers whatever it is told to."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from aag_ray.config import ProviderSection, SearchSection

KEY = "k3y/with+signs=and-secrets"
KINDS = ("searxng", "brave", "tavily", "serper", "google", "bing")
VARIABLES = {kind: f"TEST_{kind.upper()}_KEY" for kind in KINDS}


def hit(number: int, url: str = "", **more: Any) -> dict[str, Any]:
    return {"url": url or f"https://site{number}.example/page", "title": f"Title {number}", "text": f"Snippet {number}", **more}


def searxng(hits: list[dict[str, Any]]) -> dict[str, Any]:
    results = [
        {
            "url": each["url"],
            "title": each["title"],
            "content": each["text"],
            "publishedDate": each.get("date"),
            "engine": "mojeek",
            "engines": ["mojeek"],
            "positions": [at],
            "score": 1.0 / at,
            "category": "general",
            "template": "default.html",
        }
        for at, each in enumerate(hits, 1)
    ]
    return {
        "query": "q",
        "number_of_results": 0,
        "results": results,
        "answers": [],
        "infoboxes": [],
        "unresponsive_engines": [],
    }


def brave(hits: list[dict[str, Any]]) -> dict[str, Any]:
    results = [
        {"type": "search_result", "url": each["url"], "title": each["title"], "description": each["text"]}
        | ({"page_age": each["date"]} if "date" in each else {})
        for each in hits
    ]
    found = {"type": "search", "query": {"original": "q", "more_results_available": False}}
    return found | ({"web": {"type": "search", "results": results}} if hits else {})


def tavily(hits: list[dict[str, Any]]) -> dict[str, Any]:
    results = [
        {"url": each["url"], "title": each["title"], "content": each["text"], "score": 0.9 - at / 100, "raw_content": None}
        | ({"published_date": each["date"]} if "date" in each else {})
        for at, each in enumerate(hits)
    ]
    return {"query": "q", "answer": None, "images": [], "results": results, "response_time": 0.6, "request_id": "r"}


def serper(hits: list[dict[str, Any]]) -> dict[str, Any]:
    organic = [
        {"title": each["title"], "link": each["url"], "snippet": each["text"], "position": at}
        | ({"date": each["date"]} if "date" in each else {})
        for at, each in enumerate(hits, 1)
    ]
    return {"searchParameters": {"q": "q", "type": "search"}, "organic": organic, "credits": 1}


def google(hits: list[dict[str, Any]]) -> dict[str, Any]:
    items = [
        {
            "kind": "customsearch#result",
            "title": each["title"],
            "link": each["url"],
            "snippet": each["text"],
            "displayLink": "site.example",
            "pagemap": {"metatags": [{"article:published_time": each["date"]} if "date" in each else {"viewport": "w"}]},
        }
        for each in hits
    ]
    return {"kind": "customsearch#search", "searchInformation": {"totalResults": str(len(hits))}} | (
        {"items": items} if hits else {}
    )


def bing(hits: list[dict[str, Any]]) -> dict[str, Any]:
    value = [
        {"id": f"#{at}", "name": each["title"], "url": each["url"], "snippet": each["text"], "displayUrl": each["url"]}
        | ({"datePublished": each["date"]} if "date" in each else {})
        for at, each in enumerate(hits)
    ]
    answer = {"_type": "SearchResponse", "queryContext": {"originalQuery": "q"}}
    return answer | ({"webPages": {"totalEstimatedMatches": len(hits), "value": value}} if hits else {})


FORMATS: dict[str, Callable[[list[dict[str, Any]]], dict[str, Any]]] = {
    "searxng": searxng,
    "brave": brave,
    "tavily": tavily,
    "serper": serper,
    "google": google,
    "bing": bing,
}
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """One request as the engine saw it."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Engine:
    """An engine. It gives `hits` in the format of the kind it is asked as, unless `answer` says otherwise."""

    kind: str
    port: int = 0
    hits: list[dict[str, Any]] = field(default_factory=lambda: [hit(1), hit(2)])
    answer: Answer | None = None
    seen: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def section(self, **changes: Any) -> ProviderSection:
        values: dict[str, Any] = {"kind": self.kind, "url": self.url, "timeout_seconds": 5.0, **changes}
        if self.kind != "searxng":
            values.setdefault("key_env", VARIABLES[self.kind])
        if self.kind == "google":
            values.setdefault("engine_id", "cx:1")
        return ProviderSection.model_validate(values)

    def says(self, body: Any, status: int = 200, **headers: str) -> None:
        """Answer everything with this body: bytes as they are, anything else as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()

        async def answer(request: web.Request) -> web.StreamResponse:
            named = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(body=raw, status=status, headers=named)

        self.answer = answer

    async def serve(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw) if raw else None
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Asked(request.method, request.path, dict(request.query), headers, body))
        if self.answer is not None:
            return await self.answer(request)
        return web.json_response(FORMATS[self.kind](self.hits))


StartEngine = Callable[..., Awaitable[Engine]]


@pytest_asyncio.fixture
async def start(monkeypatch: pytest.MonkeyPatch, bound: Callable[[], socket.socket]) -> AsyncIterator[StartEngine]:
    """Start an engine of a kind on a free port of 127.0.0.1; its key stands in the environment."""
    runners: list[web.AppRunner] = []
    for variable in VARIABLES.values():
        monkeypatch.setenv(variable, KEY)

    async def started(kind: str = "searxng", hits: list[dict[str, Any]] | None = None) -> Engine:
        engine = Engine(kind)
        if hits is not None:
            engine.hits = hits
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", engine.serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        runners.append(runner)
        site = web.SockSite(runner, bound())
        await site.start()
        engine.port = runner.addresses[0][1]
        return engine

    yield started
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address of this machine where nobody listens: its port is taken, and stays so for the test."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def pool_of(*sections: ProviderSection, **changes: Any) -> SearchSection:
    return SearchSection.model_validate({"providers": sections, "slow_seconds": 60.0, "deadline_seconds": 60.0, **changes})


@pytest.fixture
def pooled() -> Callable[..., SearchSection]:
    """A pool's configuration of these providers, patient unless told otherwise."""
    return pool_of
