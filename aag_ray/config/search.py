"""Sections of searching and ranking: which engines are asked, when one is left alone, and what makes a page come first."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from aag_ray.config.basics import Natural, Positive
from aag_ray.settings import Section

AboveZero = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]

ProviderKind = Literal["searxng", "brave", "tavily", "serper", "google", "bing"]


class ProviderSection(Section):
    """One search engine's API. `url` is its base; None is the documented one, which `searxng` and `bing` do not have.

    `name` tells two of a kind apart; empty is the kind. The key stands in the environment variable `key_env` (None: the
    usual one of the kind) and nowhere else. `engine_id` is Google's `cx`. `body_bytes` bounds an answer, also unpacked.
    """

    kind: ProviderKind
    name: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$")
    url: str | None = None
    key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    engine_id: str = ""
    timeout_seconds: AboveZero = 8.0
    body_bytes: Positive = 2_000_000

    @property
    def engine(self) -> str:
        """The name that results and failures carry."""
        return self.name or self.kind

    @model_validator(mode="after")
    def can_be_asked(self) -> ProviderSection:
        if self.url is None and self.kind in ("searxng", "bing"):
            raise ValueError(f"a provider of kind {self.kind} needs its url, for example https://search.example.org")
        if self.kind == "google" and not self.engine_id:
            raise ValueError("a provider of kind google needs engine_id, the cx of its search engine")
        if self.url is not None:
            parts = urlsplit(self.url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError(f"url={self.url!r} is not http(s)://HOST[:PORT][/PATH]")
            if "@" in parts.netloc:
                raise ValueError(f"the url of {self.engine} has a user or password in it; keys stand in the environment only")
        return self


class BreakerSection(Section):
    """When a provider is left alone: after `failures` in a row for `rest_seconds`, doubled each time a trial fails.

    A spent quota or a refused key rests for `quota_seconds` at once, or as long as the provider says.
    """

    failures: Positive = 3
    rest_seconds: AboveZero = 30.0
    quota_seconds: AboveZero = 300.0
    max_rest_seconds: AboveZero = 3600.0


class SearchSection(Section):
    """Who is asked, in order of preference, until `answers` providers have given results or nobody is left.

    With `answers` 1 the others stand by; with as many as there are providers all are asked at once and merged. A
    provider that says nothing for `slow_seconds` is not waited for alone: the next one is asked beside it.
    """

    providers: tuple[ProviderSection, ...] = ()
    answers: Positive = 1
    slow_seconds: AboveZero = 3.0
    deadline_seconds: AboveZero = 10.0
    breaker: BreakerSection = BreakerSection()

    @model_validator(mode="after")
    def names_differ(self) -> SearchSection:
        names = [provider.engine for provider in self.providers]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two providers are called {min(doubled)!r}; give each a name of its own")
        return self


class WeightsSection(Section):
    """How much each signal counts in the fusion; 0 leaves it out. `engine` is shared by all engines that were asked.

    Engine, words and meaning are set by NQ passages of the dev split, also with wrong ones promoted; the rest is judgement.
    """

    engine: Weight = 0.5
    lexical: Weight = 0.5
    embedding: Weight = 3.0
    cross_encoder: Weight = 3.0
    recency: Weight = 1.0


class RankSection(Section):
    """Mixed ranking: weighted reciprocal ranks, first of snippets and then of pages (ZI-ISAG, mixed ranking).

    `engines` weighs single engines against each other (1 where nothing is said). The first `chunks_read` chunks of a page,
    of `chunk_words` each, are compared word by word, the `embedded_chunks` that match best by meaning, and the best one of
    each of the first `cross_encoded` pages by the cross-encoder. `per_host` counts by registrable domain. A page that repeats
    one phrase over and over loses up to `stuffing_penalty` of its score.
    """

    k: Positive = 60
    weights: WeightsSection = WeightsSection()
    engines: dict[str, Weight] = Field(default_factory=dict)
    half_life_days: AboveZero = 30.0
    per_host: Positive = 2
    snippets_kept: Positive = 10
    pages_kept: Positive = 5
    chunk_words: Positive = 150
    overlap_words: Natural = 30
    chunks_read: Positive = 400
    embedded_chunks: Positive = 4
    cross_encoded: Positive = 20
    stuffing_penalty: Annotated[float, Field(ge=0, le=1)] = 0.5

    @model_validator(mode="after")
    def chunks_advance(self) -> RankSection:
        if self.overlap_words * 2 > self.chunk_words:
            raise ValueError(f"overlap_words={self.overlap_words} is more than half of chunk_words={self.chunk_words}")
        return self
