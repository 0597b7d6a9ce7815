"""How questions are answered and how the endpoint treats its clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from aag_ray.config.basics import ModelSection, Natural, Positive, Seconds, Share
from aag_ray.config.decoding import DecodingSection
from aag_ray.config.extract import ExtractSection
from aag_ray.config.fetch import FetchSection
from aag_ray.config.pages import PagesSection
from aag_ray.config.search import RankSection, SearchSection
from aag_ray.settings import Section

ModeName = Literal["aag", "aag-search", "aag-auto"]
AboveZero = Annotated[float, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]


class BudgetSection(Section):
    """What one request may cost unless it asks for less: seconds from its start, pages asked for, tokens of evidence that
    the reader is shown, and tokens that it writes."""

    seconds: AboveZero = 30.0
    pages: Positive = 6
    tokens: Positive = 1024
    answer_tokens: Positive = 256


class AnswerSection(Section):
    """The policy. `web_share` is the part of the time that finding evidence may take; the rest is for reading it.

    One request asks for at most `queries` searches of `results` each. A sentence counts as supported if this share of its
    words stands in the cited span (`aag_ray.answer.support`). Pages older than `max_age_seconds` in the cache are asked for
    again for a question that wants fresh ones.
    """

    budget: BudgetSection = BudgetSection()
    web_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.6
    search_seconds: AboveZero = 8.0
    page_seconds: AboveZero = 6.0
    queries: Positive = 2
    results: Positive = 10
    evidence: Positive = 12
    support: Share = 0.8
    max_age_seconds: Seconds = 3600.0

    def overlaid(self, changes: Mapping[str, Any]) -> AnswerSection:
        """This section with what `changes` names, in the budget too key by key. Raises ValidationError."""
        whole = self.model_dump() | dict(changes)
        if isinstance(budget := changes.get("budget"), Mapping):
            whole["budget"] = self.budget.model_dump() | dict(budget)
        return AnswerSection.model_validate(whole)


class ApiKeySection(Section):
    """One client. Its key stands in the environment variable `key_env` and nowhere else; `name` is what logs show.

    It may send `requests_per_minute` over time and `burst` at once; None is no limit.
    """

    name: Name
    key_env: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    requests_per_minute: AboveZero | None = None
    burst: Positive = 10


class ApiLimitsSection(Section):
    """What one request and all of them together may take. Lengths in characters, sizes in bytes, times in seconds.

    `in_flight` requests are answered at a time and `waiting` more wait for up to `wait_seconds`; others are refused with 503
    and `Retry-After`. A stream that has been silent for `heartbeat_seconds` sends a comment.
    """

    body_bytes: Positive = 262_144
    body_seconds: AboveZero = 15.0
    question_characters: Positive = 4_000
    conversation_characters: Positive = 32_000
    messages: Positive = 100
    in_flight: Positive = 16
    waiting: Natural = 32
    wait_seconds: Seconds = 10.0
    heartbeat_seconds: AboveZero = 10.0


class LiveSection(Section):
    """What of the endpoint changes without a restart: its modes, the names of its models, the first one first offered."""

    modes: Annotated[tuple[ModeName, ...], Field(min_length=1)] = ("aag-auto", "aag-search", "aag")


class ServeSection(LiveSection):
    """The endpoint: its modes (the names of its models), what they may cost, who may ask, and whether it shows the page.

    Without `api_keys` anybody who reaches the port may ask. `cors_origins` are the sites whose scripts may; none by default.
    `hosts` are the names and addresses, without port, that a request may address it by; none is any. Naming them keeps a page
    in somebody's browser from reaching an endpoint on their own machine through a name of its own (DNS rebinding).
    Of a stream, what comes within `stream_seconds` after a piece goes on to the next replica together.
    """

    answer: AnswerSection = AnswerSection()
    api_keys: tuple[ApiKeySection, ...] = ()
    limits: ApiLimitsSection = ApiLimitsSection()
    cors_origins: tuple[str, ...] = ()
    hosts: tuple[Annotated[str, Field(pattern=r"^[a-z0-9.:_-]+$")], ...] = ()
    page: bool = True
    stream_seconds: Seconds = 0.02

    @model_validator(mode="after")
    def names_differ(self) -> ServeSection:
        names = [key.name for key in self.api_keys]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two API keys are called {min(doubled)!r}; give each a name of its own")
        for origin in self.cors_origins:
            if origin != "*" and not origin.startswith(("http://", "https://")):
                raise ValueError(f"cors_origins: {origin!r} is not an origin as https://app.example.org")
        return self


class AppSection(Section):
    """Everything the served application can be told (`args` in serve_config.yaml).

    `awakening` is the model folder of a run of `jobs/train_aag.py`; None is the newest below `runs`, or the base model alone
    where there is none. `extract.checkpoint` None is the newest trained scorer below `runs`, or the untrained one. `parser` is
    the model folder of a run of `jobs/train_parser.py`; None is the newest below `runs`, or untrained rules that always search.
    """

    endpoint: ServeSection = ServeSection()
    model: ModelSection = ModelSection()
    awakening: str | None = None
    parser: str | None = None
    runs: str = "runs"
    decoding: DecodingSection = DecodingSection()
    search: SearchSection = SearchSection()
    fetch: FetchSection = FetchSection()
    rank: RankSection = RankSection()
    pages: PagesSection = PagesSection()
    extract: ExtractSection = ExtractSection()
