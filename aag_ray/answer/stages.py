"""How long each stage of a request took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stages:
    """Seconds by stage, and the moments at which something was first seen, counted from the request's start."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.began = clock()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Time a block, also one that fails; a stage that is entered again adds up."""
        began = self.clock()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + self.clock() - began

    def first(self, moment: str) -> None:
        """Note when something happened for the first time."""
        self.seconds.setdefault(moment, self.clock() - self.began)

    def ended(self) -> dict[str, float]:
        """All of them, rounded to a tenth of a millisecond, with the total."""
        return {name: round(value, 4) for name, value in self.seconds.items()} | {"total": round(self.clock() - self.began, 4)}
