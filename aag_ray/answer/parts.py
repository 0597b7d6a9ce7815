"""The parts that the policy is made of, as it sees them. `SearchPool`, `Fetcher` and `Ranker` of `aag_ray.web` are such parts.

A part that cannot work now raises `Unavailable`. What else it raises is a failure of the request's stage and reaches the
answer as that. Cancellation must end its work.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aag_ray.extract.evidence import Evidence, Extraction, Extractor, TaggedPage
from aag_ray.extract.queue import ExtractionQueue, QueueFull
from aag_ray.web.fetched import Fetched
from aag_ray.web.rank.ranked import PageText, Ranking
from aag_ray.web.search.answer import SearchAnswer, SearchResult
from aag_ray.web.search.request import SearchRequest


class Unavailable(RuntimeError):
    """A part refuses work for now: its queue is full or it is being restarted. `retry_after` is in seconds."""

    def __init__(self, detail: str, retry_after: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Awakening:
    """What memory gave for one question: the dummy document, and the adapter made from both.

    The adapter stays with the model that made it; `facts` (rank, layers, norm, …) is what can be shown of it as JSON.
    """

    document: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    prompt_tokens: int = 0
    new_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer as it is written. `cut` is set on the last one if `answer_tokens` ended it; `likelihood` is the
    geometric mean of the probabilities of all tokens up to it."""

    text: str
    prompt_tokens: int = 0
    new_tokens: int = 0
    cut: bool = False
    likelihood: float = 0.0


Pieces = AsyncGenerator[Piece, None]


class Memory(Protocol):
    """Awakens what the model knows about a question."""

    async def recall(self, question: str, *, answer_tokens: int) -> tuple[Awakening, Pieces]:
        """What was awakened, and the answer from it as it is written, for the caller to close."""
        ...


class Reader(Protocol):
    """Writes the answer from evidence."""

    def tokens(self, text: str) -> int:
        """How many tokens a text is for the reader. Called often, so it must be quick; an estimate will do."""
        ...

    def read(self, question: str, evidence: Sequence[Evidence], *, answer_tokens: int) -> Pieces: ...


class Search(Protocol):
    async def search(self, request: SearchRequest, *, deadline: float | None = None) -> SearchAnswer: ...


class Fetch(Protocol):
    async def fetch(self, url: str, *, deadline: float | None = None, max_age: float | None = None) -> Fetched: ...


class PageRanker(Protocol):
    """Called in a thread of its own."""

    def rank_snippets(
        self, query: str, results: Sequence[SearchResult], *, time_sensitive: bool = False, keep: int | None = None
    ) -> Ranking[SearchResult]: ...

    def rank_pages(
        self, query: str, pages: Sequence[PageText], *, time_sensitive: bool = False, keep: int | None = None
    ) -> Ranking[PageText]: ...


class AsyncExtractor(Protocol):
    """An `Extractor` that is waited for: one in another process, or `InThread`."""

    async def extract(self, question: str, pages: Sequence[TaggedPage]) -> Extraction: ...


class InThread:
    """An extractor of this process, outside the event loop. A call that is cancelled ends at once, its work with its batch."""

    def __init__(self, extractor: Extractor, waiting: int = 16) -> None:
        """`waiting` requests may wait for those that came before."""
        self.extractor, self.queue = extractor, ExtractionQueue(extractor, waiting)

    async def extract(self, question: str, pages: Sequence[TaggedPage]) -> Extraction:
        try:
            return await asyncio.wrap_future(self.queue.submit(question, pages))
        except QueueFull as error:
            raise Unavailable(str(error)) from error
