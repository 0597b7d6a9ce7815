"""The way through memory: awaken, and where the answer is to be compared, hear it to its end."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass, replace

from aag_ray.answer.links import LinkFilter
from aag_ray.answer.parts import Awakening, Memory, Pieces, Unavailable
from aag_ray.answer.provenance import MemoryOutcome
from aag_ray.answer.stages import Stages

log = logging.getLogger(__name__)
# What a client is told of a part that failed; what the part itself said is for the log alone.
BROKEN = "{} failed; the server's log has the reason"


@dataclass(frozen=True, slots=True)
class Recollection:
    """How the way ended; ANSWERED has an awakening. `answer` is set where one was made apart from the answer's text, with how
    likely memory finds it (`Piece.likelihood`) and whether it was `cut`.

    The tokens are those of the awakening and of that answer.
    """

    outcome: MemoryOutcome
    awakening: Awakening | None = None
    answer: str = ""
    detail: str = ""
    prompt_tokens: int = 0
    new_tokens: int = 0
    likelihood: float = 0.0
    cut: bool = False


NOT_ASKED = Recollection(MemoryOutcome.NOT_ASKED)
TOO_LATE = Recollection(MemoryOutcome.OUT_OF_TIME, detail="not done in time")


async def remember(
    memory: Memory, question: str, *, answer_tokens: int, seconds: float, stages: Stages
) -> tuple[Recollection, Pieces | None]:
    """Awaken what the model knows, within `seconds`; the answer follows in pieces, if there is one.

    Raises Unavailable as the part does, and nothing else.
    """
    limit = asyncio.timeout(seconds)
    try:
        with stages.of("memory"):
            async with limit:
                awakening, pieces = await memory.recall(question, answer_tokens=answer_tokens)
    except Unavailable:
        raise
    except Exception as error:
        return (TOO_LATE if limit.expired() else _failed(error)), None
    used = awakening.prompt_tokens, awakening.new_tokens
    return Recollection(MemoryOutcome.ANSWERED, awakening, prompt_tokens=used[0], new_tokens=used[1]), pieces


async def recollect(memory: Memory, question: str, *, answer_tokens: int, seconds: float, stages: Stages) -> Recollection:
    """Awaken and answer from that alone, within `seconds`. Nothing is raised: the web may still have an answer."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            recollection, pieces = await remember(memory, question, answer_tokens=answer_tokens, seconds=seconds, stages=stages)
            if pieces is None:
                return recollection
            with stages.of("memory"):
                return await _answered(recollection, pieces)
    except Exception as error:
        return TOO_LATE if limit.expired() else _failed(error)


async def _answered(recollection: Recollection, pieces: Pieces) -> Recollection:
    links, answer, likelihood, cut = LinkFilter(()), "", 0.0, False
    prompt, new = recollection.prompt_tokens, recollection.new_tokens
    async with aclosing(pieces):
        async for piece in pieces:
            answer += links.feed(piece.text)
            prompt += piece.prompt_tokens
            new += piece.new_tokens
            likelihood, cut = piece.likelihood, piece.cut
    answer = (answer + links.end()).strip()
    outcome = MemoryOutcome.ANSWERED if answer else MemoryOutcome.EMPTY
    return replace(
        recollection, outcome=outcome, answer=answer, prompt_tokens=prompt, new_tokens=new, likelihood=likelihood, cut=cut
    )


def _failed(error: Exception) -> Recollection:
    log.warning("memory failed", exc_info=error)
    return Recollection(MemoryOutcome.FAILED, detail=str(error) if isinstance(error, Unavailable) else BROKEN.format("memory"))
