"""What runs in replicas of its own: the model, the web, the extractor, and the policy that joins them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import date
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle

from aag_ray.answer.answer import Answer, gathered
from aag_ray.answer.event import AnswerEvent
from aag_ray.answer.parsed import ParsedRequest
from aag_ray.answer.parts import Awakening, InThread, Piece, Pieces
from aag_ray.answer.request import AnswerRequest
from aag_ray.artifacts import RunError, newest_run
from aag_ray.config import AppSection
from aag_ray.extract.evidence import Evidence, Extraction, TaggedPage
from aag_ray.serve.handles import RemoteEngine, RemoteExtractor, RemoteParser, RemoteWeb
from aag_ray.serve.logs import log_with_serve
from aag_ray.serve.metrics import AnsweringMeters, EngineMeters, ExtractorMeters, WebMeters, ending
from aag_ray.serve.stream_batches import batched
from aag_ray.threads import share_cores
from aag_ray.web.fetched import Fetched
from aag_ray.web.search.answer import SearchAnswer
from aag_ray.web.search.request import SearchRequest

log = logging.getLogger(__name__)
# Replicas that wait for others most of the time: a laptop's two cores are for the engine and the extractor.
WAITS = {"num_cpus": 0}


@serve.deployment(name="engine", max_ongoing_requests=128)
class EngineDeployment:
    """The language model with its roles: parses, writes dummy documents, makes adapters, reads. One thread owns it."""

    def __init__(self, section: AppSection) -> None:
        share_cores()
        log_with_serve()
        from aag_ray.answer.models import AwakenedParts, BaseParts, build_parser
        from aag_ray.awaken.awakened import AwakeningModel
        from aag_ray.llm.load import load_model

        self.meters, self.stream_seconds = EngineMeters(), section.endpoint.stream_seconds
        folder, decoding = trained_model(section), section.decoding
        if folder is None:
            log.warning("no trained run below %s: the base model %s answers alone", section.runs, section.model.name)
            self.parts: Any = BaseParts(load_model(section.model), decoding)
        else:
            log.info("awakening with %s", folder)
            self.parts = AwakenedParts(AwakeningModel.from_pretrained(folder), decoding)
        self.parser = build_parser(trained_parser(section), self.parts.engine, decoding.batch, decoding.waiting)

    async def parse(self, request: AnswerRequest, today: date) -> ParsedRequest:
        with self.meters.call("parse"):
            parsed = await self.parser.parse(request, today)
        self.meters.used("parse", parsed.prompt_tokens, parsed.new_tokens)
        return parsed

    async def weigh(self, parsed: ParsedRequest, today: date, likelihood: float | None) -> ParsedRequest:
        with self.meters.call("parse"):
            weighed = await self.parser.weigh(parsed, today, likelihood)
        self.meters.used("parse", weighed.prompt_tokens - parsed.prompt_tokens, weighed.new_tokens - parsed.new_tokens)
        return weighed

    async def recall(self, question: str, *, answer_tokens: int) -> AsyncGenerator[list[Awakening | Piece], None]:
        """What was awakened, then the answer from it. The adapter stays here."""
        async with aclosing(batched(self._recalled(question, answer_tokens), self.stream_seconds)) as lists:
            async for some in lists:
                yield some

    async def _recalled(self, question: str, answer_tokens: int) -> AsyncGenerator[Awakening | Piece, None]:
        with self.meters.call("awaken"):
            awakening, pieces = await self.parts.recall(question, answer_tokens=answer_tokens)
        self.meters.used("awaken", awakening.prompt_tokens, awakening.new_tokens)
        log.info("awakened: %d tokens written", awakening.new_tokens)
        yield awakening
        async with aclosing(self._counted(pieces, 0)) as counted:
            async for piece in counted:
                yield piece

    async def read(
        self, question: str, evidence: tuple[Evidence, ...], *, answer_tokens: int
    ) -> AsyncGenerator[list[Piece], None]:
        pieces = self._counted(self.parts.read(question, evidence, answer_tokens=answer_tokens), len(evidence))
        async with aclosing(batched(pieces, self.stream_seconds)) as lists:
            async for some in lists:
                yield some

    async def _counted(self, pieces: Pieces, evidence: int) -> Pieces:
        written = 0
        with self.meters.call("read"):
            async with aclosing(pieces):
                async for piece in pieces:
                    self.meters.used("read", piece.prompt_tokens, piece.new_tokens)
                    written += piece.new_tokens
                    yield piece
        log.info("read: %d spans of evidence, %d tokens written", evidence, written)

    async def check_health(self) -> None:
        """Serve asks this, and replaces a replica whose engine has died."""
        await self.parts.check()

    def __del__(self) -> None:
        if hasattr(self, "parser"):
            self.parser.close()
        if hasattr(self, "parts"):
            self.parts.close()


@serve.deployment(name="web", max_ongoing_requests=128, ray_actor_options=WAITS)
class WebDeployment:
    """Search engines and the guarded fetcher, with their breakers, politeness and cache: one replica shares them best."""

    def __init__(self, section: AppSection) -> None:
        log_with_serve()
        from aag_ray.web.fetch import Fetcher
        from aag_ray.web.search.pool import SearchPool

        self.meters = WebMeters()
        self.pool, self.fetcher = SearchPool(section.search), Fetcher(section.fetch)
        self.opened = asyncio.Lock()
        self.open = False

    async def _ready(self) -> None:
        async with self.opened:
            if not self.open:
                await self.pool.__aenter__()
                await self.fetcher.__aenter__()
                self.open = True

    async def search(self, request: SearchRequest, *, deadline: float | None = None) -> SearchAnswer:
        await self._ready()
        answer = await self.pool.search(request, deadline=deadline)
        self.meters.searched(answer)
        log.info("searched: %s, %d results in %.3f s", answer.outcome, len(answer.results), answer.seconds)
        return answer

    async def fetch(self, url: str, *, deadline: float | None = None, max_age: float | None = None) -> Fetched:
        await self._ready()
        fetched = await self.fetcher.fetch(url, deadline=deadline, max_age=max_age)
        self.meters.fetched(fetched)
        log.info("fetched %s: %s in %.3f s", url, fetched.outcome, fetched.seconds)
        return fetched

    async def __del__(self) -> None:
        if getattr(self, "open", False):
            await self.fetcher.__aexit__()
            await self.pool.__aexit__()


@serve.deployment(name="extractor", max_ongoing_requests=32, ray_actor_options={"num_cpus": 0.5})
class ExtractorDeployment:
    """The extractor in a thread of its own, which reads what waits together and for nobody who has left."""

    def __init__(self, section: AppSection) -> None:
        share_cores()
        log_with_serve()
        from aag_ray.extract.build import build_extractor, with_newest_scorer

        self.meters = ExtractorMeters()
        self.extractor = InThread(build_extractor(with_newest_scorer(section.extract, Path(section.runs))))
        log.info("extracting with %s", self.extractor.extractor.name)

    async def extract(self, question: str, pages: tuple[TaggedPage, ...]) -> Extraction:
        began = time.monotonic()
        extraction = await self.extractor.extract(question, pages)
        seconds = time.monotonic() - began
        self.meters.extracted(extraction, seconds)
        log.info("extracted: %s from %d pages in %.3f s", extraction.outcome, len(pages), seconds)
        return extraction


@serve.deployment(name="answering", max_ongoing_requests=256, ray_actor_options=WAITS)
class AnsweringDeployment:
    """The policy. `user_config` is laid over the section `endpoint.answer`: from the next request on, without a restart."""

    def __init__(
        self,
        section: AppSection,
        engine: DeploymentHandle[Any],
        web: DeploymentHandle[Any],
        extractor: DeploymentHandle[Any],
    ) -> None:
        log_with_serve()
        from aag_ray.answer.parser import UntrainedParser
        from aag_ray.answer.parsing.settings import ParserSettings
        from aag_ray.answer.policy import Policy
        from aag_ray.answer.web_path import WebPath
        from aag_ray.web.rank.mixed import Ranker

        self.meters, self.stream_seconds = AnsweringMeters(), section.endpoint.stream_seconds
        models, found = RemoteEngine(engine), RemoteWeb(web)
        self.section = answering = section.endpoint.answer
        path = WebPath(found, found, Ranker(section.rank), RemoteExtractor(extractor), answering, section.pages)
        folder = trained_parser(section)
        parser = UntrainedParser()
        if folder is not None:
            parser = RemoteParser(engine, weighs_memory=ParserSettings.read(folder).weighing is not None)
        self.policy = Policy(parser, models, models, path, answering)

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        self.policy.configure(self.section.overlaid(user_config))

    async def answer(self, request: AnswerRequest) -> AsyncGenerator[list[AnswerEvent], None]:
        async with aclosing(batched(self._answered(request), self.stream_seconds)) as lists:
            async for some in lists:
                yield some

    async def whole(self, request: AnswerRequest) -> Answer:
        """In one call, for who does not read along."""
        async with aclosing(self._answered(request)) as events:
            return await gathered(events)

    async def _answered(self, request: AnswerRequest) -> AsyncGenerator[AnswerEvent, None]:
        answer, began = Answer(), time.monotonic()
        try:
            async with aclosing(self.policy.answer(request)) as events:
                async for event in events:
                    answer.take(event)
                    yield event
        finally:
            seconds = time.monotonic() - began
            self.meters.answered(answer, request.mode.value, seconds)
            log.info("decided: %s in %.3f s", ending(answer), seconds)


def trained_model(section: AppSection) -> Path | None:
    """The folder of the awakening model: the one that is named, the newest run's, or None if there is no run."""
    if section.awakening is not None:
        return Path(section.awakening)
    try:
        return newest_run(Path(section.runs), "hypernetwork").folder / "hypernetwork" / "model"
    except RunError:
        return None


def trained_parser(section: AppSection) -> Path | None:
    """The folder of the trained parser: the one that is named, the newest run's, or None if there is no run."""
    if section.parser is not None:
        return Path(section.parser)
    try:
        return newest_run(Path(section.runs), "parser").folder / "parser" / "model"
    except RunError:
        return None
