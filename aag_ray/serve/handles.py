"""The policy's parts in other processes: deployment handles behind the protocols of `aag_ray.answer.parts`.

Streams come in lists of items (`stream_batches`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import date
from typing import Any

from ray.exceptions import NodeDiedError, ObjectLostError, RayActorError, RayTaskError, WorkerCrashedError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

from aag_ray.answer.answer import Answer
from aag_ray.answer.event import AnswerEvent, Failed
from aag_ray.answer.parsed import ParsedRequest
from aag_ray.answer.parts import Awakening, Pieces, Unavailable
from aag_ray.answer.request import AnswerRequest
from aag_ray.extract.evidence import Evidence, Extraction, TaggedPage
from aag_ray.extract.tokens import estimated_tokens
from aag_ray.web.fetched import Fetched
from aag_ray.web.search.answer import SearchAnswer
from aag_ray.web.search.request import SearchRequest

BUSY = (BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError)
# The process or the node that was at work on a call is gone.
LOST = (RayActorError, NodeDiedError, ObjectLostError, WorkerCrashedError)
TRIES = 2
log = logging.getLogger(__name__)


async def _called(method: Any, *arguments: Any, **named: Any) -> Any:
    """The method's result. Cancelling the caller cancels the call; what the part raised is raised here as it was.

    A call whose replica is lost is made once more: no part keeps anything of a call. Raises Unavailable where that fails too.
    """
    lost: Exception | None = None
    for _ in range(TRIES):
        response = method.remote(*arguments, **named)
        try:
            return await response
        except asyncio.CancelledError:
            response.cancel()  # Serve does so only where the whole request ends, not where its caller alone gives up
            raise
        except BUSY as error:
            raise _busy(error) from error
        except RayTaskError as error:
            raise _cause(error) from error
        except LOST as error:
            lost = error
    raise Unavailable(_lost(lost)) from lost


async def _streamed(method: Any, *arguments: Any, **named: Any) -> AsyncGenerator[Any, None]:
    """What the generator there yields. Closing this one cancels that one.

    A stream whose replica is lost before its first item is begun once more; after that it raises Unavailable.
    """
    for again in range(TRIES, 0, -1):
        response = method.options(stream=True).remote(*arguments, **named)
        begun = ended = False
        try:
            async for items in response:
                begun = True
                for item in items:
                    yield item
            ended = True
            return
        except BUSY as error:
            raise _busy(error) from error
        except RayTaskError as error:
            raise _cause(error) from error
        except LOST as error:
            ended = True
            if begun or again == 1:
                raise Unavailable(_lost(error)) from error
        finally:
            if not ended:
                response.cancel()


def _busy(error: Exception) -> Unavailable:
    log.warning("refused: %s", error)
    return Unavailable("a part of the server is busy; send it again")


def _lost(error: Exception | None) -> str:
    return f"a part of the server was lost while it was at work on this ({type(error).__name__}); send it again"


def _cause(error: RayTaskError) -> Exception:
    cause = error.cause
    return cause if isinstance(cause, Exception) else error


class RemoteEngine:
    """`Memory` and `Reader`."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self.handle = handle

    async def recall(self, question: str, *, answer_tokens: int) -> tuple[Awakening, Pieces]:
        """In one stream, whose first item is what was awakened."""
        stream = _streamed(self.handle.recall, question, answer_tokens=answer_tokens)
        try:
            return await anext(stream), stream
        except BaseException:
            await stream.aclose()
            raise

    def tokens(self, text: str) -> int:
        return estimated_tokens([text])[0]

    def read(self, question: str, evidence: Sequence[Evidence], *, answer_tokens: int) -> Pieces:
        return _streamed(self.handle.read, question, tuple(evidence), answer_tokens=answer_tokens)


class RemoteParser:
    """`Parser`: the engine's own, which is a role of its model."""

    def __init__(self, handle: DeploymentHandle[Any], *, weighs_memory: bool = False) -> None:
        self.handle, self.weighs_memory = handle, weighs_memory

    async def parse(self, request: AnswerRequest, today: date) -> ParsedRequest:
        return await _called(self.handle.parse, request, today)

    async def weigh(self, parsed: ParsedRequest, today: date, likelihood: float | None) -> ParsedRequest:
        return await _called(self.handle.weigh, parsed, today, likelihood)


class RemoteWeb:
    """`Search` and `Fetch`."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self.handle = handle

    async def search(self, request: SearchRequest, *, deadline: float | None = None) -> SearchAnswer:
        return await _called(self.handle.search, request, deadline=deadline)

    async def fetch(self, url: str, *, deadline: float | None = None, max_age: float | None = None) -> Fetched:
        return await _called(self.handle.fetch, url, deadline=deadline, max_age=max_age)


class RemoteExtractor:
    """`AsyncExtractor`."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self.handle = handle

    async def extract(self, question: str, pages: Sequence[TaggedPage]) -> Extraction:
        return await _called(self.handle.extract, question, tuple(pages))


class RemotePolicy:
    """What the gateway asks. A policy that is busy or lost ends in `Failed`, as whatever happens within it does."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self.handle = handle

    async def answer(self, request: AnswerRequest) -> AsyncGenerator[AnswerEvent, None]:
        try:
            async with aclosing(_streamed(self.handle.answer, request)) as events:
                async for event in events:
                    yield event
        except Unavailable as error:
            yield _overloaded(error)

    async def whole(self, request: AnswerRequest) -> Answer:
        try:
            return await _called(self.handle.whole, request)
        except Unavailable as error:
            return Answer(failed=_overloaded(error))


def _overloaded(error: Unavailable) -> Failed:
    return Failed("overloaded", str(error), error.retry_after)
