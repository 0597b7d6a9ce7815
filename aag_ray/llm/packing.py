"""Several short rows in one sequence, so that next to nothing is computed for padding. No row sees another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from itertools import count
from typing import Any

import torch
from torch import Tensor

from aag_ray.llm.batches import encode_pair
from aag_ray.llm.engine import pad
from aag_ray.llm.load import LoadedModel


@dataclass(frozen=True)
class PackedBatch:
    """Prompt + target tokens of rows that stand one behind another. `ids` and `places` are (sequences, longest): tokens, and
    their places in their own rows, which start at 0 for each.

    `sequence` and `position` (m,) say where each of the m target tokens is predicted, `row` (m,) to which row it belongs,
    `label` (m,) which token it is; all are in row order, then in reading order.
    """

    ids: Tensor
    places: Tensor
    sequence: Tensor
    position: Tensor
    row: Tensor
    label: Tensor


def arranged(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """The row numbers of each sequence: few sequences of up to `tokens` tokens, about equally full.

    No row is cut: one that is longer is alone in its sequence, and the others may become as long as that.
    """
    room = max(tokens, *lengths)
    longest_first = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    for number in count(max(1, math.ceil(sum(lengths) / room))):
        sequences: list[list[int]] = [[] for _ in range(number)]
        filled = [0] * number
        for row in longest_first:
            emptiest = filled.index(min(filled))
            sequences[emptiest].append(row)
            filled[emptiest] += lengths[row]
        if max(filled) <= room:
            return sequences
    raise AssertionError("as many sequences as rows always do")


def packed_batch(
    loaded: LoadedModel, prompts: Sequence[str | Sequence[int]], targets: Sequence[str], longest: int, tokens: int
) -> PackedBatch:
    """Rows of up to `longest` tokens each, as `target_batch` cuts them, in sequences of up to `tokens`."""
    tokenizer: Any = loaded.tokenizer
    pairs = [encode_pair(tokenizer, *texts, longest) for texts in zip(prompts, targets, strict=True)]
    sequences = arranged([len(prompt) + len(target) for prompt, target in pairs], tokens)
    ids: list[list[int]] = [[] for _ in sequences]
    places: list[list[int]] = [[] for _ in sequences]
    starts: dict[int, tuple[int, int]] = {}
    for number, rows in enumerate(sequences):
        for row in rows:
            starts[row] = number, len(ids[number])
            ids[number] += pairs[row][0] + pairs[row][1]
            places[number] += range(len(pairs[row][0]) + len(pairs[row][1]))
    found = [
        (starts[row][0], starts[row][1] + len(prompt) - 1 + offset, row, token)
        for row, (prompt, target) in enumerate(pairs)
        for offset, token in enumerate(target)
    ]
    read, _ = pad(ids, tokenizer.pad_token_id, left=False, device=loaded.device)
    place, _ = pad(places, 0, left=False, device=loaded.device)  # so each token of the padding is a row of its own
    return PackedBatch(read, place, *torch.tensor(found, dtype=torch.long, device=loaded.device).reshape(-1, 4).unbind(1))


def packed_logits(model: Any, batch: PackedBatch) -> Tensor:
    """Float32 logits (m, vocabulary) of the target tokens only."""
    # Without a mask of its own, transformers takes a place that does not follow the one before it for the start of a row.
    output = model.base_model(input_ids=batch.ids, position_ids=batch.places, use_cache=False)
    return model.get_output_embeddings()(output.last_hidden_state[batch.sequence, batch.position]).float()


@torch.no_grad()
def keeps_rows_apart(loaded: LoadedModel) -> bool:
    """Whether a row has the same states at the front of a sequence and behind another row.

    It does where places alone decide what attention sees; not where a state or a convolution runs through the sequence.
    """
    model: Any = loaded.model
    if loaded.is_encoder_decoder or "position_ids" not in signature(model.base_model.forward).parameters:
        return False
    ids = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8], [5, 6, 7, 8, 1, 2, 3, 4]], device=loaded.device)
    places = torch.arange(4, device=loaded.device).repeat(2, 2)
    states = model.base_model(input_ids=ids, position_ids=places, use_cache=False).last_hidden_state
    front, behind = states[:, :4], states.flip(0)[:, 4:]
    return bool((front - behind).norm() <= torch.finfo(states.dtype).eps ** 0.75 * front.norm())
