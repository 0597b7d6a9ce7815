"""How many tokens texts have: by a model's own tokenizer, or estimated where no model is at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

CountTokens = Callable[[Sequence[str]], list[int]]
BYTES_PER_TOKEN = 4


def estimated_tokens(texts: Sequence[str]) -> list[int]:
    """About what a subword tokenizer would count: four bytes of UTF-8 a token, so one or so a Chinese character."""
    return [-(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN) for text in texts]


def tokenizer_counter(tokenizer: Any) -> CountTokens:
    """Count with a Hugging Face tokenizer, all texts in one call; special tokens are not the texts' own."""

    def count(texts: Sequence[str]) -> list[int]:
        if not texts:
            return []
        encoded = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    return count
