"""A text while its tokens come: what of it can be shown, and when it ends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from aag_ray.llm.engine import newline_tokens


@dataclass(frozen=True, slots=True)
class StreamPiece:
    """The next characters of a text. The last piece has `end` set: "stop" or, at `max_new_tokens`, "length".

    `likelihood` is the geometric mean of the probabilities of the text's tokens so far, without the one that stops it; 0 where
    there is none.
    """

    text: str
    new_tokens: int
    prompt_tokens: int = 0
    end: str = ""
    likelihood: float = 0.0


class WrittenText:
    """The text of one prompt, up to its first newline, the end token, or `max_new_tokens`."""

    def __init__(self, tokenizer: Any, prompt_tokens: int, max_new_tokens: int) -> None:
        self.tokenizer, self.prompt_tokens, self.max_new_tokens = tokenizer, prompt_tokens, max_new_tokens
        self.ends = {*newline_tokens(tokenizer), tokenizer.eos_token_id}
        self.tokens: list[int] = []
        self.shown = 0
        self.log_probability = 0.0

    def add(self, token: int, log_probability: float, *, last: bool = False) -> StreamPiece | None:
        """The characters that this token completes, if any, shown up to the last whole one. Nothing follows the `last`."""
        self.tokens.append(token)
        if token not in self.ends:
            self.log_probability += log_probability
        text = self.tokenizer.decode(self.tokens, skip_special_tokens=True)
        end = "stop" if token in self.ends else "length" if last or len(self.tokens) >= self.max_new_tokens else ""
        if end:
            text = text.split("\n")[0]
        elif text.endswith("\ufffd") or len(text) <= self.shown:  # a character whose bytes are not all there, or none at all
            return None
        counted = len(self.tokens) - (token in self.ends)
        likelihood = math.exp(self.log_probability / counted) if counted else 0.0
        piece = StreamPiece(text[self.shown :], len(self.tokens), self.prompt_tokens, end, likelihood)
        self.shown = max(self.shown, len(text))
        return piece
