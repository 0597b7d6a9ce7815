"""Deciding whether the web is needed, and what to ask it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Protocol

from aag_ray.answer.follow_up import LastExchange, Rewriter
from aag_ray.answer.parsed import MAX_CHARACTERS, ParsedRequest, ParseError, ParseOutcome, fallback, read_parsed
from aag_ray.answer.parts import Unavailable
from aag_ray.answer.request import AnswerRequest, Mode
from aag_ray.web.search.request import SearchRequest

if TYPE_CHECKING:
    from aag_ray.answer.parsing.model import ParserModel
    from aag_ray.llm.engines import Engine


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

    def close(self) -> None:
        """It holds nothing."""


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


class TrainedParser:
    """A trained model: rewrites follow-ups, decides by its calibrated probability, and writes searches where some are made.

    The question of a request without a conversation is never written anew. Whoever asks for a search by the mode gets one, and
    who asks for memory gets none, whatever the model thinks of it. What it writes is read strictly; anything else falls back
    to searching with the question. `engine` decodes with the model's weights; it is closed with the parser if it is its `own`.
    """

    def __init__(self, model: ParserModel, engine: Engine, *, own: bool = False) -> None:
        self.model, self.engine, self.own = model, engine, own

    async def parse(self, request: AnswerRequest, today: date) -> ParsedRequest:
        """Raises Unavailable while too many prompts wait, which the policy takes as a parser that failed."""
        from aag_ray.answer.parsing import prompts
        from aag_ray.answer.parsing.model import has_history, read_searches, rewrite_prompt, usable_question

        model, settings, question = self.model, self.model.settings, request.question
        if has_history(request):
            question = usable_question(await self._write(rewrite_prompt(request), settings.question_tokens), request)
        [needed] = await self.engine.call(lambda: model.needed([question], [today]))
        decided = needed >= settings.threshold if request.mode is Mode.AUTO else request.mode is Mode.SEARCH
        asked = f"asked for by the mode {request.mode}" if request.mode is not Mode.AUTO else ""
        if not decided:
            return ParsedRequest(question, False, detail=asked, needed=needed)
        written = await self._write(prompts.search_prompt(question, today), settings.query_tokens)
        parsed = read_searches(question, written)
        return replace(parsed, needed=needed, detail=parsed.detail or asked)

    def close(self) -> None:
        if self.own:
            self.engine.close()

    async def _write(self, prompt: str, tokens: int) -> str:
        from aag_ray.llm.streaming import QueueFull

        stream = self.engine.stream(prompt, max_new_tokens=tokens, shared=self.model.shared)
        try:
            return "".join([piece.text async for piece in stream])
        except QueueFull as error:
            raise Unavailable(str(error)) from error
