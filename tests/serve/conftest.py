"""A gateway on a real port: real uvicorn, a real policy over the project's local web, small deterministic models."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
import uvicorn

from aag_ray.answer.event import AnswerEvent, Text
from aag_ray.answer.parser import UntrainedParser
from aag_ray.answer.parts import Awakening, InThread, Piece, Pieces
from aag_ray.answer.policy import Policy
from aag_ray.answer.request import AnswerRequest
from aag_ray.answer.web_path import WebPath
from aag_ray.config import ExtractSection, FetchSection, RankSection, SearchSection, ServeSection
from aag_ray.extract.baselines import Bm25Extractor
from aag_ray.extract.evidence import Evidence
from aag_ray.serve.gateway import AnswerPolicy, build_gateway
from aag_ray.serve.observer import Observer
from aag_ray.web.fetch import Fetcher
from aag_ray.web.rank.mixed import Ranker
from aag_ray.web.search.pool import SearchPool
from aag_ray.world.serve import LocalWeb
from aag_ray.world.site import SiteSection


@dataclass
class Models:
    """Memory and reader in one. Memory says `known`; evidence is quoted, or whatever `writes` makes of it."""

    known: str = "Lima"
    writes: Callable[[Sequence[Evidence]], str] | None = None
    fails: Exception | None = None
    waits: float = 0.0
    waiting: int = 0
    cancelled: int = 0

    async def recall(self, question: str, *, answer_tokens: int) -> tuple[Awakening, Pieces]:
        return Awakening(f"They say it is {self.known}.", {"rank": 8}), self.write(self.known, answer_tokens)

    def tokens(self, text: str) -> int:
        return len(text.split())

    def read(self, question: str, evidence: Sequence[Evidence], *, answer_tokens: int) -> Pieces:
        return self.write(self.writes(evidence) if self.writes else evidence[0].text, answer_tokens)

    async def write(self, text: str, answer_tokens: int) -> AsyncGenerator[Piece, None]:
        self.waiting += 1
        try:
            pieces = [part for part in text.replace(" ", "\0 ").split("\0") if part]
            for number, part in enumerate(pieces[:answer_tokens]):
                if number + 1 == min(len(pieces), answer_tokens):
                    await asyncio.sleep(self.waits)
                    if self.fails:
                        raise self.fails
                yield Piece(part, 3 if number == 0 else 0, 1, number + 1 == answer_tokens < len(pieces))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.waiting -= 1


class Loop:
    """An event loop in a thread, for servers that outlive one test's own loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=60)

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@dataclass
class Web:
    """The local web and the parts that look at it, on one loop."""

    loop: Loop
    local: LocalWeb
    pool: SearchPool
    fetcher: Fetcher
    questions: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture(scope="session")
def web() -> Iterator[Web]:
    loop = Loop()
    local = LocalWeb(SiteSection(pages=240, crawl_delay=0.0))
    running = local.running()
    loop.do(running.__aenter__())
    search = SearchSection.model_validate({"providers": [{"kind": "searxng", "url": local.search_url.removesuffix("/search")}]})
    fetch = FetchSection.model_validate(
        {"guard": {"allow": local.allow}, "politeness": {"robots": False, "delay_seconds": 0, "per_host": 8, "retries": 0}}
    )
    pool, fetcher = SearchPool(search), Fetcher(fetch)
    loop.do(pool.__aenter__())
    loop.do(fetcher.__aenter__())
    questions = [row for row in local.truth() if row["row"] == "question" and row["gold"]]
    yield Web(loop, local, pool, fetcher, questions)
    loop.do(fetcher.__aexit__())
    loop.do(pool.__aexit__())
    loop.do(running.__aexit__(None, None, None))
    loop.end()


class Heard(Observer):
    """All that a gateway tells."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.statuses: list[int] = []
        self.loads: list[tuple[int, int]] = []

    def answered(self, answer: Any, client: str) -> None:
        self.answers.append((answer, client))

    def refused(self, status: int) -> None:
        self.statuses.append(status)

    def loaded(self, in_flight: int, waiting: int) -> None:
        self.loads.append((in_flight, waiting))


@dataclass
class Server:
    """A running gateway."""

    url: str
    models: Models
    client: httpx2.Client
    loop: Loop
    running: uvicorn.Server
    heard: Heard
    gateway: Any

    @property
    def observed(self) -> list[Any]:
        return self.heard.answers

    def post(self, path: str = "/v1/chat/completions", **body: Any) -> httpx2.Response:
        return self.client.post(path, json=body)

    def ask(self, question: str = "Who?", model: str = "aag", **body: Any) -> httpx2.Response:
        return self.post(model=model, messages=[{"role": "user", "content": question}], **body)


class Broken:
    """A policy that breaks as none should, after some text."""

    async def answer(self, request: AnswerRequest) -> AsyncGenerator[AnswerEvent, None]:
        yield Text("half of ")
        raise ZeroDivisionError("a path of the server")


Serve = Callable[..., Any]


@pytest.fixture
def serve(web: Web) -> Iterator[Serve]:
    """`serve(models, **section)` starts a gateway on a free port of 127.0.0.1; all are stopped at the end.

    `policy` answers instead of the real one: for what the real parts never say. `pool` searches instead of the local web's.
    """
    started: list[tuple[uvicorn.Server, Any, httpx2.Client]] = []

    def start(
        models: Models | None = None,
        environment: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        policy: AnswerPolicy | None = None,
        pool: SearchPool | None = None,
        **values: Any,
    ) -> Server:
        section = ServeSection.model_validate(values)
        models = models or Models()
        extractor = InThread(Bm25Extractor(ExtractSection(extractor="bm25", threshold=0.3)))
        path = WebPath(pool or web.pool, web.fetcher, Ranker(RankSection(per_host=10)), extractor, section.answer)
        policy = policy or Policy(UntrainedParser(), models, models, path, section.answer)
        heard = Heard()
        app = build_gateway(section, policy, environment=environment or {}, observer=heard)
        config = uvicorn.Config(
            app, host="127.0.0.1", port=0, log_level="warning", lifespan="off", timeout_graceful_shutdown=1
        )  # fmt: skip
        server = uvicorn.Server(config)
        task = asyncio.run_coroutine_threadsafe(server.serve(), web.loop.loop)
        while not server.started:
            if task.done():
                task.result()
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        client = httpx2.Client(base_url=url, timeout=30, headers=headers, trust_env=False)
        started.append((server, task, client))
        return Server(url, models, client, web.loop, server, heard, app.state.gateway)

    yield start
    for server, task, client in started:
        client.close()
        server.should_exit = server.force_exit = True
        task.result(timeout=30)


@contextmanager
def streamed(server: Server, path: str = "/v1/chat/completions", **body: Any) -> Iterator[Iterator[str]]:
    """The lines of a stream, as they come."""
    with server.client.stream("POST", path, json=body | {"stream": True}) as response:
        assert response.status_code == 200, response.read()
        yield response.iter_lines()


@pytest.fixture(name="streamed")
def streamed_fixture() -> Any:
    return streamed


@pytest.fixture
def models() -> type[Models]:
    return Models


@pytest.fixture
def broken() -> Broken:
    return Broken()
