"""Fusion-in-Decoder on T5 (Izacard and Grave 2021, arXiv 2007.01282): passages are encoded one by one, and the decoder
attends to all of them at once.

An example is a list of inputs, each the token ids of question and passage; zero passages are the question alone. Inputs of
a batch are encoded in groups of similar length, whichever example they are of, and only real tokens reach the decoder: T5's
cross-attention knows no positions, so padding between passages would change nothing but the cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from aag_ray.awaken.t5_layers import require_t5
from aag_ray.awaken.token_losses import TOKENS_PER_BATCH, length_buckets
from aag_ray.llm.adapters import make_adaptable, rows_of
from aag_ray.llm.batches import TargetBatch
from aag_ray.llm.engine import Generation, pad
from aag_ray.llm.load import LoadedModel

Inputs = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Keep:
    """What alignment wants of the encoder: of the first `tokens[i]` tokens of example i's inputs, the states behind
    `layers` and the attention maps in them."""

    tokens: Sequence[int]
    layers: Sequence[int]
    states: bool
    maps: bool


@dataclass(frozen=True)
class Kept:
    """One input's first q tokens, by kept layer: states (q, d_model) and attention maps (heads, q, q)."""

    states: tuple[Tensor, ...]
    maps: tuple[Tensor, ...]


@dataclass(frozen=True)
class Fused:
    """What the decoder attends to: `states` (n, S, d_model) and `mask` (n, S), an example's inputs one after another.

    `lengths[i]` are the tokens of example i's inputs and `kept[i]` what was kept of them, both in the order given.
    """

    states: Tensor
    mask: Tensor
    lengths: list[list[int]]
    kept: list[list[Kept]]

    def starts(self, example: int) -> list[int]:
        """Where each input of an example begins in its row of `states`."""
        return list(accumulate(self.lengths[example], initial=0))[:-1]


