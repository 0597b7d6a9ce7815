"""The policy: parse, take the way through memory, the web or both, read, check the citations, and say everything on the way.

policy = Policy(parser, memory, reader, WebPath(search, fetch, ranker, extractor, section), section)
async for event in policy.answer(AnswerRequest.asking("Which city is the capital of Peru?")):
    ...
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from aag_ray.answer.answer import Answer, gathered
from aag_ray.answer.answering import Answering
from aag_ray.answer.event import AnswerEvent
from aag_ray.answer.parser import Parser
from aag_ray.answer.parts import Memory, Reader
from aag_ray.answer.request import AnswerRequest
from aag_ray.answer.web_path import WebPath
from aag_ray.config import AnswerSection


def _today() -> date:
    return datetime.now(UTC).date()


@dataclass
class Policy:
    """Answers requests side by side. The parts are shared by all of them and belong to whoever made them."""

    parser: Parser
    memory: Memory
    reader: Reader
    web: WebPath
    section: AnswerSection
    clock: Callable[[], float] = time.monotonic
    today: Callable[[], date] = _today

    def configure(self, section: AnswerSection) -> None:
        """Take other thresholds and budgets from the next request on."""
        self.section = section
        self.web = replace(self.web, section=section)

    async def answer(self, request: AnswerRequest) -> AsyncGenerator[AnswerEvent, None]:
        """The events of one answer, the last one `Done` or `Failed`; nothing a part does is raised.

        Closing the generator, or cancelling its task, cancels everything that was started for the request and waits for it.
        """
        events: asyncio.Queue[AnswerEvent | None] = asyncio.Queue()
        # A copy: what is configured meanwhile is for the next request.
        task = asyncio.create_task(Answering(replace(self), request, events.put_nowait).run())
        task.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def whole(self, request: AnswerRequest) -> Answer:
        """The same, when it has come to its end. Cancelling it cancels all that was started for it."""
        async with aclosing(self.answer(request)) as events:
            return await gathered(events)
