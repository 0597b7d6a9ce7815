"""The grammar of tags in the tokens of any Hugging Face tokenizer, as a constraint on what a model may write next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor

from aag_ray.extract.grammar import ALPHABET, END, State, TagGrammar

_CACHED_STATES = 8192
# No state is further from the end of an output: header, three brackets, a range of two long numbers.
_FAR = 96


class TokenMasks:
    """Which tokens may come next, and where each of them leads. Build it once for a tokenizer: it reads the vocabulary.

    Raises ValueError if the tokenizer has no token of its own for a character of the grammar: outputs could then get stuck.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.end_token: int = tokenizer.eos_token_id
        self.pieces = token_pieces(tokenizer)
        if missing := sorted(ALPHABET - set(self.pieces.values())):
            raise ValueError(f"{type(tokenizer).__name__} has no token for {', '.join(map(repr, missing))}, so it cannot tag")
        self._trie: dict[str, Any] = {}
        for token, piece in self.pieces.items():
            node = self._trie
            for character in piece:
                node = node.setdefault(character, {})
            node.setdefault("", []).append(token)
        self._following: dict[tuple[TagGrammar, State], dict[int, State]] = {}

    def following(self, grammar: TagGrammar, state: State) -> dict[int, State]:
        """Every token that may be written in `state` and the state after it; none at the end."""
        key = grammar, state
        if key not in self._following:
            if len(self._following) >= _CACHED_STATES:
                self._following.clear()
            self._following[key] = self._walked(grammar, state)
        return self._following[key]

    def allowed(self, grammar: TagGrammar, state: State, left: int) -> list[int]:
        """Tokens after which an output can still be completed, with `left` tokens from this one on; at the end the end token.

        There is always one if `grammar.distance` of the start was at most the number of tokens there.
        """
        if state == END:
            return [self.end_token]
        following = self.following(grammar, state)
        if left > _FAR:
            return list(following)
        return [token for token, after in following.items() if grammar.distance(after) < left]

    def state(self, grammar: TagGrammar, tokens: Sequence[int]) -> State:
        """Where tokens from the start lead. What follows an output, or could not be written at all, is at the end."""
        state = grammar.start
        for token in tokens:
            state = self.following(grammar, state).get(token, END)
            if state == END:
                break
        return state

    def text(self, tokens: Sequence[int]) -> str:
        """What tokens say in the grammar's own characters; the end token and padding say nothing."""
        return "".join(self.pieces.get(token, "") for token in tokens)

    def _walked(self, grammar: TagGrammar, state: State) -> dict[int, State]:
        found: dict[int, State] = {}
        waiting = [(state, self._trie)]
        while waiting:
            here, node = waiting.pop()
            for character, after in grammar.options(here).items():
                below = node.get(character)
                if below is not None:
                    found.update(dict.fromkeys(below.get("", ()), after))
                    waiting.append((after, below))
        return found


def token_pieces(tokenizer: Any) -> dict[int, str]:
    """What each token adds to a text, for tokens made of the grammar's characters only; no special tokens.

    Each is decoded after another token, because some tokenizers drop a space at the start of a text.
    """
    anchor = tokenizer("a", add_special_tokens=False)["input_ids"][-1]
    lead = tokenizer.decode([anchor], clean_up_tokenization_spaces=False)
    tokens = sorted(set(range(len(tokenizer))) - set(tokenizer.all_special_ids))
    texts = tokenizer.batch_decode([[anchor, token] for token in tokens], clean_up_tokenization_spaces=False)
    pieces = {token: text.removeprefix(lead) for token, text in zip(tokens, texts, strict=True) if text.startswith(lead)}
    return {token: piece for token, piece in pieces.items() if piece and ALPHABET.issuperset(piece)}


class TagConstraint(LogitsProcessor):
    """For one call of `generate`: row r writes in the grammar of its own page; beams of a row follow each other.

    Every output is whole after `max_new_tokens` at most. Raises ValueError if that is too few for any output.
    """

    def __init__(self, masks: TokenMasks, grammars: Sequence[TagGrammar], max_new_tokens: int) -> None:
        least = max((grammar.distance(grammar.start) for grammar in grammars), default=0)
        if max_new_tokens < least:
            raise ValueError(f"max_new_tokens={max_new_tokens} is too few for an output; at least {least} are needed")
        self.masks, self.grammars, self.max_new_tokens = masks, list(grammars), max_new_tokens
        self._prompt: int | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override]
        if self._prompt is None:
            self._prompt = input_ids.shape[1]
        rows = input_ids[:, self._prompt :].tolist()
        left = self.max_new_tokens - (input_ids.shape[1] - self._prompt)
        beams = len(rows) // len(self.grammars)
        constrained = torch.full_like(scores, float("-inf"))
        for row, written in enumerate(rows):
            grammar = self.grammars[row // beams]
            tokens = self.masks.allowed(grammar, self.masks.state(grammar, written), left)
            # a model that computes no number must not open the way to other tokens
            constrained[row, tokens] = scores[row, tokens].nan_to_num(0.0, neginf=torch.finfo(scores.dtype).min)
        return constrained
