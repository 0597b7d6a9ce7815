"""Jobs in lockstep: asked one at a time, answered together, failing alone."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from aag_ray.awaken.lockstep import Lockstep


def test_questions_of_all_jobs_are_answered_in_one_call():
    calls: list[list[int]] = []

    def double(asked: list[int]) -> list[int]:
        calls.append(sorted(asked))
        return [2 * number for number in asked]

    lockstep: Lockstep[int, int] = Lockstep(double)

    def asking(number: int, times: int) -> Callable[[], list[int]]:
        return lambda: [lockstep.ask(number) for _ in range(times)]

    assert lockstep.run([asking(1, 1), asking(2, 3), asking(3, 2)]) == [[2], [4, 4, 4], [6, 6]]
    assert calls == [[1, 2, 3], [2, 3], [2]]


def test_a_job_that_fails_or_whose_question_fails_ends_alone():
    lockstep: Lockstep[int, int] = Lockstep(lambda asked: [ValueError("no zero") if n == 0 else n for n in asked])

    def broken() -> int:
        raise KeyError("broken")

    fine, refused, failed = lockstep.run([lambda: lockstep.ask(7), lambda: lockstep.ask(0), broken])
    assert fine == 7
    assert isinstance(refused, ValueError)
    assert isinstance(failed, KeyError)


def test_a_failing_answer_reaches_every_job_that_asked_and_the_next_run_works():
    answers = iter([RuntimeError("out of memory"), [1]])

    def answer(asked: list[int]) -> list[int]:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    lockstep: Lockstep[int, int] = Lockstep(answer)
    assert all(isinstance(end, RuntimeError) for end in lockstep.run([lambda: lockstep.ask(0)] * 3))
    assert lockstep.run([lambda: lockstep.ask(0)]) == [1]


def test_an_interrupt_ends_every_job_and_is_passed_on():
    def interrupted(asked: list[int]) -> list[int]:
        raise KeyboardInterrupt

    before = threading.active_count()
    lockstep: Lockstep[int, int] = Lockstep(interrupted)
    with pytest.raises(KeyboardInterrupt):
        lockstep.run([lambda: lockstep.ask(0)] * 4)
    assert threading.active_count() <= before + 4


def test_no_jobs_give_no_results():
    assert Lockstep(lambda asked: asked).run([]) == []
