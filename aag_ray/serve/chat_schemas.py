"""Requests and replies of `/v1/chat/completions`, as the official client of version 3 sends and expects them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from aag_ray.serve.schemas import (
    AagOptions,
    Approximate,
    Asked,
    ContextSize,
    Count,
    Extra,
    No,
    NoList,
    NoMap,
    NoTool,
    Null,
    Sent,
    TextOnly,
    Whole,
    Zero,
)


class TextPart(Sent):
    """Text is all that is read."""

    type: Literal["text"]
    text: str


class RefusalPart(Sent):
    type: Literal["refusal"]
    refusal: str

    @property
    def text(self) -> str:
        return self.refusal


class ChatMessage(Sent):
    """One turn of the client's side."""

    role: Literal["system", "developer", "user"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        return text_of(self.content)


class AssistantMessage(Sent):
    """One turn of an assistant. What a reply carried beside its text (annotations, …) may be sent back and is left out."""

    role: Literal["assistant"]
    content: str | list[TextPart | RefusalPart] | None = None
    refusal: str | None = None

    @property
    def text(self) -> str:
        return text_of(self.content or self.refusal or "")


def text_of(content: str | Sequence[Spoken]) -> str:
    return content if isinstance(content, str) else "\n".join(part.text for part in content)


class Spoken(Protocol):
    """A part of a message that is text."""

    @property
    def text(self) -> str: ...


class StreamOptions(Asked):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class UserLocation(Asked):
    type: Literal["approximate"]
    approximate: Approximate


class WebSearchOptions(Asked):
    """`search_context_size` low reads half of the pages."""

    search_context_size: ContextSize | None = None
    user_location: UserLocation | None = None


class TextFormat(Asked):
    type: Literal["text"]


class ChatRequest(Asked):
    """Parameters that have no effect here are accepted and named in `aag.ignored`; all others are refused."""

    model: str
    messages: Annotated[list[ChatMessage | AssistantMessage], Field(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: Count | None = None
    max_tokens: Count | None = None
    web_search_options: WebSearchOptions | None = None
    aag: AagOptions | None = None
    n: Literal[1] | None = None
    response_format: TextFormat | None = None
    # Of no effect: answers are greedy, nothing is stored, nobody is told apart by these.
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    seed: Whole | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    prompt_cache_retention: str | None = None
    parallel_tool_calls: bool | None = None
    # Not supported.
    stop: NoList = None
    logprobs: No = None
    top_logprobs: Zero = None
    logit_bias: NoMap = None
    tools: NoList = None
    tool_choice: NoTool = None
    functions: NoList = None
    function_call: NoTool = None
    modalities: TextOnly = None
    audio: Null = None
    prediction: Null = None
    moderation: Null = None


_UNUSED = """
    temperature top_p frequency_penalty presence_penalty seed user safety_identifier prompt_cache_key metadata store
    service_tier reasoning_effort verbosity prompt_cache_retention parallel_tool_calls
"""
CHAT_WITHOUT_EFFECT = frozenset(_UNUSED.split())


class UrlCitation(Sent):
    """Indices count characters (code points) of the message; the end is exclusive."""

    url: str
    title: str
    start_index: int
    end_index: int


class ChatAnnotation(Sent):
    type: Literal["url_citation"] = "url_citation"
    url_citation: UrlCitation


class ReplyMessage(Sent):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    annotations: list[ChatAnnotation]


class ReplyChoice(Sent):
    index: int = 0
    message: ReplyMessage
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


class ChatUsage(Sent):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatReply(Sent):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ReplyChoice]
    usage: ChatUsage
    aag: Extra


def set_without_effect(fields: frozenset[str], body: Asked) -> list[str]:
    """The names of the parameters that a client set for nothing."""
    return sorted(name for name in fields & body.model_fields_set if getattr(body, name) is not None)


Chunk = dict[str, Any]
