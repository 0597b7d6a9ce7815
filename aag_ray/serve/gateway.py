"""The HTTP application around a policy: OpenAI's chat completions and responses, the models, health, and the page.

app = build_gateway(ServeSection(), policy)  # any ASGI server runs it, and Ray Serve
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from fastapi import FastAPI, Request
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from aag_ray import __version__
from aag_ray.answer.answer import Answer
from aag_ray.answer.event import AnswerEvent
from aag_ray.answer.request import AnswerRequest
from aag_ray.config import ServeSection
from aag_ray.config.serve import LiveSection
from aag_ray.serve.admission import Admission
from aag_ray.serve.chat import ChatExchange
from aag_ray.serve.chat_schemas import ChatReply, ChatRequest
from aag_ray.serve.conversation import mode_of
from aag_ray.serve.door import Door
from aag_ray.serve.errors import ErrorReply, add_error_handlers, from_failed
from aag_ray.serve.files import add_page
from aag_ray.serve.keys import Keyring
from aag_ray.serve.observer import Observer
from aag_ray.serve.openapi import describe
from aag_ray.serve.responses import ResponsesExchange
from aag_ray.serve.responses_schemas import ResponsesReply, ResponsesRequest
from aag_ray.serve.schemas import Health, ModelList, ModelRow
from aag_ray.serve.sse import ClientLeft, EventStream, as_json, unless_client_leaves

log = logging.getLogger(__name__)
CLIENT_LEFT = 499
OWNER = "aag-ray"
_LATER = {"Retry-After": {"description": "seconds", "required": True, "schema": {"type": "integer", "minimum": 1}}}
_ERRORS: dict[int | str, dict[str, Any]] = {
    **{status: {"model": ErrorReply} for status in (400, 401, 404, 408, 413, 421, 500)},
    **{status: {"model": ErrorReply, "headers": _LATER} for status in (429, 503)},
}
_EVENT = {"type": "object", "required": ["data"], "properties": {"data": {"type": "string"}, "event": {"type": "string"}}}
_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {"itemSchema": _EVENT}}}}


class AnswerPolicy(Protocol):
    """What the gateway asks: `aag_ray.answer.policy.Policy`, or a handle to one elsewhere."""

    def answer(self, request: AnswerRequest) -> AsyncGenerator[AnswerEvent, None]: ...
    async def whole(self, request: AnswerRequest) -> Answer: ...


class Exchange(Protocol):
    """A request of one API, and how its answer is written there."""

    stream: bool
    request: AnswerRequest

    def reply(self, answer: Answer) -> dict[str, Any]: ...
    def opening(self) -> Any: ...
    def written(self, event: AnswerEvent, answer: Answer) -> Any: ...
    def fault(self, error: Exception) -> bytes: ...


class Gateway:
    """Answers exchanges, a bounded number at a time."""

    def __init__(self, section: ServeSection, policy: AnswerPolicy, observer: Observer) -> None:
        self.section, self.policy, self.observer = section, policy, observer
        self.admission = Admission(section.limits, observer)

    def configure(self, live: LiveSection) -> None:
        """Take what is set in `live` from the next request on."""
        self.section = self.section.model_copy(update=live.model_dump(exclude_unset=True))

    async def respond(self, request: Request, exchange: Exchange) -> Response:
        """The response to one exchange. Raises ApiError before anything is sent."""
        client, identity = request.state.client, request.state.identity
        if exchange.stream:
            events = self._events(exchange, client, identity)
            return EventStream(events, self.admission.place(), self.section.limits.heartbeat_seconds, exchange.fault)
        try:
            answer = await unless_client_leaves(request.receive, self._whole(exchange, client, identity))
        except ClientLeft:
            return Response(status_code=CLIENT_LEFT)
        if answer.failed:
            raise from_failed(answer.failed)
        return Response(as_json(exchange.reply(answer)), media_type="application/json")

    async def _whole(self, exchange: Exchange, client: str, identity: str) -> Answer:
        async with self.admission.place():
            began = time.monotonic()
            answer = await self.policy.whole(exchange.request)
            self._ended(answer, exchange, client, identity, time.monotonic() - began)
            return answer

    async def _events(self, exchange: Exchange, client: str, identity: str) -> AsyncGenerator[bytes, None]:
        answer, began = Answer(), time.monotonic()
        try:
            for chunk in exchange.opening():
                yield chunk
            async with aclosing(self.policy.answer(exchange.request)) as events:
                async for event in events:
                    answer.take(event)
                    for chunk in exchange.written(event, answer):
                        yield chunk
        finally:
            self._ended(answer, exchange, client, identity, time.monotonic() - began)

    def _ended(self, answer: Answer, exchange: Exchange, client: str, identity: str, seconds: float) -> None:
        how = answer.failed.code if answer.failed else answer.origin.provenance if answer.origin else "client_left"
        log.info(
            "answered: %s in %.3f s", how, seconds,
            extra={"request_id": identity, "client": client, "mode": exchange.request.mode.value, "provenance": str(how)},
        )  # fmt: skip
        self.observer.answered(answer, client)


def build_gateway(
    section: ServeSection,
    policy: AnswerPolicy,
    *,
    environment: Mapping[str, str] = os.environ,
    clock: Callable[[], float] = time.monotonic,
    observer: Observer | None = None,
) -> FastAPI:
    """The application. `environment` holds the API keys, `clock` (seconds) is for rate limits. Its `state.gateway` takes other
    modes while it runs.

    Raises ConfigError for a key that is not set.
    """
    keyring, observer = Keyring(section.api_keys, environment, clock), observer or Observer()
    gateway, started = Gateway(section, policy, observer), int(time.time())
    app = FastAPI(title="aag-ray", version=__version__, docs_url=None, redoc_url=None)
    app.state.gateway = gateway

    def row(mode: str) -> ModelRow:
        return ModelRow(id=mode, created=started, owned_by=OWNER)

    @app.post("/v1/chat/completions", response_model=ChatReply, responses=_ERRORS | _STREAM, tags=["answers"])
    async def chat_completions(body: ChatRequest, request: Request) -> Response:
        """A chat completion, streamed or whole. Citations are `url_citation` annotations."""
        return await gateway.respond(request, ChatExchange(body, gateway.section, request.state.identity))

    @app.post("/v1/responses", response_model=ResponsesReply, responses=_ERRORS | _STREAM, tags=["answers"])
    async def responses(body: ResponsesRequest, request: Request) -> Response:
        """A response, streamed or whole. Citations are `url_citation` annotations of its output text."""
        return await gateway.respond(request, ResponsesExchange(body, gateway.section, request.state.identity))

    @app.get("/v1/models", responses=_ERRORS, tags=["models"])
    async def list_models() -> ModelList:
        """The modes of answering, as models."""
        return ModelList(data=[row(mode) for mode in gateway.section.modes])

    @app.get("/v1/models/{model}", responses=_ERRORS, tags=["models"])
    async def one_model(model: str) -> ModelRow:
        """One mode."""
        return row(mode_of(model, gateway.section))

    @app.get("/healthz", tags=["operation"])
    async def healthz() -> Health:
        """Whether the gateway is there, and how much it has to do."""
        admission = gateway.admission
        return Health(in_flight=admission.in_flight, waiting=admission.waiting, modes=list(gateway.section.modes))

    if section.page:
        add_page(app)
    add_error_handlers(app)
    describe(app, needs_key=bool(section.api_keys), modes=lambda: gateway.section.modes)
    app.add_middleware(Door, keyring=keyring, limits=section.limits, hosts=section.hosts, observer=observer)
    if section.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(section.cors_origins),
            allow_methods=["GET", "POST"],
            # Official clients send a dozen of their own, and more with each version. None of them means anything here.
            allow_headers=["*"],
            expose_headers=["X-Request-Id", "Retry-After"],
        )
    return app
