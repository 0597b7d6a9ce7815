"""Many jobs that each ask a model one thing at a time, answered together: sequential code becomes batched code unchanged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")
T = TypeVar("T")


class _Parked(Generic[Q, A]):
    """A job's question and, once it is there, its answer (or the exception that answering raised)."""

    __slots__ = ("answer", "answered", "is_answered", "question")

    def __init__(self, question: Q, turn: threading.Lock) -> None:
        self.question = question
        self.answered = threading.Condition(turn)
        self.answer: A | BaseException | None = None
        self.is_answered = False


class Lockstep(Generic[Q, A]):
    """Runs jobs until all of them have asked or ended, answers every question in one call, and goes on.

    Every job has a thread, but one lock lets only one of them (or the answering) run at any moment, so jobs may share
    what is not thread-safe. `answer` runs in the thread that called `run`; it returns one answer for each question,
    where an exception as an answer is raised inside the job that asked.
    """

    def __init__(self, answer: Callable[[list[Q]], Sequence[A | BaseException]]) -> None:
        self._answer = answer
        self._turn = threading.Lock()
        self._all_parked = threading.Condition(self._turn)
        self._parked: list[_Parked[Q, A]] = []
        self._running = 0

    def ask(self, question: Q) -> A:
        """Called inside a job: park it until the answer is there. Raises what answering this question raised."""
        mine: _Parked[Q, A] = _Parked(question, self._turn)
        self._parked.append(mine)
        self._pause()
        mine.answered.wait_for(lambda: mine.is_answered)
        if isinstance(mine.answer, BaseException):
            raise mine.answer
        return mine.answer  # type: ignore[return-value]  # an answer that is no exception is an A

    def _pause(self) -> None:
        self._running -= 1
        if self._running == 0:
            self._all_parked.notify()

    def run(self, jobs: Sequence[Callable[[], T]]) -> list[T | Exception]:
        """Each job's result, or the exception it ended with, in the order of `jobs`."""
        results: list[Any] = [None] * len(jobs)
        stopped: BaseException | None = None

        def work(index: int, job: Callable[[], T]) -> None:
            with self._turn:
                try:
                    results[index] = job()
                except BaseException as error:
                    results[index] = error
                self._pause()

        with self._turn:
            self._running = len(jobs)
            for index, job in enumerate(jobs):
                threading.Thread(target=work, args=(index, job), daemon=True).start()
            while self._all_parked.wait_for(lambda: self._running == 0) and self._parked:
                asked, self._parked = self._parked, []
                try:
                    answers = self._answer([parked.question for parked in asked])
                except Exception as error:
                    answers = [error] * len(asked)
                except BaseException as error:
                    # An interrupt: end the jobs too, so that no thread stays parked, then pass it on.
                    stopped, answers = error, [error] * len(asked)
                self._running = len(asked)
                for parked, parked.answer in zip(asked, answers, strict=True):
                    parked.is_answered = True
                    parked.answered.notify()
        if stopped is not None:
            raise stopped
        return results
