"""What the served application measures: outcomes, seconds, tokens, cache and citation checks of every stage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from aag_ray.answer.answer import Answer
from aag_ray.answer.citations import SentenceState
from aag_ray.answer.parts import Unavailable
from aag_ray.extract.evidence import Extraction
from aag_ray.pipelines.metrics import Measure, Meters
from aag_ray.serve.observer import Observer
from aag_ray.web.fetched import Fetched
from aag_ray.web.search.answer import SearchAnswer

ANSWERING = (
    Measure("aag_answers_total", "Requests by mode and how they ended: a provenance, or why none", ("mode", "outcome")),
    Measure("aag_answer_seconds", "Seconds of whole requests, without waiting for a place", ("mode",)),
    Measure("aag_stage_seconds", "Seconds of a request's stages, and until its first source and token", ("stage",)),
    Measure("aag_paths_total", "How the ways through memory and web ended", ("path", "outcome")),
    Measure("aag_given_up_total", "Steps of degradation that a budget made necessary", ("step",)),
    Measure("aag_sources_total", "Pages that were found, by how far they came", ("state",)),
    Measure("aag_tokens_total", "Tokens that models read and wrote, and of the evidence they were shown", ("kind",)),
    Measure("aag_parses_total", "Requests by what the parser came to", ("outcome",)),
    Measure("aag_citation_checks_total", "Sentences of answers by what checking them came to", ("provenance", "state")),
    Measure("aag_citations_total", "Citations that were sent, each after its mechanical check"),
    Measure("aag_false_pointers_total", "Evidence and citations that did not point at their text, and were dropped"),
    Measure("aag_links_removed_total", "Links in answers that led to no page that was read"),
)
GATEWAY = (
    Measure("aag_client_requests_total", "Requests that were let in, by whose key they had", ("client",)),
    Measure("aag_refusals_total", "Requests that ended with an error, by its status", ("status",)),
    Measure("aag_requests_in_flight", "Requests that are being answered", gauge=True),
    Measure("aag_requests_waiting", "Requests that wait for a place", gauge=True),
)
WEB = (
    Measure("aag_searches_total", "Searches by outcome", ("outcome",)),
    Measure("aag_search_seconds", "Seconds of searches"),
    Measure("aag_search_attempts_total", "What each provider did for searches", ("provider", "outcome")),
    Measure("aag_fetches_total", "Pages asked for, by outcome", ("outcome",)),
    Measure("aag_fetch_seconds", "Seconds of fetches, with waiting"),
    Measure("aag_fetched_bytes_total", "Bytes of pages as they were sent"),
    Measure("aag_page_cache_total", "Pages that were read, by whether the cache had them", ("result",)),
)
EXTRACTOR = (
    Measure("aag_extractions_total", "Requests to the extractor by outcome", ("outcome",)),
    Measure("aag_extract_seconds", "Seconds of extractions, with waiting for their turn"),
    Measure("aag_extracted_pages_total", "Pages by what the extractor found on them", ("outcome",)),
    Measure("aag_extract_tokens_total", "Tokens of pages that the extractor read and kept", ("kind",)),
)
ENGINE = (
    Measure("aag_engine_calls_total", "Calls of the language model by how they ended", ("call", "outcome")),
    Measure("aag_engine_seconds", "Seconds of these calls, with waiting", ("call",)),
    Measure("aag_engine_tokens_total", "Tokens that the language model read and wrote", ("call", "kind")),
)


class AnsweringMeters(Meters):
    def __init__(self) -> None:
        super().__init__(ANSWERING)

    def answered(self, answer: Answer, mode: str, seconds: float) -> None:
        """Take in a request that has ended, in whatever way."""
        self.count("aag_answers_total", mode=mode, outcome=ending(answer))
        self.time("aag_answer_seconds", seconds, mode=mode)
        for stage, took in answer.done.seconds.items():
            if stage != "total":
                self.time("aag_stage_seconds", took, stage=stage)
        if answer.parsed is not None:
            self.count("aag_parses_total", outcome=answer.parsed.outcome)
        if answer.origin is not None:
            self.count("aag_paths_total", path="memory", outcome=answer.origin.memory)
            self.count("aag_paths_total", path="web", outcome=answer.origin.web)
        for given_up in answer.given_up:
            self.count("aag_given_up_total", step=given_up.step)
        for source in answer.sources:
            self.count("aag_sources_total", state=source.state)
        used, checks = answer.done.usage, answer.checked.checks
        for kind, tokens in (("prompt", used.prompt), ("completion", used.completion), ("evidence", used.evidence)):
            self.count("aag_tokens_total", tokens, kind=kind)
        claimless = checks.sentences - checks.supported - checks.unsupported
        for state, sentences in (
            (SentenceState.SUPPORTED, checks.supported),
            (SentenceState.UNSUPPORTED, checks.unsupported),
            (SentenceState.NO_CLAIM, claimless),
        ):
            self.count("aag_citation_checks_total", sentences, provenance=ending(answer), state=state)
        self.count("aag_citations_total", checks.citations)
        self.count("aag_false_pointers_total", checks.false_pointers)
        self.count("aag_links_removed_total", answer.done.links_removed)


class GatewayMeters(Meters, Observer):
    def __init__(self) -> None:
        super().__init__(GATEWAY)
        self.loaded(0, 0)

    def answered(self, answer: Answer, client: str) -> None:
        self.count("aag_client_requests_total", client=client)

    def refused(self, status: int) -> None:
        self.count("aag_refusals_total", status=str(status))

    def loaded(self, in_flight: int, waiting: int) -> None:
        self.set("aag_requests_in_flight", in_flight)
        self.set("aag_requests_waiting", waiting)


class WebMeters(Meters):
    def __init__(self) -> None:
        super().__init__(WEB)

    def searched(self, answer: SearchAnswer) -> None:
        self.count("aag_searches_total", outcome=answer.outcome)
        self.time("aag_search_seconds", answer.seconds)
        for attempt in answer.attempts:
            self.count("aag_search_attempts_total", provider=attempt.provider, outcome=attempt.outcome)

    def fetched(self, fetched: Fetched) -> None:
        self.count("aag_fetches_total", outcome=fetched.outcome)
        self.time("aag_fetch_seconds", fetched.seconds)
        self.count("aag_fetched_bytes_total", 0 if fetched.from_cache else fetched.wire_bytes)
        if fetched.ok:
            self.count("aag_page_cache_total", result="hit" if fetched.from_cache else "miss")


class ExtractorMeters(Meters):
    def __init__(self) -> None:
        super().__init__(EXTRACTOR)

    def extracted(self, extraction: Extraction, seconds: float) -> None:
        self.count("aag_extractions_total", outcome=extraction.outcome)
        self.time("aag_extract_seconds", seconds)
        for page in extraction.pages:
            self.count("aag_extracted_pages_total", outcome=page.outcome)
        self.count("aag_extract_tokens_total", extraction.tokens_in, kind="read")
        self.count("aag_extract_tokens_total", extraction.tokens_kept, kind="kept")


class EngineMeters(Meters):
    def __init__(self) -> None:
        super().__init__(ENGINE)

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """Time a call and count how it ended: ok, unavailable, cancelled or failed."""
        began, outcome = time.monotonic(), "failed"
        try:
            yield
            outcome = "ok"
        except Unavailable:
            outcome = "unavailable"
            raise
        except (asyncio.CancelledError, GeneratorExit):
            outcome = "cancelled"
            raise
        finally:
            self.count("aag_engine_calls_total", call=name, outcome=outcome)
            self.time("aag_engine_seconds", time.monotonic() - began, call=name)

    def used(self, name: str, prompt: int, new: int) -> None:
        self.count("aag_engine_tokens_total", prompt, call=name, kind="prompt")
        self.count("aag_engine_tokens_total", new, call=name, kind="new")


def ending(answer: Answer) -> str:
    """How an answer ended, in one word: its provenance, the code of its failure, or that nobody waited for it."""
    return answer.failed.code if answer.failed else answer.origin.provenance if answer.origin else "client_left"
