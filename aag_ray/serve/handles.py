"""The policy's parts in other processes: deployment handles behind the protocols of `aag_ray.answer.parts`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from ray.exceptions import RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

from aag_ray.answer.event import AnswerEvent
from aag_ray.answer.parts import Awakening, Piece, Unavailable
from aag_ray.answer.request import AnswerRequest
from aag_ray.extract.evidence import Evidence, Extraction, TaggedPage
from aag_ray.extract.tokens import estimated_tokens
from aag_ray.web.fetched import Fetched
from aag_ray.web.search.answer import SearchAnswer
from aag_ray.web.search.request import SearchRequest

BUSY = (BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError)


async def _called(method: Any, *arguments: Any, **named: Any) -> Any:
    """The method's result. Cancelling the caller cancels the call; what the part raised is raised here as it was."""
    response = method.remote(*arguments, **named)
    try:
        return await response
    except BUSY as error:
        raise Unavailable(str(error)) from error
    except RayTaskError as error:
        raise _cause(error) from error


async def _streamed(method: Any, *arguments: Any, **named: Any) -> AsyncGenerator[Any, None]:
    """What the generator there yields. Closing this one cancels that one."""
    response = method.options(stream=True).remote(*arguments, **named)
    ended = False
    try:
        async for item in response:
            yield item
        ended = True
    except BUSY as error:
        raise Unavailable(str(error)) from error
    except RayTaskError as error:
        raise _cause(error) from error
    finally:
        if not ended:
            response.cancel()


def _cause(error: RayTaskError) -> Exception:
    cause = error.cause
    return cause if isinstance(cause, Exception) else error


class RemoteEngine:
    """`Memory` and `Reader`."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self.handle = handle

    async def awaken(self, question: str) -> Awakening:
        return await _called(self.handle.awaken, question)

    def tokens(self, text: str) -> int:
        return estimated_tokens([text])[0]

    async def read(
        self, question: str, awakening: Awakening | None, evidence: Sequence[Evidence], *, answer_tokens: int
    ) -> AsyncGenerator[Piece, None]:
        async for piece in _streamed(self.handle.read, question, awakening, tuple(evidence), answer_tokens=answer_tokens):
            yield piece


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
    """What the gateway asks."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self.handle = handle

    async def answer(self, request: AnswerRequest) -> AsyncGenerator[AnswerEvent, None]:
        async for event in _streamed(self.handle.answer, request):
            yield event
