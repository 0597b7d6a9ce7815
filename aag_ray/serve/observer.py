"""What a gateway tells whoever wants to know."""

from __future__ import annotations

from aag_ray.answer.answer import Answer


class Observer:
    """Hears of every request. This one does not listen."""

    def answered(self, answer: Answer, client: str) -> None:
        """A request that was let in has ended, in whatever way; `client` is the name of its key's owner."""

    def refused(self, status: int) -> None:
        """A request ended with a status that is an error."""

    def loaded(self, in_flight: int, waiting: int) -> None:
        """So many requests are now being answered, and so many wait for a place."""
