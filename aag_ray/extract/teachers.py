"""Teachers: models that are asked for labels and verdicts. Every call ends as a reply with a typed outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from aag_ray.llm.engine import TransformersEngine


class TeacherOutcome(StrEnum):
    """How a call ended. Only OK brings a text to be read; the others say why there is none.

    CUT_OFF: the text stopped at the limit of tokens and is kept for inspection. DENIED: the endpoint does not answer this key,
    or not any more. REFUSED: it will not answer this request (model, content), and asking again would not help.
    """

    OK = "ok"
    EMPTY = "empty"
    CUT_OFF = "cut_off"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    DENIED = "denied"
    REFUSED = "refused"
    MALFORMED = "malformed"
    FAILED = "failed"


# Ends that say nothing of the request: the same one may be answered a moment later, or, where denied, with another key.
BUSY = frozenset({TeacherOutcome.TIMEOUT, TeacherOutcome.UNREACHABLE, TeacherOutcome.RATE_LIMITED, TeacherOutcome.SERVER_ERROR})
PASSING = BUSY | {TeacherOutcome.DENIED}


class TeacherError(ValueError):
    """A teacher that cannot be asked at all. The message names the endpoint and what it said."""


@dataclass(frozen=True, slots=True)
class TeacherReply:
    """What a teacher said, and what it took. `cost` is in the currency of the prices given; `attempts` counts requests sent."""

    outcome: TeacherOutcome
    text: str = ""
    detail: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    attempts: int = 1

    @property
    def ok(self) -> bool:
        return self.outcome is TeacherOutcome.OK

    def to_row(self) -> dict[str, Any]:
        """For a table: plain values."""
        return asdict(self) | {"outcome": self.outcome.value}


class Teacher(Protocol):
    """A model that answers one prompt at a time. Calls may run at once; a teacher bounds how many do."""

    name: str

    async def ask(self, prompt: str) -> TeacherReply:
        """The answer to one user message. Never raises for what a model or its server does."""
        ...


async def ask_all(teacher: Teacher, prompts: Sequence[str]) -> list[TeacherReply]:
    """Ask for every prompt at once, replies in the order of the prompts."""
    return list(await asyncio.gather(*(teacher.ask(prompt) for prompt in prompts)))


class LocalTeacher:
    """A model on this machine, one prompt at a time, decoded greedily to its end or to `max_new_tokens`.

    The prompt is one user turn of the model's chat template, if it has one. The engine's own `generate` ends at the first
    newline, which the numbered lines of an extraction do not, so the model is asked directly.
    """

    def __init__(self, engine: TransformersEngine, max_new_tokens: int = 1024) -> None:
        self.engine, self.max_new_tokens = engine, max_new_tokens
        self.name = engine.loaded.name
        self._turn = asyncio.Lock()

    async def ask(self, prompt: str) -> TeacherReply:
        async with self._turn:
            return await asyncio.to_thread(self._ask, prompt)

    def _ask(self, prompt: str) -> TeacherReply:
        started = time.perf_counter()
        try:
            text, read, written, ended = self._generate(prompt)
        except (RuntimeError, ValueError, IndexError, MemoryError) as error:  # what torch raises on long prompts, full memory
            detail = f"{self.name}: {type(error).__name__}: {str(error)[:300]}"
            return TeacherReply(TeacherOutcome.FAILED, detail=detail, seconds=time.perf_counter() - started)
        outcome, detail = TeacherOutcome.OK, ""
        if not ended:
            outcome, detail = TeacherOutcome.CUT_OFF, f"{self.name} did not end within {self.max_new_tokens} tokens"
        elif not text:
            outcome, detail = TeacherOutcome.EMPTY, f"{self.name} wrote nothing"
        return TeacherReply(outcome, text, detail, read, written, 0.0, time.perf_counter() - started)

    def _generate(self, prompt: str) -> tuple[str, int, int, bool]:
        """Text, tokens read, tokens written, and whether the model ended it itself."""
        import torch

        from aag_ray.extract.prompts import chat_ids

        loaded = self.engine.loaded
        tokenizer: Any = loaded.tokenizer
        model: Any = loaded.model
        ids = torch.tensor([chat_ids(tokenizer, prompt)], device=loaded.device)
        context = getattr(model.config, "max_position_embeddings", None)
        if context and ids.shape[1] + self.max_new_tokens > context:
            raise ValueError(f"{ids.shape[1]} prompt tokens and {self.max_new_tokens} new ones exceed the context of {context}")
        with torch.inference_mode():
            output = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=self.max_new_tokens,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
            )
        new = output[0, 1:] if loaded.is_encoder_decoder else output[0, ids.shape[1] :]
        text = tokenizer.decode(new, skip_special_tokens=True).strip()
        return text, ids.shape[1], len(new), len(new) < self.max_new_tokens
