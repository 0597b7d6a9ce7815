"""One request on its way to an answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from aag_ray.answer.allowance import Allowance, Degradation, GivenUp
from aag_ray.answer.citations import Checked, Citer
from aag_ray.answer.event import AnswerEvent, Cited, Done, Failed, Known, Remembered, Sources, Text, Understood, Usage
from aag_ray.answer.links import LinkFilter
from aag_ray.answer.memory_path import BROKEN, NOT_ASKED, TOO_LATE, Recollection, recollect, remember
from aag_ray.answer.parsed import ParsedRequest, fallback
from aag_ray.answer.parts import Pieces, Unavailable
from aag_ray.answer.provenance import MemoryOutcome, Origin, Provenance, WebOutcome, without_answer
from aag_ray.answer.request import AnswerRequest, Mode
from aag_ray.answer.stages import Stages
from aag_ray.answer.web_path import Findings
from aag_ray.answer.words import say_the_same

if TYPE_CHECKING:
    from aag_ray.answer.policy import Policy

PARSE_SHARE = 0.2
MEMORY_SHARE = 0.5
RECALL_SHARE = 0.25  # before the web is asked, whose time goes on meanwhile
NOT_SEARCHED = Findings(WebOutcome.NOT_ASKED)
log = logging.getLogger(__name__)


class Answering:
    """Emits the events of one answer. `text` is what of it has been said."""

    def __init__(self, policy: Policy, request: AnswerRequest, emit: Callable[[AnswerEvent], None]) -> None:
        self.policy, self.section, self.request, self.emit = policy, policy.section, request, emit
        self.budget = request.wishes.within(policy.section.budget)
        self.allowance = Allowance(self.budget, policy.section.web_share, policy.clock)
        self.stages = Stages(policy.clock)
        self.usage = Usage()
        self.parsed = fallback(request.question, "")
        self.text = ""
        self.cut = self.out_of_time = False
        self.links_removed = 0

    async def run(self) -> None:
        try:
            policy, recollection = self.policy, None
            with self.stages.of("parse"):
                self.parsed = await self._parsed(policy.parser.parse(self.request, policy.today()))
            if self.request.mode is Mode.AUTO and policy.parser.weighs_memory:
                recollection = await self._recollect(self.allowance.left * RECALL_SHARE)
                likelihood = recollection.likelihood if recollection.answer else None
                with self.stages.of("parse"):
                    self.parsed = await self._parsed(policy.parser.weigh(self.parsed, policy.today(), likelihood))
            self._count(self.parsed.prompt_tokens, self.parsed.new_tokens)
            self.emit(Understood(self.parsed))
            await self._answer(recollection)
        except Unavailable as error:
            self.emit(Failed("overloaded", str(error), error.retry_after))
        except Exception:
            log.exception("while answering")
            self.emit(Failed("internal", BROKEN.format("the server")))

    async def _parsed(self, parsing: Awaitable[ParsedRequest]) -> ParsedRequest:
        limit = asyncio.timeout(PARSE_SHARE * self.allowance.left)
        try:
            async with limit:
                return await parsing
        except Exception as error:
            detail = "the parser was too slow" if limit.expired() else BROKEN.format("the parser")
            log.warning("%s", detail, exc_info=error)
            if limit.expired():
                self.emit(GivenUp(Degradation.RAW_QUESTION, f"{detail}: the question is searched for as it was asked"))
            before = self.parsed
            found = fallback(before.question, detail)
            return replace(found, prompt_tokens=before.prompt_tokens, new_tokens=before.new_tokens)

    async def _answer(self, recollection: Recollection | None) -> None:
        """By the mode and the parser's decision. A `recollection` was made before that decision."""
        mode = self.request.mode
        if mode is Mode.SEARCH:
            await self._read_pages(await self._find(), NOT_ASKED)
        elif recollection is not None:
            await self._go_on_from(recollection)
        elif mode is Mode.AUTO and self.parsed.search:
            await self._compare()
        else:
            recollection = await self._speak_from_memory()
            if self.text:
                await self._end(Origin(Provenance.FROM_MEMORY, MemoryOutcome.ANSWERED), NOT_SEARCHED)
            elif mode is Mode.AUTO and not self.out_of_time:
                await self._read_pages(await self._find(), recollection)
            else:
                await self._end_without(recollection, NOT_SEARCHED)

    async def _go_on_from(self, recollection: Recollection) -> None:
        """Memory has answered: that is the answer, or the web is asked and compared with it."""
        self._use(recollection)
        findings = NOT_SEARCHED
        if self.parsed.search or not recollection.answer:
            findings = await self._find()
        else:
            self.emit(Sources())
        self._show(recollection)
        await self._read_pages(findings, recollection)

    async def _recollect(self, seconds: float) -> Recollection:
        return await recollect(
            self.policy.memory, self.parsed.question,
            answer_tokens=self.budget.answer_tokens, seconds=seconds, stages=self.stages,
        )  # fmt: skip

    async def _speak_from_memory(self) -> Recollection:
        """Memory alone, its answer written straight into the text."""
        self.emit(Sources())
        try:
            recollection, pieces = await remember(
                self.policy.memory, self.parsed.question,
                answer_tokens=self.budget.answer_tokens, seconds=self.allowance.left, stages=self.stages,
            )  # fmt: skip
        except Unavailable as error:
            if self.request.mode is Mode.MEMORY:
                raise
            recollection, pieces = Recollection(MemoryOutcome.FAILED, detail=str(error)), None
        self._use(recollection)
        self._show(recollection)
        if pieces is None:
            self.out_of_time = recollection.outcome is MemoryOutcome.OUT_OF_TIME
            return recollection
        failure = await self._write(pieces, recollection, NOT_SEARCHED)
        ended = MemoryOutcome.OUT_OF_TIME if self.out_of_time else MemoryOutcome.FAILED if failure else MemoryOutcome.EMPTY
        outcome = MemoryOutcome.ANSWERED if self.text else ended
        return replace(recollection, outcome=outcome, detail=failure)

    async def _compare(self) -> None:
        """Both ways at once."""
        remembering = asyncio.create_task(self._recollect(self.allowance.left))
        try:
            findings = await self._find()
            found = findings.outcome is WebOutcome.RELEVANT
            # With evidence at hand memory is only compared with it; without, it is all there is.
            done, _ = await asyncio.wait([remembering], timeout=self.allowance.left * (MEMORY_SHARE if found else 1.0))
            recollection = remembering.result() if done else TOO_LATE
        finally:
            remembering.cancel()
            await asyncio.gather(remembering, return_exceptions=True)
        self._use(recollection)
        if found and recollection.outcome is MemoryOutcome.OUT_OF_TIME:
            self.emit(GivenUp(Degradation.NO_COMPARISON, f"memory had not answered after {self.allowance.spent:.1f} s"))
        self._show(recollection)
        await self._read_pages(findings, recollection)

    async def _find(self) -> Findings:
        read = Sources(read=True)

        def emit(event: AnswerEvent) -> None:
            nonlocal read
            self.stages.first("first_source")
            if isinstance(event, Sources) and event.read:
                read = event  # said with how the way ended, which is known now and not yet there
            else:
                self.emit(event)

        findings = await self.policy.web.find(
            self.parsed, self.request.filters, self.allowance, self.stages, emit, self.policy.reader.tokens
        )
        self.emit(replace(read, outcome=findings.outcome))
        tokens = sum(self.policy.reader.tokens(each.text) for each in findings.evidence)
        self.usage = replace(self.usage, evidence=tokens)
        return findings

    async def _read_pages(self, findings: Findings, recollection: Recollection) -> None:
        """The answer from evidence, compared with memory's; from memory where there is no evidence; or why there is none."""
        remembered, pages, detail = bool(recollection.answer), len(findings.pages), findings.detail
        if findings.outcome is WebOutcome.RELEVANT:
            pieces = self.policy.reader.read(self.parsed.question, findings.evidence, answer_tokens=self.budget.answer_tokens)
            detail = await self._write(pieces, recollection, findings) or "the reader wrote nothing"
            if self.text:
                provenance = Provenance.FROM_PAGES
                if remembered:
                    agree = say_the_same(recollection.answer, self.text)
                    provenance = Provenance.BOTH_AGREE if agree else Provenance.DISAGREE
                await self._end(Origin(provenance, recollection.outcome, findings.outcome, pages), findings)
                return
        if remembered:
            if findings.outcome is WebOutcome.OUT_OF_TIME:
                self.emit(GivenUp(Degradation.MEMORY_ONLY, detail))
            self._say(recollection.answer)
            self._end_at_budget(recollection.cut)
            origin = Origin(Provenance.FROM_MEMORY, recollection.outcome, findings.outcome, pages, detail)
            await self._end(origin, NOT_SEARCHED)
            return
        await self._end_without(recollection, findings, detail)

    async def _write(self, pieces: Pieces, recollection: Recollection, findings: Findings) -> str:
        """Say the pieces as they come. The result says how the reader failed, "" if it did not.

        Raises what the reader raises once there is text, which cannot be taken back, and Unavailable unless memory's own
        answer can stand in.
        """
        links = LinkFilter({read.page.url for read in findings.pages})
        limit = asyncio.timeout(self.allowance.left)
        try:
            with self.stages.of("read"):
                async with limit, aclosing(pieces):
                    async for piece in pieces:
                        self._count(piece.prompt_tokens, piece.new_tokens)
                        self.cut |= piece.cut
                        self._say(links.feed(piece.text))
        except Exception as error:
            if not limit.expired():
                if self.text or (isinstance(error, Unavailable) and not recollection.answer):
                    raise
                log.warning("the reader failed", exc_info=error)
                return BROKEN.format("the reader")
            self.out_of_time = True
        self._say(links.end())
        self.links_removed = links.removed
        if self.out_of_time:
            self.cut = bool(self.text)
            self.emit(GivenUp(Degradation.SHORT_ANSWER, f"time was over after {self.budget.seconds:g} s"))
        self._end_at_budget(self.cut and not self.out_of_time)
        return ""

    def _end_at_budget(self, cut: bool) -> None:
        if cut:
            self.cut = True
            self.emit(GivenUp(Degradation.SHORT_ANSWER, f"the answer ends after {self.budget.answer_tokens} tokens"))

    def _say(self, text: str) -> None:
        shown = text if self.text else text.lstrip()
        if shown:
            self.stages.first("first_token")
            self.text += shown
            self.emit(Text(shown))

    def _show(self, recollection: Recollection) -> None:
        awakening = recollection.awakening
        document, facts = (awakening.document, awakening.facts) if awakening else ("", {})
        self.emit(Remembered(recollection.outcome, document, facts, recollection.answer, recollection.detail))

    def _use(self, recollection: Recollection) -> None:
        self._count(recollection.prompt_tokens, recollection.new_tokens)

    def _count(self, prompt: int, new: int) -> None:
        self.usage = replace(self.usage, prompt=self.usage.prompt + prompt, completion=self.usage.completion + new)

    async def _end_without(self, recollection: Recollection, findings: Findings, detail: str = "") -> None:
        """Nothing found is said, in one sentence that nobody could take for an answer. Raises Unavailable where that is why."""
        if findings.retry_after is not None:
            raise Unavailable(findings.detail, findings.retry_after)
        reason = without_answer(recollection.outcome, findings.outcome)
        reason = Provenance.OUT_OF_TIME if self.out_of_time else reason
        details = "; ".join(filter(None, dict.fromkeys([detail or findings.detail, recollection.detail])))
        origin = Origin(reason, recollection.outcome, findings.outcome, len(findings.pages), details)
        self._say(f"{origin.told}.")
        await self._end(origin, None)

    async def _end(self, origin: Origin, findings: Findings | None) -> None:
        """Check and say the rest. Without findings the text is this program's own and claims nothing."""
        checked = Checked()
        if findings is not None:
            citer = Citer(self.parsed.question, findings.pages, findings.evidence, self.section.support)
            with self.stages.of("verify"):
                checked = await asyncio.to_thread(citer.check, self.text)
        self.emit(Cited(checked))
        self.emit(Known(origin))
        self.emit(Done(self.usage, self.stages.ended(), self.cut, self.links_removed))
