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
    from aag_ray.llm.forms import Form
    from aag_ray.llm.written import StreamPiece


class Parser(Protocol):
    """Reads the last question of a conversation. `today` (UTC) is what words such as "this year" count from.

    Where `weighs_memory` is set and the mode leaves the decision open, `weigh` takes it once memory has answered: from the
    geometric mean of the probabilities of memory's tokens, None where memory has none.
    """

    @property
    def weighs_memory(self) -> bool: ...

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

        model, settings, question, tokens = self.model, self.model.settings, request.question, (0, 0)
        if has_history(request):
            written = await self._write(rewrite_prompt(request), settings.question_tokens)
            question = usable_question(written.text, request)
            tokens = (written.prompt_tokens, written.new_tokens)
        [odds] = await self.engine.call(lambda: model.log_odds([question], [today]))
        needed = settings.calibration(odds)
        if request.mode is Mode.AUTO:
            search, detail = needed >= settings.threshold, ""
        else:
            search, detail = request.mode is Mode.SEARCH, f"asked for by the mode {request.mode}"
        parsed = ParsedRequest(
            question, search, detail=detail, needed=needed, log_odds=odds, prompt_tokens=tokens[0], new_tokens=tokens[1]
        )
        waits = request.mode is Mode.AUTO and self.weighs_memory
        return parsed if waits else await self._with_searches(parsed, today)

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
        from aag_ray.llm.forms import Expression

        if not parsed.search:
            return parsed
        prompt = prompts.search_prompt(parsed.question, today)
        written = await self._write(prompt, self.model.settings.query_tokens, Expression(prompts.SEARCHES))
        read = read_searches(parsed.question, written.text)
        return replace(
            read, needed=parsed.needed, log_odds=parsed.log_odds, detail=read.detail or parsed.detail,
            prompt_tokens=parsed.prompt_tokens + written.prompt_tokens, new_tokens=parsed.new_tokens + written.new_tokens,
        )  # fmt: skip

    def close(self) -> None:
        if self.own:
            self.engine.close()

    async def _write(self, prompt: str, tokens: int, form: Form | None = None) -> StreamPiece:
        """The whole text as one piece."""
        from aag_ray.llm.streaming import QueueFull
        from aag_ray.llm.written import StreamPiece

        stream = self.engine.stream(prompt, max_new_tokens=tokens, shared=self.model.shared, form=form)
        whole = StreamPiece("", 0)
        try:
            async for piece in stream:
                whole = replace(piece, text=whole.text + piece.text)
        except QueueFull as error:
            raise Unavailable(str(error)) from error
        return whole
