"""Requests to an extractor that come one by one, read together: one thread works, and for nobody who has left.

queue = ExtractionQueue(extractor)
extraction = queue.submit(question, pages).result()
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from aag_ray.extract.evidence import Extraction, Extractor, TaggedPage
from aag_ray.extract.select import PageScores


class QueueFull(RuntimeError):
    """As many requests wait as may. The message says how many."""


class Left(BaseException):
    """Nobody waits for a request any more. Not an Exception: no extractor may take it for a failure of its model."""


@runtime_checkable
class ReadsWindows(Protocol):
    """An extractor whose model reads windows, those of several requests at once, up to `batch` of them."""

    @property
    def batch(self) -> int: ...

    def windows(self, question: str, pages: Sequence[TaggedPage]) -> Sequence[Any]: ...

    def read(self, windows: Sequence[Any]) -> Sequence[Any]:
        """What the model says of each window."""
        ...

    def scored(self, pages: Sequence[TaggedPage], windows: Sequence[Any], said: Sequence[Any]) -> list[PageScores]: ...

    def extraction(self, pages: Sequence[TaggedPage], score: Callable[[], list[PageScores]]) -> Extraction: ...


@dataclass(eq=False)
class _Request:
    """`windows` are those to be read, of which the first have been `said` something about. `future` waits for the result."""

    question: str
    pages: Sequence[TaggedPage]
    future: Future[Extraction] = field(default_factory=Future)
    windows: Sequence[Any] = ()
    said: list[Any] = field(default_factory=list)
    began: float = 0.0

    @property
    def left(self) -> bool:
        return self.future.cancelled()

    def end(self, extract: Callable[[], Extraction]) -> None:
        """Give the caller what `extract` returns or raises, unless the caller goes meanwhile."""
        try:
            extraction = replace(extract(), seconds=time.perf_counter() - self.began)
        except Left:
            return
        except BaseException as error:  # the caller's
            if self.future.set_running_or_notify_cancel():
                self.future.set_exception(error)
            return
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(extraction)


class ExtractionQueue:
    """Requests end in the order they came. Up to `waiting` may wait while others are read.

    Where the extractor reads windows, a batch that one request does not fill is filled with the next one's. A cancelled future
    ends its request before the model's next batch, or next token where it writes.
    """

    def __init__(self, extractor: Extractor, waiting: int = 16) -> None:
        self.extractor, self.waiting = extractor, waiting
        self._requests: deque[_Request] = deque()
        self._change = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="extracting")

    def submit(self, question: str, pages: Sequence[TaggedPage]) -> Future[Extraction]:
        """What `extract` of the extractor returns or raises, once it is done. Raises QueueFull."""
        request = _Request(question, pages)
        with self._change:
            self._requests = deque(each for each in self._requests if not each.left)
            if len(self._requests) >= self.waiting:
                raise QueueFull(f"{len(self._requests)} requests for evidence are waiting, the most there may be")
            self._requests.append(request)
        self._thread.submit(self._work)
        return request.future

    def _work(self) -> None:
        """Until nothing waits. What comes after that has a call of its own."""
        if isinstance(self.extractor, ReadsWindows):
            reading: deque[_Request] = deque()
            while self._fill(reading, self.extractor):
                self._read(reading, self.extractor)
        else:
            while (request := self._next()) is not None:
                self._alone(request)

    def _next(self) -> _Request | None:
        with self._change:
            while self._requests:
                if not (request := self._requests.popleft()).left:
                    request.began = time.perf_counter()
                    return request
        return None

    def _fill(self, reading: deque[_Request], extractor: ReadsWindows) -> bool:
        """Have at least a batch of windows `reading` if so many wait. False if there is nothing to read."""
        for request in [each for each in reading if each.left]:
            reading.remove(request)
        while sum(len(each.windows) - len(each.said) for each in reading) < extractor.batch:
            if (request := self._next()) is None:
                break
            try:
                request.windows = extractor.windows(request.question, request.pages)
            except Exception:
                self._alone(request)  # where it is an outcome, or the caller's error
            else:
                reading.append(request)
        return bool(reading)

    def _read(self, reading: deque[_Request], extractor: ReadsWindows) -> None:
        """One batch, in the order of the requests, and the end of those that it completes."""
        rows = [(each, window) for each in reading for window in each.windows[len(each.said) :]][: extractor.batch]
        try:
            said = extractor.read([window for _, window in rows])
        except Exception:  # too much for the model's memory, or one request's fault: alone each has its own outcome
            for request in dict.fromkeys(request for request, _ in rows):
                reading.remove(request)
                self._alone(request)
            return
        for (request, _), each in zip(rows, said, strict=True):
            request.said.append(each)
        while reading and len(reading[0].said) == len(reading[0].windows):
            done = reading.popleft()

            def scores(done: _Request = done) -> list[PageScores]:
                return extractor.scored(done.pages, done.windows, done.said)

            done.end(lambda done=done, scores=scores: extractor.extraction(done.pages, scores))

    def _alone(self, request: _Request) -> None:
        with _watched(getattr(self.extractor, "model", None), lambda: request.left):
            request.end(lambda: self.extractor.extract(request.question, request.pages))


@contextmanager
def _watched(model: Any, left: Callable[[], bool]) -> Iterator[None]:
    """Raise Left from the next forward pass of `model`, a torch module or None, once `left` says so."""

    def check(*_: Any) -> None:
        if left():
            raise Left

    hook = model.register_forward_pre_hook(check) if model is not None else None
    try:
        yield
    finally:
        if hook is not None:
            hook.remove()
