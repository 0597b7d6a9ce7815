"""Batched token losses of a decoder: what a prompt compressor asks a language model, many texts at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aag_ray.llm.load import LoadedModel

TOKENS_PER_BATCH = {"cpu": 2048, "cuda": 32768}
POSITIONS_PER_CHUNK = {"cpu": 256, "cuda": 4096}


@dataclass(frozen=True, slots=True)
class Scoring:
    """Token ids and the first position whose next token is scored: the losses of `ids[first + 1:]` are asked for."""

    ids: list[int]
    first: int = 0


def length_buckets(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Indices in groups of similar length; a group padded to its longest has at most `tokens` tokens, or is one text."""
    bucket: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if bucket and lengths[index] * (len(bucket) + 1) > tokens:
            yield bucket
            bucket = []
        bucket.append(index)
    if bucket:
        yield bucket


class TokenScorer:
    """Scores texts in length-bucketed batches; the output layer sees only the positions that were asked for.

    Texts are padded on the right and a decoder looks to the left, so no mask is needed and padding changes nothing.
    Raises ValueError for a model that is no decoder or whose logits are more than its output layer's product.
    """

    def __init__(self, model: LoadedModel) -> None:
        if model.is_encoder_decoder:
            raise ValueError(f"compression needs a decoder; model {model.name!r} has an encoder and a decoder")
        self._device = model.device
        self._body = model.model.base_model
        self._head: Any = model.model.get_output_embeddings()
        self._tokens = TOKENS_PER_BATCH["cpu" if model.device.type == "cpu" else "cuda"]
        self._chunk = POSITIONS_PER_CHUNK["cpu" if model.device.type == "cpu" else "cuda"]
        self._refuse_changed_logits(model)

    @torch.no_grad()
    def losses(self, asked: Sequence[Scoring]) -> list[Tensor | BaseException]:
        """For each text a float32 CPU tensor [len(ids) - 1 - first], or the exception its batch ended with."""
        found: list[Tensor | BaseException] = [torch.empty(0)] * len(asked)
        scored = [index for index, scoring in enumerate(asked) if scoring.first < len(scoring.ids) - 1]
        for bucket in length_buckets([len(asked[index].ids) for index in scored], self._tokens):
            indices = [scored[position] for position in bucket]
            try:
                values: Sequence[Tensor | BaseException] = self._batch([asked[index] for index in indices])
            except Exception as error:
                values = [error] * len(indices)
            for index, value in zip(indices, values, strict=True):
                found[index] = value
        return found

    def _batch(self, asked: Sequence[Scoring]) -> Sequence[Tensor]:
        padded = torch.zeros(len(asked), max(len(scoring.ids) for scoring in asked), dtype=torch.long)
        for row, scoring in zip(padded, asked, strict=True):
            row[: len(scoring.ids)] = torch.tensor(scoring.ids)
        states = self._body(input_ids=padded.to(self._device), use_cache=False).last_hidden_state
        spans = [(scoring.first, len(scoring.ids) - 1) for scoring in asked]
        before = torch.cat([states[row, start:end] for row, (start, end) in enumerate(spans)])
        labels = torch.cat([padded[row, start + 1 : end + 1] for row, (start, end) in enumerate(spans)]).to(self._device)
        chunks = zip(before.split(self._chunk), labels.split(self._chunk), strict=True)
        losses = torch.cat([torch.nn.functional.cross_entropy(self._head(h).float(), t, reduction="none") for h, t in chunks])
        return losses.cpu().split([end - start for start, end in spans])

    @torch.no_grad()
    def _refuse_changed_logits(self, model: LoadedModel) -> None:
        ids = torch.arange(4, device=self._device).unsqueeze(0)
        whole = model.model(input_ids=ids, use_cache=False).logits.float()
        parts = self._head(self._body(input_ids=ids, use_cache=False).last_hidden_state).float()
        if not torch.allclose(whole, parts, rtol=1e-2, atol=1e-2):
            raise ValueError(
                f"model {model.name!r} changes its logits after the output layer, which compression does not follow"
            )
