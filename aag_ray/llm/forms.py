"""Forms that a text is held to while it is decoded: the likeliest token is taken with which it may still come to one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import regex
import torch
from torch import Tensor
from transformers import LogitsProcessor


class Form(Protocol):
    """What a text of one line may be. Every beginning of an allowed text can be gone on with."""

    def allow(self, text: str, *, ended: bool) -> bool:
        """Whether `text` is of this form or, unless it has `ended`, the beginning of one that is."""
        ...

    @property
    def expression(self) -> str:
        """The same as a regular expression, for engines that decode by one."""
        ...


class Expression:
    """The texts that a regular expression matches from end to end. Raises ValueError for what is none."""

    def __init__(self, expression: str) -> None:
        try:
            self._pattern = regex.compile(expression)
        except regex.error as error:
            raise ValueError(f"{expression!r} is no regular expression: {error}") from error

    def allow(self, text: str, *, ended: bool) -> bool:
        return self._pattern.fullmatch(text, partial=not ended) is not None

    @property
    def expression(self) -> str:
        return self._pattern.pattern


class FormConstraint(LogitsProcessor):
    """For one call of greedy `generate`: row r is held to `forms[r]`, None to nothing. `ends` are tokens that end a text.

    Other special tokens are no text, and would bring one no further.
    """

    def __init__(self, tokenizer: Any, forms: Sequence[Form | None], ends: Iterable[int]) -> None:
        self.tokenizer, self.forms, self.ends = tokenizer, list(forms), frozenset(ends)
        self._never = frozenset(tokenizer.all_special_ids) - self.ends
        self._prompt: int | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override]
        if self._prompt is None:
            self._prompt = input_ids.shape[1]
        for row, form in enumerate(self.forms):
            if form is not None:
                token = self._best(form, input_ids[row, self._prompt :].tolist(), scores[row])
                own = scores[row, token].clone()
                scores[row] = torch.finfo(scores.dtype).min
                scores[row, token] = own
        return scores

    def _best(self, form: Form, written: list[int], scores: Tensor) -> int:
        """The likeliest token that the form allows; the likeliest of all for a row that has ended and is only padded."""
        likeliest = int(scores.argmax())
        if self._allowed(form, written, likeliest) or not self.ends.isdisjoint(written):
            return likeliest
        order = scores.argsort(descending=True).tolist()
        return next((token for token in order if self._allowed(form, written, token)), likeliest)

    def _allowed(self, form: Form, written: list[int], token: int) -> bool:
        if token in self._never:
            return False
        text = self.tokenizer.decode([*written, token], skip_special_tokens=True)
        return form.allow(text.split("\n")[0], ended=token in self.ends)
