"""Greedy answers of one line, or of as many as the model writes, in batches bounded by the tokens they read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aag_ray.llm.engine import Generation, TransformersEngine
from aag_ray.llm.load import LoadedModel


def write(loaded: LoadedModel, prompts: Sequence[str], most: int, batch_tokens: int, *, lines: bool) -> list[Generation]:
    """One text per prompt, in order, of up to `most` tokens. A prompt longer than `batch_tokens` is read alone."""
    tokenizer: Any = loaded.tokenizer
    longest = max((len(tokenizer(prompt, verbose=False)["input_ids"]) for prompt in prompts), default=1)
    engine = TransformersEngine(loaded, max(1, batch_tokens // longest))
    return engine.generate(prompts, max_new_tokens=most, lines=lines)
