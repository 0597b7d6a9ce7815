"""Requests and replies of `/v1/responses`, as the official client of version 3 sends and expects them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from aag_ray.serve.chat_schemas import RefusalPart, text_of
from aag_ray.serve.schemas import AagOptions, Approximate, Asked, ContextSize, Count, Domains, Extra, NoList, Null, Sent, Zero


class InputText(Sent):
    """Text of either side; an assistant's carries annotations, which are left out."""

    type: Literal["input_text", "output_text"]
    text: str


class InputMessage(Sent):
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[InputText | RefusalPart]

    @property
    def text(self) -> str:
        return text_of(self.content)


class SearchCallItem(Sent):
    """A search of an earlier reply, sent back with it. It says nothing to the policy."""

    type: Literal["web_search_call"]


class SearchFilters(Asked):
    allowed_domains: Domains | None = None
    blocked_domains: Domains | None = None


class ToolLocation(Approximate):
    type: Literal["approximate"] | None = None


class WebSearchTool(Asked):
    """The only tool. Whether it is used is the mode's matter; `filters` and `search_context_size` hold where it is."""

    type: Literal["web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"]
    filters: SearchFilters | None = None
    search_context_size: ContextSize | None = None
    user_location: ToolLocation | None = None


class PlainFormat(Asked):
    type: Literal["text"]


class TextOptions(Asked):
    format: PlainFormat | None = None
    verbosity: str | None = None


class ResponsesRequest(Asked):
    """Nothing is stored, so a conversation is sent whole in `input`. Parameters without effect are named in `aag.ignored`;
    `metadata` and `instructions` come back with the reply."""

    model: str
    input: str | Annotated[list[InputMessage | SearchCallItem], Field(min_length=1)]
    stream: bool | None = None
    max_output_tokens: Count | None = None
    tools: Annotated[list[WebSearchTool], Field(max_length=1)] | None = None
    text: TextOptions | None = None
    aag: AagOptions | None = None
    background: Literal[False] | None = None
    metadata: dict[str, str] | None = None
    # Of no effect.
    instructions: str | None = None
    tool_choice: str | dict[str, Any] | None = None
    include: list[str] | None = None
    stream_options: dict[str, Any] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    reasoning: dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    store: bool | None = None
    service_tier: str | None = None
    prompt_cache_retention: str | None = None
    # Not supported.
    previous_response_id: Null = None
    conversation: Null = None
    prompt: Null = None
    max_tool_calls: Null = None
    moderation: Null = None
    context_management: NoList = None
    top_logprobs: Zero = None


_UNUSED = """
    instructions tool_choice include stream_options temperature top_p reasoning parallel_tool_calls truncation user
    safety_identifier prompt_cache_key store service_tier prompt_cache_retention
"""
RESPONSES_WITHOUT_EFFECT = frozenset(_UNUSED.split())


class OutputAnnotation(Sent):
    """Indices count characters (code points) of the text; the end is exclusive."""

    type: Literal["url_citation"] = "url_citation"
    url: str
    title: str
    start_index: int
    end_index: int


class OutputText(Sent):
    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[OutputAnnotation]
    logprobs: list[Any] = Field(default_factory=list)


class OutputMessage(Sent):
    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[OutputText]


class SearchSource(Sent):
    type: Literal["url"] = "url"
    url: str


class SearchAction(Sent):
    type: Literal["search"] = "search"
    query: str
    queries: list[str]
    sources: list[SearchSource]


class SearchCall(Sent):
    id: str
    type: Literal["web_search_call"] = "web_search_call"
    status: Literal["in_progress", "searching", "completed", "failed"]
    action: SearchAction


class InputDetails(Sent):
    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputDetails(Sent):
    reasoning_tokens: int = 0


class ResponsesUsage(Sent):
    input_tokens: int
    input_tokens_details: InputDetails = InputDetails()
    output_tokens: int
    output_tokens_details: OutputDetails = OutputDetails()
    total_tokens: int


class Incomplete(Sent):
    reason: Literal["max_output_tokens"] = "max_output_tokens"


class ResponseFault(Sent):
    code: Literal["server_error", "rate_limit_exceeded"]
    message: str


class ResponsesReply(Sent):
    model_config = ConfigDict(extra="ignore")

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    model: str
    output: list[SearchCall | OutputMessage]
    error: ResponseFault | None = None
    incomplete_details: Incomplete | None = None
    instructions: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    parallel_tool_calls: bool = False
    temperature: None = None
    top_p: None = None
    tool_choice: Literal["auto"] = "auto"
    tools: list[dict[str, Any]] = Field(default_factory=list)
    store: Literal[False] = False
    usage: ResponsesUsage | None = None
    aag: Extra
