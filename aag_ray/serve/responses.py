"""One exchange of `/v1/responses`: the request read, and the events of an answer as the official client's typed events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Literal

from aag_ray.answer.answer import Answer
from aag_ray.answer.event import AnswerEvent, Cited, Done, Failed, Sources, Text, Usage
from aag_ray.answer.provenance import WebOutcome
from aag_ray.answer.request import Mode
from aag_ray.config import ServeSection
from aag_ray.serve.chat import as_api_error, own_event
from aag_ray.serve.chat_schemas import set_without_effect
from aag_ray.serve.conversation import ignored_system, mode_of, request_of, turns_of
from aag_ray.serve.errors import ApiError, from_failed
from aag_ray.serve.responses_schemas import (
    RESPONSES_WITHOUT_EFFECT,
    Incomplete,
    InputMessage,
    OutputAnnotation,
    OutputMessage,
    OutputText,
    ResponseFault,
    ResponsesReply,
    ResponsesRequest,
    ResponsesUsage,
    SearchAction,
    SearchCall,
    SearchSource,
)
from aag_ray.serve.sse import sse


class ResponsesExchange:
    """Raises ApiError if the request cannot be answered."""

    def __init__(self, body: ResponsesRequest, section: ServeSection, identity: str) -> None:
        mode = mode_of(body.model, section)
        items = [InputMessage(role="user", content=body.input)] if isinstance(body.input, str) else body.input
        said = [(each.role, each.text) for each in items if isinstance(each, InputMessage)]
        turns = turns_of(said, section, "input")
        tool = body.tools[0] if body.tools else None
        filters = tool.filters if tool else None
        self.body, self.identity, self.created = body, identity, int(time.time())
        self.stream = bool(body.stream)
        self.ignored = set_without_effect(RESPONSES_WITHOUT_EFFECT, body) + ignored_system(turns, "system messages")
        if tool and tool.user_location:
            self.ignored.append("tools[0].user_location")
        if tool and mode is Mode.MEMORY:
            self.ignored.append("tools")
        self.request = request_of(
            turns, mode, param="input", options=body.aag,
            context_size=tool.search_context_size if tool else None, answer_tokens=body.max_output_tokens,
            domains=(filters.allowed_domains or ()) if filters else (),
            refused_domains=(filters.blocked_domains or ()) if filters else (),
        )  # fmt: skip
        self._sent = 0
        self._items = 0
        self._searching = self._writing = False

    def reply(self, answer: Answer) -> dict[str, Any]:
        """A whole answer as one object."""
        return self._response(answer, "incomplete" if answer.done.cut else "completed")

    def opening(self) -> Iterator[bytes]:
        started = self._response(Answer(), "in_progress")
        yield self._event("response.created", response=started)
        yield self._event("response.in_progress", response=started)

    def written(self, event: AnswerEvent, answer: Answer) -> Iterator[bytes]:
        """The typed events of one event; `answer` has taken it in. What has no place at OpenAI goes in `aag` of the nearest."""
        match event:
            case Sources():
                yield from self._searched(event, answer)
            case Text(text):
                yield from self._begun()
                yield self._event("response.output_text.delta", **self._place, delta=text, logprobs=[])
            case Cited(checked):
                yield from self._begun()
                for number, each in enumerate(citations_of(answer)):
                    yield self._event(
                        "response.output_text.annotation.added", **self._place, annotation_index=number,
                        annotation=each.model_dump(), aag=checked.citations[number].to_row(),
                    )  # fmt: skip
            case Done():
                yield from self._ended(answer)
            case Failed():
                yield self.fault(from_failed(event))
                yield self._event("response.failed", response=self._response(answer, "failed"))
            case _:
                yield self._event("response.in_progress", response=self._response(answer, "in_progress"), aag=own_event(event))

    def fault(self, error: Exception) -> bytes:
        """The error event that ends a stream."""
        own = as_api_error(error)
        return self._event("error", code=own.code, message=str(own), param=own.param)

    def _event(self, kind: str, **fields: Any) -> bytes:
        data = {"type": kind, "sequence_number": self._sent, **fields}
        self._sent += 1
        return sse(data, kind)

    def _searched(self, found: Sources, answer: Answer) -> Iterator[bytes]:
        if not found.sources and not found.read:
            return
        identity, own = f"ws_{self.identity}", own_event(found)
        if not self._searching:
            self._searching = True
            self._items += 1
            call = self._call(answer, "in_progress").model_dump()
            yield self._event("response.output_item.added", output_index=0, item=call)
            yield self._event("response.web_search_call.in_progress", output_index=0, item_id=identity)
            yield self._event("response.web_search_call.searching", output_index=0, item_id=identity, aag=own)
        if found.read:
            status = _search_status(found.outcome)
            if status == "completed":  # OpenAI has no event for a search that failed
                yield self._event("response.web_search_call.completed", output_index=0, item_id=identity, aag=own)
                own = None
            item = self._call(answer, status).model_dump()
            yield self._event("response.output_item.done", output_index=0, item=item, **({"aag": own} if own else {}))

    def _begun(self) -> Iterator[bytes]:
        if self._writing:
            return
        self._writing = True
        self._items += 1
        index, message = self._items - 1, OutputMessage(id=f"msg_{self.identity}", status="in_progress", content=[])
        yield self._event("response.output_item.added", output_index=index, item=message.model_dump())
        yield self._event("response.content_part.added", **self._place, part=OutputText(text="", annotations=[]).model_dump())

    def _ended(self, answer: Answer) -> Iterator[bytes]:
        yield from self._begun()
        message = self._message(answer)
        yield self._event("response.output_text.done", **self._place, text=answer.text, logprobs=[])
        yield self._event("response.content_part.done", **self._place, part=message.content[0].model_dump())
        yield self._event("response.output_item.done", output_index=self._items - 1, item=message.model_dump())
        reply = self.reply(answer)
        yield self._event(f"response.{reply['status']}", response=reply)

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": f"msg_{self.identity}", "output_index": self._items - 1, "content_index": 0}

    def _message(self, answer: Answer) -> OutputMessage:
        text = OutputText(text=answer.text, annotations=citations_of(answer))
        return OutputMessage(id=f"msg_{self.identity}", status="incomplete" if answer.done.cut else "completed", content=[text])

    def _call(self, answer: Answer, status: Any) -> SearchCall:
        queries = [each.query for each in answer.parsed.queries] if answer.parsed else []
        asked = queries or [self.request.question]
        sources = [SearchSource(url=each.url) for each in answer.sources]
        action = SearchAction(query=asked[0], queries=asked, sources=sources)
        return SearchCall(id=f"ws_{self.identity}", status=status, action=action)

    def _response(self, answer: Answer, status: Any) -> dict[str, Any]:
        whole = status in ("completed", "incomplete")
        web = answer.origin.web if answer.origin else WebOutcome.NOT_ASKED
        output: list[SearchCall | OutputMessage] = []
        if whole and web is not WebOutcome.NOT_ASKED:
            output.append(self._call(answer, _search_status(web)))
        fault = None
        if answer.failed:
            error: ApiError = from_failed(answer.failed)
            fault = ResponseFault(code="rate_limit_exceeded" if error.status == 503 else "server_error", message=str(error))
        return ResponsesReply(
            id=f"resp_{self.identity}", created_at=self.created, status=status, model=self.body.model,
            output=[*output, self._message(answer)] if whole else [],
            error=fault, incomplete_details=Incomplete() if status == "incomplete" else None,
            tools=[each.model_dump() for each in self.body.tools or ()],
            instructions=self.body.instructions, metadata=self.body.metadata or {},
            usage=_usage(answer.done.usage) if whole else None,
            aag={"request_id": self.identity, "ignored": self.ignored, **(answer.to_row() if whole else {})},
        ).model_dump()  # fmt: skip


def citations_of(answer: Answer) -> list[OutputAnnotation]:
    return [
        OutputAnnotation(url=each.url, title=each.title, start_index=each.start_index, end_index=each.end_index)
        for each in answer.checked.citations
    ]


def _search_status(web: WebOutcome) -> Literal["completed", "failed"]:
    return "failed" if web is WebOutcome.SEARCH_FAILED else "completed"


def _usage(used: Usage) -> ResponsesUsage:
    return ResponsesUsage(input_tokens=used.prompt, output_tokens=used.completion, total_tokens=used.prompt + used.completion)
