"""Batched generation with the transformers library: many prompts, a different adapter for each of them if wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from aag_ray.llm.adapters import Adapter, AdapterError, applied
from aag_ray.llm.load import LoadedModel


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model wrote for one prompt: the text up to its stop, and the tokens read and written."""

    text: str
    prompt_tokens: int
    new_tokens: int


class TransformersEngine:
    """Greedy or beam decoding up to the first newline, in batches of prompts of similar length."""

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
    ) -> list[Generation]:
        """One text per prompt, in the order given. `adapter` has one example per prompt, or one for all; `shared` go to all.

        Raises AdapterError if there are not as many adapters as prompts.
        """
        if adapter is not None and adapter.examples not in (1, len(prompts)):
            raise AdapterError(f"{adapter.examples} adapters for {len(prompts)} prompts")
        tokenizer: Any = self.loaded.tokenizer
        encoded = [tokenizer(prompt)["input_ids"] for prompt in prompts]
        results: dict[int, Generation] = {}
        for rows in length_batches([len(ids) for ids in encoded], self.batch):
            own = adapter.select(rows) if adapter is not None else None
            with applied(self.loaded.model, *shared, own):
                texts = self._generate_batch([encoded[row] for row in rows], max_new_tokens, beams)
            results.update(zip(rows, texts, strict=True))
        return [results[row] for row in range(len(prompts))]

    @torch.inference_mode()
    def _generate_batch(self, batch: list[Any], max_new_tokens: int, beams: int) -> list[Generation]:
        loaded = self.loaded
        tokenizer: Any = loaded.tokenizer
        ids, mask = pad(batch, tokenizer.pad_token_id, left=not loaded.is_encoder_decoder, device=loaded.device)
        stops = newline_tokens(tokenizer)
        model: Any = loaded.model
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=beams,
            eos_token_id=[*stops, tokenizer.eos_token_id],
            pad_token_id=tokenizer.pad_token_id,
        )
        new = output[:, 1:] if loaded.is_encoder_decoder else output[:, ids.shape[1] :]
        ends = {*stops, tokenizer.eos_token_id, tokenizer.pad_token_id}
        generations = []
        for prompt, row in zip(batch, new.tolist(), strict=True):
            length = next((place for place, token in enumerate(row) if token in ends), len(row))
            # with the stop, whose token may hold the answer's last character (".\n"); its newline ends the text
            text = tokenizer.decode(row[: length + 1], skip_special_tokens=True).split("\n")[0].strip()
            generations.append(Generation(text, len(prompt), min(length + 1, len(row))))
        return generations


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
