"""Numbers that stand in sources: a text held to them states no other, and none cut short.

A small model that reads "9,043 thousand" may write "9 thousand". Held to its sources it goes on to the end of the number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import regex
import torch
from torch import Tensor
from transformers import LogitsProcessor

NUMBER = regex.compile(r"[0-9]+(?:[.,][0-9]+)*")
_UNFINISHED = regex.compile(r"[0-9]+(?:[.,][0-9]+)*[.,]?\Z")


class SourceNumbers:
    """The numbers of some texts, as they are written there."""

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


class NumbersConstraint(LogitsProcessor):
    """For one call of greedy `generate`: row r is held to `sources[r]`, None to nothing. `ends` are tokens that end a text."""

    def __init__(self, tokenizer: Any, sources: Sequence[SourceNumbers | None], ends: Iterable[int]) -> None:
        self.tokenizer, self.sources, self.ends = tokenizer, list(sources), frozenset(ends)
        self._prompt: int | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override]
        if self._prompt is None:
            self._prompt = input_ids.shape[1]
        for row, source in enumerate(self.sources):
            if source is not None:
                token = self._best(source, input_ids[row, self._prompt :].tolist(), scores[row])
                own = scores[row, token].clone()
                scores[row] = torch.finfo(scores.dtype).min
                scores[row, token] = own
        return scores

    def _best(self, source: SourceNumbers, written: list[int], scores: Tensor) -> int:
        """The likeliest token that the source allows. There is one: a number that has begun can be gone on with."""
        likeliest = int(scores.argmax())
        if self._allowed(source, written, likeliest):
            return likeliest
        order = scores.argsort(descending=True).tolist()
        return next((token for token in order if self._allowed(source, written, token)), likeliest)

    def _allowed(self, source: SourceNumbers, written: list[int], token: int) -> bool:
        text = self.tokenizer.decode([*written, token], skip_special_tokens=True)
        return source.allow(text.split("\n")[0], ended=token in self.ends)
