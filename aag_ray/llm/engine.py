"""Batched generation with the transformers library: many prompts, a different adapter for each of them if wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from aag_ray.llm.adapters import Adapter, AdapterError, applied
from aag_ray.llm.load import LoadedModel

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model wrote for one prompt: the text up to its stop, and the tokens read and written."""

    text: str
    prompt_tokens: int
    new_tokens: int


class TransformersEngine:
    """Greedy or beam decoding, in batches of prompts of similar length."""

    def __init__(self, loaded: LoadedModel, batch: int = 32) -> None:
        self.loaded, self.batch = loaded, batch

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_new_tokens: int,
        adapter: Adapter | None = None,
        shared: Sequence[Adapter] = (),
        beams: int = 1,
        lines: bool = False,
    ) -> list[Generation]:
        """One text per prompt, in the order given: its first line, or all `lines` without the empty ones around them.

        `adapter` has one example per prompt, or one for all; `shared` go to all.
        Raises AdapterError if there are not as many adapters as prompts.
        """
        if adapter is not None and adapter.examples not in (1, len(prompts)):
            raise AdapterError(f"{adapter.examples} adapters for {len(prompts)} prompts")
        tokenizer: Any = self.loaded.tokenizer
        encoded = [tokenizer(prompt)["input_ids"] for prompt in prompts]
        stops = () if lines else newline_tokens(tokenizer)

        def written(rows: list[int]) -> list[Generation]:
            own = adapter.select(rows) if adapter is not None else None
            read = [encoded[row] for row in rows]
            with applied(self.loaded.model, *shared, own):
                made = decoded(self.loaded, read, max_new_tokens, stops, num_beams=beams)
            # with the stop, whose token may hold the answer's last character (".\n"); its newline ends the text
            texts = [tokenizer.decode(row, skip_special_tokens=True) for row in made]
            texts = [text.strip("\n") if lines else text.split("\n")[0].strip() for text in texts]
            return [Generation(text, len(ids), len(row)) for text, ids, row in zip(texts, read, made, strict=True)]

        return in_batches([len(ids) for ids in encoded], self.batch, written)


@torch.inference_mode()
def decoded(
    loaded: LoadedModel, prompts: Sequence[Sequence[int]], most: int, stops: Sequence[int] = (), **options: Any
) -> list[list[int]]:
    """The tokens written after each prompt in one batch, `most` at most, up to the end token or one of `stops`, with it.

    Greedily, unless `options` of transformers' `generate` say otherwise.
    """
    tokenizer: Any = loaded.tokenizer
    model: Any = loaded.model
    ids, mask = pad(prompts, tokenizer.pad_token_id, left=not loaded.is_encoder_decoder, device=loaded.device)
    ends = {*stops, tokenizer.eos_token_id}
    output = model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=most,
        do_sample=False,
        eos_token_id=list(ends),
        pad_token_id=tokenizer.pad_token_id,
        **{"num_beams": 1} | options,
    )
    new = output[:, 1 if loaded.is_encoder_decoder else ids.shape[1] :].tolist()
    return [row[: next((place for place, token in enumerate(row, 1) if token in ends), None)] for row in new]


def in_batches(lengths: Sequence[int], batch: int, write: Callable[[list[int]], Sequence[T]]) -> list[T]:
    """What `write` makes of row numbers, `batch` rows of similar length at a time, in the order of the rows."""
    made: dict[int, T] = {}
    for rows in length_batches(lengths, batch):
        made.update(zip(rows, write(rows), strict=True))
    return [made[row] for row in range(len(lengths))]


def length_batches(lengths: Sequence[int], batch: int) -> Iterator[list[int]]:
    """Row numbers in batches of similar length, longest first, so that a batch too big for memory fails at once."""
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    for start in range(0, len(order), batch):
        yield order[start : start + batch]


def pad(rows: Sequence[Sequence[int]], value: int, *, left: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and mask, both (rows, longest)."""
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), value, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        place = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[number, place] = torch.tensor(row, dtype=torch.long)
        mask[number, place] = 1
    return ids.to(device), mask.to(device)


@lru_cache(maxsize=8)
def newline_tokens(tokenizer: Any) -> tuple[int, ...]:
    """Every token with a newline in its text: the ends of a one-line answer."""
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    return tuple(token for token, text in enumerate(texts) if "\n" in text)
