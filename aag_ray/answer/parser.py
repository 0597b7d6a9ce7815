"""Deciding whether the web is needed, and what to ask it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Protocol

from aag_ray.answer.follow_up import LastExchange, Rewriter
from aag_ray.answer.parsed import MAX_CHARACTERS, ParsedRequest, ParseError, ParseOutcome, fallback, read_parsed
from aag_ray.answer.request import AnswerRequest
from aag_ray.web.search.request import SearchRequest


class Parser(Protocol):
    """Reads the last question of a conversation. `today` (UTC) is what words such as "this year" count from."""

    async def parse(self, request: AnswerRequest, today: date) -> ParsedRequest: ...


class UntrainedParser:
    """Works without training and says so: searches with the question itself, whenever nothing tells it that memory will do.

    `known` gives the probability that the model knows the answer, for example its likelihood of its own; at `threshold` or
    above the web is not asked. Without it the web is always asked, which costs time and never an answer.
    """

    def __init__(
        self,
        rewriter: Rewriter | None = None,
        known: Callable[[str], Awaitable[float]] | None = None,
        threshold: float = 0.5,
    ) -> None:
        self.rewriter = rewriter or LastExchange()
        self.known = known
        self.threshold = threshold

    async def parse(self, request: AnswerRequest, today: date) -> ParsedRequest:
        question = await self.rewriter.rewrite(request)
        queries = (SearchRequest(question[:MAX_CHARACTERS]),)
        if self.known is None:
            return ParsedRequest(question, True, queries, ParseOutcome.UNTRAINED, "an untrained parser always searches")
        known = await self.known(question)
        search = known < self.threshold
        detail = f"the model's own estimate {known:.2f} is {'below' if search else 'at least'} {self.threshold:g}"
        return ParsedRequest(question, search, queries if search else (), ParseOutcome.UNTRAINED, detail, 1 - known)


class WrittenParser:
    """A parser whose model writes the grammar's JSON. What it writes is read strictly; anything else falls back to searching.

    `write` gives the model's output for a request and a date.
    """

    def __init__(self, write: Callable[[AnswerRequest, date], Awaitable[str]]) -> None:
        self.write = write

    async def parse(self, request: AnswerRequest, today: date) -> ParsedRequest:
        try:
            return read_parsed(await self.write(request, today))
        except ParseError as error:
            return fallback(request.question, f"the parser's output cannot be used: {error}")
