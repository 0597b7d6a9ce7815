"""What is left of a request's budget, and what was given up to stay within it, in a declared order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from aag_ray.answer.request import Budget


class Degradation(StrEnum):
    """What is given up when a budget is short, in this order: wording, breadth, depth, comparison, web, the answer's end."""

    RAW_QUESTION = "raw_question"
    FEWER_QUERIES = "fewer_queries"
    FEWER_PAGES = "fewer_pages"
    LESS_EVIDENCE = "less_evidence"
    NO_COMPARISON = "no_comparison"
    MEMORY_ONLY = "memory_only"
    SHORT_ANSWER = "short_answer"


@dataclass(frozen=True, slots=True)
class GivenUp:
    """One step of degradation, and what it meant for this request."""

    step: Degradation
    detail: str


class Allowance:
    """A budget that runs down from the moment it is made. `clock` counts seconds."""

    def __init__(self, budget: Budget, web_share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget = budget
        self.clock = clock
        self.began = clock()
        self.web_seconds = budget.seconds * web_share

    @property
    def spent(self) -> float:
        return self.clock() - self.began

    @property
    def left(self) -> float:
        """Seconds of the whole request, never below 0."""
        return max(0.0, self.budget.seconds - self.spent)

    @property
    def left_for_web(self) -> float:
        """Seconds until reading must begin, never below 0."""
        return max(0.0, self.web_seconds - self.spent)
