"""The outputs an extractor may write for one page window, character by character: tags of this window, groups, ranges, None.

The language is that of `aag_ray.pages.tag_output.parse_strict`, without leading zeros, with numbers of the window only, and
with ranges that ascend over at most MAX_RANGE spans. So every complete output names spans of this window and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from aag_ray.pages.tag_output import HEADER, MAX_RANGE

NONE = "None"
ALPHABET = frozenset(f"{HEADER}{NONE} []<T->~,0123456789")
Phase = Literal["body", "group", "item", "number", "after_tag", "tilde", "range", "after_item", "after_group", "end"]


class State(NamedTuple):
    """What may come next. `literal` must be written first; `space` may be, once.

    Of a number, `digits` are written already; `start` is the first number of the range that it ends, 0 if it is no range's end.
    """

    phase: Phase
    literal: str = ""
    space: bool = False
    start: int = 0
    digits: str = ""


END = State("end")


@dataclass(frozen=True, slots=True)
class TagGrammar:
    """The outputs for spans `first` to `last`; only None where `last` is below `first`. `header`: with it, or what follows it.

    Raises ValueError for a `first` below 1.
    """

    first: int
    last: int
    header: bool = True

    def __post_init__(self) -> None:
        if self.first < 1:
            raise ValueError(f"first={self.first}: spans count from 1")

    @property
    def start(self) -> State:
        return State("body", HEADER if self.header else "", space=True)

    def options(self, state: State) -> dict[str, State]:
        """Every character that may come next, with what follows it. Empty at the end only."""
        if state.literal:
            return {state.literal[0]: state._replace(literal=state.literal[1:])}
        options = {" ": state._replace(space=False)} if state.space else {}
        match state.phase:
            case "body":
                options["N"] = State("end", NONE[1:])
                if self.first <= self.last:
                    options["["] = State("group")
            case "group":
                options["["] = State("item")
            case "item":
                options["<"] = State("number", "T-")
            case "number":
                options |= self._digits(state)
            case "after_tag":
                options |= {",": State("item", space=True), "]": State("after_group")}
                if state.start < self.last:
                    options |= {" ": State("tilde", start=state.start), "~": State("range", space=True, start=state.start)}
            case "tilde":
                options["~"] = State("range", space=True, start=state.start)
            case "range":
                options["<"] = State("number", "T-", start=state.start)
            case "after_item":
                options |= {",": State("item", space=True), "]": State("after_group")}
            case "after_group":
                options |= {",": State("group", space=True), "]": END}
        return options

    def walk(self, text: str, state: State | None = None) -> State | None:
        """Where `text` leads, from the start or from `state`; None if it may not be written."""
        here: State | None = state or self.start
        for character in text:
            if here is None:
                return None
            here = self.options(here).get(character)
        return here

    def accepts(self, text: str) -> bool:
        """Whether `text` is a whole output."""
        return self.walk(text) == END

    def distance(self, state: State) -> int:
        """Characters of the shortest way to a whole output."""
        tag, close = len("<T-") + len(">"), len("]]")
        item = len(str(self.first)) + tag + close
        end_of_range = len(str(state.start + 1)) + tag + close
        rest = {
            "body": len(NONE),
            "group": len("[") + item,
            "item": item,
            "number": self._missing(state) + len(">") + close,
            "after_tag": close,
            "tilde": len("~") + end_of_range,
            "range": end_of_range,
            "after_item": close,
            "after_group": len("]"),
            "end": 0,
        }
        return len(state.literal) + rest[state.phase]

    def _bounds(self, state: State) -> tuple[int, int]:
        if not state.start:
            return self.first, self.last
        return state.start + 1, min(self.last, state.start + MAX_RANGE - 1)

    def _digits(self, state: State) -> dict[str, State]:
        low, high = self._bounds(state)
        options = {
            digit: state._replace(digits=state.digits + digit)
            for digit in "0123456789"
            if _shortest(state.digits + digit, low, high) is not None
        }
        if state.digits and low <= int(state.digits) <= high:
            options[">"] = State("after_item") if state.start else State("after_tag", start=int(state.digits))
        return options

    def _missing(self, state: State) -> int:
        missing = _shortest(state.digits, *self._bounds(state))
        assert missing is not None, f"{state} cannot be reached"
        return missing


@lru_cache(maxsize=100_000)
def _shortest(digits: str, low: int, high: int) -> int | None:
    """How many digits more make a number from `low` to `high` at least; None if none does. Numbers begin with no zero."""
    if digits.startswith("0"):
        return None
    if not digits:
        return len(str(low))
    smallest = largest = int(digits)
    for more in range(len(str(high)) - len(digits) + 1):
        if largest >= low and smallest <= high:
            return more
        smallest, largest = smallest * 10, largest * 10 + 9
    return None


def regex_for(first: int, last: int, *, header: bool = True) -> str:
    """The same language as a regular expression, as vLLM's structured outputs take it (guided regex).

    It has no look-around and no back-references. Because ranges ascend, it names every span: some 60 to 250 characters a span.
    """
    items = [
        f"{number}>(?: ?~ ?<T-(?:{numbers_regex(number + 1, upto)})>)?" if (upto := min(last, number + MAX_RANGE - 1)) > number
        else f"{number}>"
        for number in range(first, last + 1)
    ]  # fmt: skip
    lead = f"{HEADER} ?" if header else " ?"
    if not items:
        return f"{lead}{NONE}"
    item = f"<T-(?:{'|'.join(items)})"
    group = rf"\[{item}(?:, ?{item})*\]"
    return rf"{lead}(?:{NONE}|\[{group}(?:, ?{group})*\])"


def numbers_regex(low: int, high: int) -> str:
    """The decimal numbers from `low` (at least 1) to `high`, as alternatives."""
    return "|".join(_blocks(low, high))


def _blocks(low: int, high: int) -> Iterator[str]:
    """The range cut into blocks in which the last digits are free and the one before them runs from one digit to another."""
    while low <= high:
        size = 1
        while low % (size * 10) == 0 and low + size * 10 - 1 <= high:
            size *= 10
        digit = low // size % 10
        upto = min(9, digit + (high - low + 1) // size - 1)
        head = str(low // size)[:-1]
        yield f"{head}{digit if upto == digit else f'[{digit}-{upto}]'}{'[0-9]' * (len(str(size)) - 1)}"
        low += (upto - digit + 1) * size
