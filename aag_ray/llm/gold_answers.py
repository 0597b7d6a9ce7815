"""How well a model foresees gold answers that it is given token by token (teacher forcing), one forward pass a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from aag_ray.llm.adapters import Adapter, applied
from aag_ray.llm.batches import mean_over_rows, target_batch, target_logits
from aag_ray.llm.engine import in_batches
from aag_ray.llm.load import LoadedModel

UNCUT = 1 << 30  # tokens: what is generated from is not cut either


@dataclass(frozen=True, slots=True)
class GoldAnswer:
    """Means over the tokens of one gold answer, each after the true tokens before it: whether the model's likeliest token is
    the true one (`accuracy`, 0..1), and the true one's cross-entropy in nats."""

    accuracy: float
    cross_entropy: float


def gold_answers(logits: Tensor, label: Tensor, row: Tensor, rows: int) -> list[GoldAnswer]:
    """From (m, vocabulary) logits of the answers' tokens `label` (m,), which are of the rows `row` (m,)."""
    right = mean_over_rows((logits.argmax(-1) == label).float(), row, rows)
    entropy = mean_over_rows(F.cross_entropy(logits, label, reduction="none"), row, rows)
    return [GoldAnswer(*values) for values in zip(right.tolist(), entropy.tolist(), strict=True)]


def read_gold(
    loaded: LoadedModel,
    prompts: Sequence[str],
    answers: Sequence[str],
    *,
    adapter: Adapter | None = None,
    shared: Sequence[Adapter] = (),
    batch: int = 32,
) -> list[GoldAnswer]:
    """A decoder's view of the answer that continues each prompt, in order, with adapters as in `TransformersEngine.generate`.

    A space stands between a prompt and its answer unless the prompt ends in white space, as chat templates do. Only the
    answer's own tokens count: how a system ends its answers is its own affair.
    """
    tokenizer: Any = loaded.tokenizer
    told = [answer if prompt[-1:].isspace() else f" {answer}" for prompt, answer in zip(prompts, answers, strict=True)]

    @torch.inference_mode()
    def seen(rows: list[int]) -> list[GoldAnswer]:
        own = adapter.select(rows) if adapter is not None else None
        read = target_batch(loaded, [prompts[row] for row in rows], [told[row] for row in rows], UNCUT)
        with applied(loaded.model, *shared, own):
            logits, _ = target_logits(loaded.model, read)
        return gold_answers(logits, read.label, read.row, len(rows))

    return in_batches([len(tokenizer(prompt)["input_ids"]) for prompt in prompts], batch, seen)
