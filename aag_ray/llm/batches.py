"""Prompt and target texts to padded tensors in which only targets are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from aag_ray.llm.engine import pad
from aag_ray.llm.load import LoadedModel


@dataclass(frozen=True)
class TargetBatch:
    """Right-padded prompt + target tokens. `row` and `position` (m,) say where each of the m target tokens is predicted,
    `label` (m,) which token it is; all are in row order, then in reading order."""

    ids: Tensor
    mask: Tensor
    row: Tensor
    position: Tensor
    label: Tensor


def encode_pair(tokenizer: Any, prompt: str | Sequence[int], target: str, longest: int) -> tuple[list[int], list[int]]:
    """Token ids of prompt and target. A prompt that is too long loses its front, never its question or the target.

    A prompt may be given as its tokens, where a chat template made them.
    """
    target_ids = tokenizer(target, add_special_tokens=False)["input_ids"]
    prompt_ids = tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else list(prompt)
    return prompt_ids[-max(longest - len(target_ids), 1) :], target_ids


def target_batch(
    loaded: LoadedModel, prompts: Sequence[str | Sequence[int]], targets: Sequence[str], longest: int = 2048
) -> TargetBatch:
    tokenizer: Any = loaded.tokenizer
    pairs = [encode_pair(tokenizer, *texts, longest) for texts in zip(prompts, targets, strict=True)]
    ids, mask = pad([p + t for p, t in pairs], tokenizer.pad_token_id, left=False, device=loaded.device)
    rows = [number for number, (_, target) in enumerate(pairs) for _ in target]
    positions = [len(prompt) - 1 + offset for prompt, target in pairs for offset in range(len(target))]
    labels = [token for _, target in pairs for token in target]
    row, position, label = (torch.tensor(v, dtype=torch.long, device=loaded.device) for v in (rows, positions, labels))
    return TargetBatch(ids, mask, row, position, label)


def target_logits(model: Any, batch: TargetBatch, **options: Any) -> tuple[Tensor, Any]:
    """Float32 logits (m, vocabulary) of the target tokens only, and the base model's whole output."""
    output = model.base_model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False, **options)
    return model.get_output_embeddings()(output.last_hidden_state[batch.row, batch.position]).float(), output


def mean_over_rows(values: Tensor, row: Tensor, rows: int) -> Tensor:
    """(m,) values of target tokens -> (rows,) means; rows without a target are zero."""
    total = values.new_zeros(rows).index_add(0, row, values)
    count = values.new_zeros(rows).index_add(0, row, torch.ones_like(values))
    return total / count.clamp(min=1)


def nll(logits: Tensor, label: Tensor, row: Tensor, rows: int) -> Tensor:
    """Cross-entropy of (m, V) logits, a mean over each row's target tokens; shape (rows,)."""
    return mean_over_rows(F.cross_entropy(logits, label, reduction="none"), row, rows)
