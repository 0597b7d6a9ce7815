"""A real site with a real search endpoint on loopback, and small deterministic parts around a real policy."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest_asyncio
from aiohttp import web

from aag_ray.answer.parser import UntrainedParser
from aag_ray.answer.parts import Awakening, InThread, Piece, Pieces
from aag_ray.answer.policy import Policy
from aag_ray.answer.web_path import WebPath
from aag_ray.config import AnswerSection, ExtractSection, FetchSection, RankSection, SearchSection
from aag_ray.extract.baselines import Bm25Extractor
from aag_ray.extract.evidence import Evidence
from aag_ray.web.fetch import Fetcher
from aag_ray.web.rank.mixed import Ranker
from aag_ray.web.search.pool import SearchPool


@dataclass
class Site:
    """Pages by path, all of them results of every search in this order. `asked` are the paths that were asked for."""

    port: int = 0
    pages: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    searched: list[dict[str, str]] = field(default_factory=list)
    search_status: int = 200
    never: set[str] = field(default_factory=set)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def says(self, path: str, title: str, *paragraphs: str) -> str:
        body = "".join(f"<p>{each}</p>" for each in paragraphs)
        self.pages[path] = f"<html><head><title>{title}</title></head><body><main><h1>{title}</h1>{body}</main></body></html>"
        return self.url(path)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/search":
            self.searched.append(dict(request.query))
            if self.search_status != 200:
                return web.Response(status=self.search_status)
            rows = [{"url": self.url(path), "title": path.strip("/"), "content": "", "engine": "test"} for path in self.pages]
            return web.json_response({"query": request.query["q"], "results": rows})
        self.asked.append(request.path)
        if request.path in self.never:
            await asyncio.sleep(3600)
        html = self.pages.get(request.path)
        return web.Response(status=404) if html is None else web.Response(text=html, content_type="text/html")


@pytest_asyncio.fixture
async def site(bound: Callable[[], socket.socket]) -> AsyncIterator[Site]:
    made = Site()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listening = web.SockSite(runner, bound())
    await listening.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


@dataclass
class Knows:
    """Memory with a table of answers, which `reader` writes. `cancelled` counts awakenings that were stopped."""

    answers: dict[str, str] = field(default_factory=dict)
    fails: Exception | None = None
    seconds: float = 0.0
    asked: list[str] = field(default_factory=list)
    cancelled: int = 0
    reader: Quotes | None = None

    async def recall(self, question: str, *, answer_tokens: int) -> tuple[Awakening, Pieces]:
        assert self.reader is not None
        self.asked.append(question)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.fails:
            raise self.fails
        known = next((answer for asked, answer in self.answers.items() if asked in question), "")
        awakening = Awakening(f"It is said to be {known}." if known else "", {"rank": 8, "layers": 4}, 5, 7)
        self.reader.asked.append((question, 0))
        return awakening, self.reader.write(known, answer_tokens)


@dataclass
class Quotes:
    """A reader that says the best span, or what memory knows, word by word; `writes` replaces it for evidence.

    `asked` has each question with the number of spans of evidence; `closed` counts ended answers.
    """

    writes: Callable[[Sequence[Evidence]], str] | None = None
    fails: Exception | None = None
    likelihood: float = 0.0
    fails_after: int = 0
    stops_after: int | None = None
    asked: list[tuple[str, int]] = field(default_factory=list)
    closed: int = 0

    def tokens(self, text: str) -> int:
        return len(text.split())

    async def read(self, question: str, evidence: Sequence[Evidence], *, answer_tokens: int) -> AsyncGenerator[Piece, None]:
        self.asked.append((question, len(evidence)))
        text = self.writes(evidence) if self.writes else evidence[0].text
        async with aclosing(self.write(text, answer_tokens)) as pieces:
            async for piece in pieces:
                yield piece

    async def write(self, text: str, answer_tokens: int) -> AsyncGenerator[Piece, None]:
        try:
            pieces = [piece for piece in text.replace(" ", "\0 ").split("\0") if piece]
            for number, piece in enumerate(pieces):
                if self.fails and number == self.fails_after:
                    raise self.fails
                if number == self.stops_after:
                    await asyncio.sleep(3600)
                last = number + 1 == answer_tokens and number + 1 < len(pieces)
                yield Piece(piece, 11 if number == 0 else 0, 1, last, self.likelihood)
                if last:
                    return
                await asyncio.sleep(0)
            if self.fails and not pieces:
                raise self.fails
        finally:
            self.closed += 1


@dataclass
class Parts:
    """A policy and what it is made of."""

    policy: Policy
    memory: Knows
    reader: Quotes
    site: Site


@pytest_asyncio.fixture
async def parts(site: Site) -> AsyncIterator[Callable[..., Parts]]:
    """Makes a policy over the site: real search, fetching, cleaning, ranking and extraction."""
    search = SearchSection.model_validate({"providers": [{"kind": "searxng", "url": site.url("")}]})
    fetch = FetchSection.model_validate(
        {
            "guard": {"allow": [f"127.0.0.1:{site.port}"]},
            "politeness": {"robots": False, "delay_seconds": 0, "per_host": 8, "retries": 0},
        }
    )
    async with SearchPool(search) as pool, Fetcher(fetch) as fetcher:

        def made(
            memory: Knows | None = None, reader: Quotes | None = None, parser: Any = None, extractor: Any = None, **section: Any
        ) -> Parts:
            answer = AnswerSection.model_validate(section)
            memory, reader = memory or Knows(), reader or Quotes()
            memory.reader = reader
            extract = extractor or InThread(Bm25Extractor(ExtractSection(extractor="bm25", threshold=0.3, budget=1.0)))
            path = WebPath(pool, fetcher, Ranker(RankSection(per_host=10)), extract, answer)
            return Parts(Policy(parser or UntrainedParser(), memory, reader, path, answer), memory, reader, site)

        yield made
