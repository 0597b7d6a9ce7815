"""One exchange of `/v1/chat/completions`: the request read, the events of an answer written as OpenAI's clients read them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from aag_ray.answer.allowance import GivenUp
from aag_ray.answer.answer import Answer, remembered_row
from aag_ray.answer.event import AnswerEvent, Cited, Done, Failed, Known, Remembered, Sources, Text, Understood
from aag_ray.answer.request import Mode
from aag_ray.config import ServeSection
from aag_ray.serve.chat_schemas import (
    CHAT_WITHOUT_EFFECT,
    ChatAnnotation,
    ChatReply,
    ChatRequest,
    ChatUsage,
    Chunk,
    ReplyChoice,
    ReplyMessage,
    UrlCitation,
    set_without_effect,
)
from aag_ray.serve.conversation import ignored_system, mode_of, request_of, turns_of
from aag_ray.serve.errors import ApiError, fault_of_server, from_failed
from aag_ray.serve.sse import DONE, sse


class ChatExchange:
    """Raises ApiError if the request cannot be answered."""

    def __init__(self, body: ChatRequest, section: ServeSection, identity: str) -> None:
        mode = mode_of(body.model, section)
        turns = turns_of(((each.role, each.text) for each in body.messages), section, "messages")
        options = body.web_search_options
        self.body, self.identity, self.created = body, identity, int(time.time())
        self.stream = bool(body.stream)
        self.ignored = set_without_effect(CHAT_WITHOUT_EFFECT, body) + ignored_system(turns, "system messages")
        if options and options.user_location:
            self.ignored.append("web_search_options.user_location")
        if options and mode is Mode.MEMORY:
            self.ignored.append("web_search_options")
        self.request = request_of(
            turns, mode, param="messages", options=body.aag,
            context_size=options.search_context_size if options else None,
            answer_tokens=body.max_completion_tokens or body.max_tokens,
        )  # fmt: skip

    def reply(self, answer: Answer) -> dict[str, Any]:
        """A whole answer as one object."""
        message = ReplyMessage(content=answer.text, annotations=citations_of(answer))
        return ChatReply(
            id=f"chatcmpl-{self.identity}",
            created=self.created,
            model=self.body.model,
            choices=[ReplyChoice(message=message, finish_reason=_finish(answer.done))],
            usage=_usage(answer.done),
            aag={"request_id": self.identity, "ignored": self.ignored, **answer.to_row()},
        ).model_dump()

    def opening(self) -> Iterator[bytes]:
        said = {"event": "started", "request_id": self.identity, "ignored": self.ignored}
        yield sse(self._chunk({"role": "assistant", "content": ""}, said))

    def written(self, event: AnswerEvent, answer: Answer) -> Iterator[bytes]:
        """The chunks of one event; `answer` has taken it in. What OpenAI has no place for goes in `aag`."""
        match event:
            case Text(text):
                yield sse(self._chunk({"content": text}))
            case Cited(checked):
                noted = [each.model_dump() for each in citations_of(answer)]
                yield sse(self._chunk({"annotations": noted} if noted else {}, {"event": "citations", **checked.to_row()}))
            case Done():
                said = {"event": "done", "seconds": dict(event.seconds), "links_removed": event.links_removed}
                yield sse(self._chunk({}, said, _finish(event)))
                if self._wants_usage:
                    yield sse(self._chunk(None) | {"usage": _usage(event).model_dump()})
                yield DONE
            case Failed():
                yield self.fault(from_failed(event))
            case _:
                yield sse(self._chunk({}, own_event(event)))

    def fault(self, error: Exception) -> bytes:
        """The error event that ends a stream."""
        return sse(as_api_error(error).body)

    @property
    def _wants_usage(self) -> bool:
        return bool(self.body.stream_options and self.body.stream_options.include_usage)

    def _chunk(self, delta: dict[str, Any] | None, own: dict[str, Any] | None = None, finish: str | None = None) -> Chunk:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]
        chunk: Chunk = {
            "id": f"chatcmpl-{self.identity}", "object": "chat.completion.chunk",
            "created": self.created, "model": self.body.model, "choices": choices,
        }  # fmt: skip
        if self._wants_usage:
            chunk["usage"] = None
        return chunk | ({"aag": own} if own else {})


def citations_of(answer: Answer) -> list[ChatAnnotation]:
    return [
        ChatAnnotation(
            url_citation=UrlCitation(url=each.url, title=each.title, start_index=each.start_index, end_index=each.end_index)
        )
        for each in answer.checked.citations
    ]


def own_event(event: AnswerEvent) -> dict[str, Any]:
    """The project's own events, for the key `aag` of either API."""
    match event:
        case Understood(parsed):
            return {"event": "understood", **parsed.to_row()}
        case Sources(sources, read, outcome):
            return {"event": "sources", "read": read, "outcome": outcome, "sources": [each.to_row() for each in sources]}
        case Remembered():
            return {"event": "remembered", **remembered_row(event)}
        case Known(origin):
            return {"event": "provenance", **origin.to_row()}
        case GivenUp():
            return {"event": "given_up", **asdict(event)}
    raise TypeError(f"{type(event).__name__} is written by each API in its own way")


def as_api_error(error: Exception) -> ApiError:
    return error if isinstance(error, ApiError) else fault_of_server()


def _finish(done: Done) -> Any:
    return "length" if done.cut else "stop"


def _usage(done: Done) -> ChatUsage:
    used = done.usage
    return ChatUsage(prompt_tokens=used.prompt, completion_tokens=used.completion, total_tokens=used.prompt + used.completion)
