"""Numbers that stand in sources: a text held to them states no other, and none cut short.

A small model that reads "9,043 thousand" may write "9 thousand". Held to its sources it goes on to the end of the number.
"""

from __future__ import annotations

from collections.abc import Iterable

import regex

NUMBER = regex.compile(r"[0-9]+(?:[.,][0-9]+)*")
_UNFINISHED = regex.compile(r"[0-9]+(?:[.,][0-9]+)*[.,]?\Z")


class SourceNumbers:
    """A form of texts (`aag_ray.llm.forms`): the numbers of some texts, as they are written there."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.numbers = frozenset(number for text in texts for number in NUMBER.findall(text))
        self._begun = frozenset(number[:length] for number in self.numbers for length in range(1, len(number) + 1))

    def allow(self, text: str, *, ended: bool) -> bool:
        """Whether all numbers of `text` are of these, the one it breaks off in (unless it has `ended`) a beginning of one."""
        last = None if ended else _UNFINISHED.search(text)
        whole = NUMBER.findall(text[: last.start()] if last else text)
        if not self.numbers.issuperset(whole):
            return False
        return last is None or last[0] in self._begun or (not last[0][-1].isdigit() and last[0][:-1] in self.numbers)

    @property
    def expression(self) -> str:
        """A regular expression for texts of these numbers and no others, for engines that decode by one."""
        if not self.numbers:
            return "[^0-9]*"
        one = f"(?:{'|'.join(regex.escape(number) for number in sorted(self.numbers))})"
        # a single point or comma between digits would make one number of two
        return f"[^0-9]*(?:{one}(?:(?:[^0-9.,][^0-9]*|[.,][^0-9]+){one})*[^0-9]*)?"
