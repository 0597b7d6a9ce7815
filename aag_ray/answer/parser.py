"""Deciding whether the web is needed, and what to ask it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Protocol

from aag_ray.answer.follow_up import LastExchange, Rewriter
from aag_ray.answer.parsed import MAX_CHARACTERS, ParsedRequest, ParseOutcome
from aag_ray.answer.parts import Unavailable
from aag_ray.answer.request import AnswerRequest, Mode
from aag_ray.web.search.request import SearchRequest

if TYPE_CHECKING:
    from aag_ray.answer.parsing.model import ParserModel
    from aag_ray.llm.engines import Engine


class Parser(Protocol):
    """Reads the last question of a conversation. `today` (UTC) is what words such as "this year" count from.

    Where `weighs_memory` is set and the mode leaves the decision open, `weigh` takes it once memory has answered: from the
    geometric mean of the probabilities of memory's tokens, None where memory has none.
    """

    weighs_memory: bool

    async def parse(self, request: AnswerRequest, today: date) -> ParsedRequest: ...

    async def weigh(self, parsed: ParsedRequest, today: date, likelihood: float | None) -> ParsedRequest: ...


class UntrainedParser:
    """Works without training and says so: searches with the question itself, which costs time and never an answer.

    With a `threshold`, what memory finds likelier than that is not searched for.
    """

    def __init__(self, rewriter: Rewriter | None = None, threshold: float | None = None) -> None:
        self.rewriter, self.threshold = rewriter or LastExchange(), threshold
        self.weighs_memory = threshold is not None

    async def parse(self, request: AnswerRequest, today: date) -> ParsedRequest:
        question = await self.rewriter.rewrite(request)
        queries = (SearchRequest(question[:MAX_CHARACTERS]),)
        return ParsedRequest(question, True, queries, ParseOutcome.UNTRAINED, "an untrained parser always searches")

    async def weigh(self, parsed: ParsedRequest, today: date, likelihood: float | None) -> ParsedRequest:
        if likelihood is None or self.threshold is None:
            return parsed
        search = likelihood < self.threshold
        detail = f"memory's answer has a likelihood of {likelihood:.2f}, {'below' if search else 'at least'} {self.threshold:g}"
        queries = parsed.queries if search else ()
        return replace(parsed, search=search, queries=queries, detail=detail, needed=1 - likelihood)

    def close(self) -> None:
        """It holds nothing."""


class TrainedParser:
    """A trained model: rewrites follow-ups, decides by its calibrated probability, and writes searches where some are made.

    The question of a request without a conversation is never written anew. Whoever asks for a search by the mode gets one, and
    who asks for memory gets none, whatever the model thinks of it. What it writes is read strictly; anything else falls back
    to searching with the question. `engine` decodes with the model's weights; it is closed with the parser if it is its `own`.
    """

    def __init__(self, model: ParserModel, engine: Engine, *, own: bool = False) -> None:
        self.model, self.engine, self.own = model, engine, own

    @property
    def weighs_memory(self) -> bool:
        return self.model.settings.weighing is not None

    async def parse(self, request: AnswerRequest, today: date) -> ParsedRequest:
        """Where memory's answer will be weighed there are no searches yet: `weigh` writes them if it comes to that.

        Raises Unavailable while too many prompts wait, which the policy takes as a parser that failed.
        """
        from aag_ray.answer.parsing.model import has_history, rewrite_prompt, usable_question

        model, settings, question = self.model, self.model.settings, request.question
        if has_history(request):
            question = usable_question(await self._write(rewrite_prompt(request), settings.question_tokens), request)
        [odds] = await self.engine.call(lambda: model.log_odds([question], [today]))
        needed = settings.calibration(odds)
        if request.mode is Mode.AUTO:
            parsed = ParsedRequest(question, needed >= settings.threshold, needed=needed, log_odds=odds)
            return parsed if self.weighs_memory else await self._with_searches(parsed, today)
        asked = f"asked for by the mode {request.mode}"
        parsed = ParsedRequest(question, request.mode is Mode.SEARCH, detail=asked, needed=needed, log_odds=odds)
        return await self._with_searches(parsed, today)

    async def weigh(self, parsed: ParsedRequest, today: date, likelihood: float | None) -> ParsedRequest:
        """Without a likelihood the question alone has decided."""
        weighing = self.model.settings.weighing
        if likelihood is not None and weighing is not None and parsed.log_odds is not None:
            needed = weighing(parsed.log_odds, likelihood)
            parsed = replace(parsed, search=needed >= weighing.threshold, needed=needed)
        return await self._with_searches(parsed, today)

    async def _with_searches(self, parsed: ParsedRequest, today: date) -> ParsedRequest:
        from aag_ray.answer.parsing import prompts
        from aag_ray.answer.parsing.model import read_searches

        if not parsed.search:
            return parsed
        written = await self._write(prompts.search_prompt(parsed.question, today), self.model.settings.query_tokens)
        read = read_searches(parsed.question, written)
        return replace(read, needed=parsed.needed, log_odds=parsed.log_odds, detail=read.detail or parsed.detail)

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