class Fid:
    """The forward passes of one T5. Adapters are those that are applied around a call; gradients flow unless it is told."""

    def __init__(self, loaded: LoadedModel, *, bucketed: bool = True, compute: torch.dtype | None = None) -> None:
        """`compute` is the type to multiply in where the weights are float32 because they are trained.

        Not `bucketed`, all inputs are encoded in one padded batch: workers whose weights are sharded must call the encoder
        equally often. Raises ValueError for another model than T5.
        """
        self.loaded, self.model = loaded, require_t5(loaded)
        self.tokenizer: Any = loaded.tokenizer
        self._bucket = TOKENS_PER_BATCH["cpu" if loaded.device.type == "cpu" else "cuda"] if bucketed else None
        self._compute = compute if compute is not None and compute is not loaded.dtype else None
        make_adaptable(self.model)

    def tokens(self, texts: Sequence[str], longest: int) -> list[list[int]]:
        """Token ids of inputs. One that is too long loses its end, but neither its question nor its end token."""
        return self.tokenizer(list(texts), truncation=True, max_length=longest)["input_ids"] if texts else []

    @property
    def _can_cache(self) -> bool:
        """Transformers sizes the cache by the encoder's depth, and loses it where activations are computed again."""
        config = self.model.config
        return config.num_decoder_layers <= config.num_layers and not self.model.is_gradient_checkpointing

    def computing(self) -> torch.autocast:
        return torch.autocast(self.loaded.device.type, self._compute, enabled=self._compute is not None)

    def encode(self, examples: Sequence[Inputs], keep: Keep | None = None) -> Fused:
        """Encode every input by itself. Raises ValueError for an example without input, or an input without token."""
        flat = [(row, ids) for row, inputs in enumerate(examples) for ids in inputs]
        lengths = [[len(ids) for ids in inputs] for inputs in examples]
        if not all(lengths) or not all(map(all, lengths)):
            raise ValueError("every example needs at least one input, and every input a token; zero passages are the question")
        longest = max(map(sum, lengths))
        starts = [row * longest + at for row, part in enumerate(lengths) for at in list(accumulate(part, initial=0))[:-1]]
        encoded, places, kept = [], [], {}
        for bucket in self._buckets([len(ids) for _, ids in flat]):
            output, real = self._encode_bucket([flat[number] for number in bucket], len(examples), keep)
            encoded.append(output.last_hidden_state[real])
            places.extend(starts[number] + at for number in bucket for at in range(len(flat[number][1])))
            if keep is not None:
                kept.update({number: _kept(output, at, keep, flat[number][0]) for at, number in enumerate(bucket)})
        states, device = torch.cat(encoded), self.loaded.device
        fused = states.new_zeros(len(examples) * longest, states.shape[-1])
        fused = fused.index_copy(0, torch.tensor(places, device=device), states).view(len(examples), longest, -1)
        mask = torch.tensor([[1] * sum(part) + [0] * (longest - sum(part)) for part in lengths], device=device)
        in_order = iter(range(len(flat)))
        return Fused(fused, mask, lengths, [[kept[next(in_order)] for _ in part] for part in lengths] if keep else [])

    def _buckets(self, lengths: list[int]) -> list[list[int]]:
        return list(length_buckets(lengths, self._bucket)) if self._bucket else [list(range(len(lengths)))]

    def _encode_bucket(
        self, bucket: Sequence[tuple[int, Sequence[int]]], examples: int, keep: Keep | None
    ) -> tuple[Any, Tensor]:
        device = self.loaded.device
        ids, mask = pad([ids for _, ids in bucket], self.tokenizer.pad_token_id, left=False, device=device)
        owners = torch.tensor([row for row, _ in bucket], device=device)
        wanted = {"output_hidden_states": keep.states, "output_attentions": keep.maps} if keep is not None else {}
        with self.computing(), rows_of(self.model, owners, examples):
            return self.model.encoder(input_ids=ids, attention_mask=mask, **wanted), mask.bool()

    def targets(self, texts: Sequence[str], longest: int) -> TargetBatch:
        """What the decoder reads and predicts: each text and the end token, `longest` tokens at most."""
        encoded = [self.tokenizer(text, add_special_tokens=False)["input_ids"][: longest - 1] for text in texts]
        written = [[*ids, self.tokenizer.eos_token_id] for ids in encoded]
        start = [[self.model.config.decoder_start_token_id, *ids[:-1]] for ids in written]
        ids, mask = pad(start, self.tokenizer.pad_token_id, left=False, device=self.loaded.device)
        row, position = mask.nonzero(as_tuple=True)
        return TargetBatch(ids, mask, row, position, torch.tensor([t for ids in written for t in ids], device=row.device))

    def decode(self, fused: Fused, batch: TargetBatch, **options: Any) -> tuple[Tensor, Any]:
        """Float32 logits (m, vocabulary) of the target tokens, and the model's whole output."""
        with self.computing():
            output = self.model(
                encoder_outputs=BaseModelOutput(last_hidden_state=fused.states),  # pyright: ignore[reportArgumentType]
                attention_mask=fused.mask,
                decoder_input_ids=batch.ids,
                use_cache=False,
                **options,
            )
        return output.logits[batch.row, batch.position].float(), output

    @torch.inference_mode()
    def generate(self, examples: Sequence[Inputs], max_new_tokens: int, beams: int = 1) -> list[Generation]:
        """The answers up to the end token or a newline, greedily or with beams."""
        fused, end = self.encode(examples), self.tokenizer.eos_token_id
        with self.computing():
            output = self.model.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=fused.states),  # pyright: ignore[reportArgumentType]
                attention_mask=fused.mask,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                num_beams=beams,
                use_cache=self._can_cache,
                eos_token_id=end,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        generations = []
        for lengths, row in zip(fused.lengths, output[:, 1:].tolist(), strict=True):
            count = next((place for place, token in enumerate(row) if token in (end, self.tokenizer.pad_token_id)), len(row))
            text = self.tokenizer.decode(row[:count], skip_special_tokens=True).strip().split("\n")[0].strip()
            generations.append(Generation(text, sum(lengths), min(count + 1, len(row))))
        return generations


def _kept(output: Any, row: int, keep: Keep, example: int) -> Kept:
    tokens = keep.tokens[example]
    states = tuple(output.hidden_states[layer + 1][row, :tokens] for layer in keep.layers) if keep.states else ()
    maps = tuple(output.attentions[layer][row, :, :tokens, :tokens] for layer in keep.layers) if keep.maps else ()
    return Kept(states, maps)
