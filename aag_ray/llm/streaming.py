"""Prompts that come one by one, decoded together, their texts streamed as they are written.

engine = StreamingEngine(loaded)
async for piece in engine.stream(prompt, max_new_tokens=32, adapter=adapter):
    ...
engine.close()

One thread owns the model. It takes what waits, up to `batch` prompts that share their adapters, and decodes them in one forward
pass a token; what comes meanwhile makes the next batch.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from aag_ray.llm.adapters import Adapter, applied, stack
from aag_ray.llm.engine import decoded
from aag_ray.llm.forms import Form, FormConstraint
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.written import StreamPiece, WrittenText

T = TypeVar("T")


class QueueFull(RuntimeError):
    """As many prompts wait as may. The message says how many."""


@dataclass
class _Row:
    """One prompt on its way. `send` hands a piece, or the error that ended it, to the event loop that waits for it."""

    ids: list[int]
    max_new_tokens: int
    adapter: Adapter | None
    shared: tuple[Adapter, ...]
    form: Form | None
    send: Callable[[StreamPiece | BaseException], None]
    written: WrittenText
    done: bool = False

    @property
    def group(self) -> tuple[Any, ...]:
        """Equal for rows that can be decoded together."""
        shapes = (
            tuple((name, a.shape[1:], b.shape[1:]) for name, (a, b) in self.adapter.factors.items()) if self.adapter else None
        )
        return (shapes, tuple(id(each) for each in self.shared))


class StreamingEngine:
    """Greedy decoding up to the first newline. `waiting` prompts may wait for a place in a batch of up to `batch`."""

    def __init__(self, loaded: LoadedModel, batch: int = 16, waiting: int = 64) -> None:
        self.loaded, self.batch, self.waiting = loaded, batch, waiting
        self._rows: deque[_Row] = deque()
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._change = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="decoding", daemon=True)
        self._thread.start()

    async def stream(
        self,
        prompt: str,
        *,
        max_new_tokens: int,
        adapter: Adapter | None = None,
        shared: Sequence[Adapter] = (),
        form: Form | None = None,
    ) -> AsyncGenerator[StreamPiece, None]:
        """The text's pieces, each of a token or, where nobody was there to take them, of all since the last. `adapter` holds
        one example. Closing the generator ends the row within a token.

        With a `form` the text is of it, or a beginning of one where `max_new_tokens` ends it.

        Raises QueueFull before anything is decoded, RuntimeError after `close`, and what the model raises.
        """
        tokenizer: Any = self.loaded.tokenizer
        loop, pieces = asyncio.get_running_loop(), asyncio.Queue[StreamPiece | BaseException]()

        def send(piece: StreamPiece | BaseException) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(pieces.put_nowait, piece)

        ids = tokenizer(prompt)["input_ids"]
        written = WrittenText(tokenizer, len(ids), max_new_tokens)
        row = _Row(ids, max_new_tokens, adapter, tuple(shared), form, send, written)
        with self._change:
            if self._closed:
                raise RuntimeError("the engine is closed")
            if len(self._rows) >= self.waiting:
                raise QueueFull(f"{len(self._rows)} prompts are waiting, the most there may be")
            self._rows.append(row)
            self._change.notify()
        try:
            while True:
                piece = await pieces.get()
                if isinstance(piece, BaseException):
                    raise piece
                while not pieces.empty():  # what came while the last piece was on its way goes out in one
                    following = pieces.get_nowait()
                    if isinstance(following, BaseException):
                        pieces.put_nowait(following)
                        break
                    piece = replace(following, text=piece.text + following.text)
                yield piece
                if piece.end:
                    return
        finally:
            row.done = True

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` between two batches, in the thread that owns the model."""
        future: Future[T] = Future()
        with self._change:
            if self._closed:
                raise RuntimeError("the engine is closed")
            self._calls.append((function, future))
            self._change.notify()
        return await asyncio.wrap_future(future)

    async def check(self) -> None:
        """Raises RuntimeError if nothing decodes any more."""
        if self._closed or not self._thread.is_alive():
            raise RuntimeError("the engine is closed" if self._closed else "the thread that decodes has ended")

    def close(self) -> None:
        """End the thread after the batch it is at. What still waits fails."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()
        for row in self._rows:
            row.send(RuntimeError("the engine is closed"))
        for _, future in self._calls:
            future.cancel()

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._closed or self._rows or self._calls)
                if self._closed:
                    return
                calls, self._calls = list(self._calls), deque()
                rows = self._next_batch()
            for function, future in calls:
                _settle(function, future)
            if rows:
                try:
                    self._decode(rows)
                except Exception as error:  # every row's caller gets it; the engine goes on with the next batch
                    for row in rows:
                        row.send(error)

    def _next_batch(self) -> list[_Row]:
        """The row that waits longest, and those behind it that fit into its batch; rows nobody waits for are dropped."""
        waiting = [row for row in self._rows if not row.done]
        chosen = [row for row in waiting if row.group == waiting[0].group][: self.batch] if waiting else []
        self._rows = deque(row for row in waiting if not any(row is each for each in chosen))
        return chosen

    def _decode(self, rows: list[_Row]) -> None:
        adapters = [row.adapter for row in rows if row.adapter is not None]
        stopping, held, chances = StoppingCriteriaList([_RowsDone(rows)]), LogitsProcessorList(), _Chances()
        if any(row.form is not None for row in rows):
            held.append(FormConstraint(self.loaded.tokenizer, [row.form for row in rows], rows[0].written.ends))
        held.append(chances)
        with applied(self.loaded.model, *rows[0].shared, stack(adapters) if adapters else None):
            most = max(row.max_new_tokens for row in rows)
            options = {"streamer": _Writer(rows, chances), "stopping_criteria": stopping, "logits_processor": held}
            decoded(self.loaded, [row.ids for row in rows], most, **options)


class _Chances(LogitsProcessor):
    """Remembers how likely the token is that greedy decoding takes next, for each row."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override]
        self.taken = scores.float().log_softmax(-1).amax(-1).tolist()
        return scores


class _Writer(BaseStreamer):
    """Gives each row's caller its text as tokens come."""

    def __init__(self, rows: list[_Row], chances: _Chances) -> None:
        self.rows, self.chances = rows, chances
        self.prompt = True

    def put(self, value: Tensor) -> None:
        if self.prompt:
            self.prompt = False
            return
        for row, token, chance in zip(self.rows, value.view(-1).tolist(), self.chances.taken, strict=True):
            if not row.done and (piece := row.written.add(token, chance)):
                row.send(piece)
                row.done = row.done or bool(piece.end)

    def end(self) -> None:
        """Every row has had its own end."""


class _RowsDone(StoppingCriteria):
    """Ends rows that are written, or that nobody waits for any more."""

    def __init__(self, rows: list[_Row]) -> None:
        self.rows = rows

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        return torch.tensor([row.done for row in self.rows], device=input_ids.device)


def _settle(function: Callable[[], Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error)
