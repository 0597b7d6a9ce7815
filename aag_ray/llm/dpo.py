"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290) of a LoRA against the same LoRA before it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from aag_ray.llm.adapters import StaticLora, applied
from aag_ray.llm.batches import encode_pair, target_batch, target_logits
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.objective import Example, Objective
from aag_ray.llm.sft import save_lora


class DpoObjective(Objective):
    """-log sigmoid(beta * ((pi_c - pi_r) - (ref_c - ref_r))), log-probabilities summed over the target's tokens.

    Examples have `id`, `prompt` (text or tokens), `chosen` and `rejected`. Policy and reference see the same tokens; the
    reference is frozen, or the bare base where it is None.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        lora: StaticLora,
        reference: StaticLora | None,
        beta: float = 0.1,
        longest: int = 2048,
        *,
        shard_base: bool = False,
    ) -> None:
        super().__init__()
        if shard_base:
            self.base: Any = loaded.model
        self.lora, self.beta, self.longest = lora, beta, longest
        self._held = (loaded, reference.requires_grad_(False) if reference is not None else None)
        for part in (lora, reference):
            if part is not None:
                part.to(loaded.device)

    @property
    def loaded(self) -> LoadedModel:
        return self._held[0]

    def length(self, example: Example) -> int:
        tokenizer = self.loaded.tokenizer
        sides = (encode_pair(tokenizer, example["prompt"], example[side], self.longest) for side in ("chosen", "rejected"))
        return sum(len(prompt) + len(target) for prompt, target in sides)

    def forward(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        margins = self._margins(examples)
        return {
            "loss": -F.logsigmoid(self.beta * margins).mean(),
            "margin": margins.detach().mean(),
            "preferred": (margins.detach() > 0).float().mean(),
        }

    @torch.no_grad()
    def score(self, examples: Sequence[Example]) -> list[float]:
        """log sigmoid of each example's margin."""
        return F.logsigmoid(self.beta * self._margins(examples)).tolist()

    def _margins(self, examples: Sequence[Example]) -> Tensor:
        """(n,) how much more than the reference the policy prefers chosen to rejected, in nats."""
        reference = self._held[1]
        policy = self._log_probabilities(examples, self.lora)
        with torch.no_grad():
            before = self._log_probabilities(examples, reference)
        chosen, rejected = (policy - before).chunk(2)
        return chosen - rejected

    def _log_probabilities(self, examples: Sequence[Example], lora: StaticLora | None) -> Tensor:
        """(2n,) sums over target tokens: all chosen, then all rejected, in one forward."""
        loaded = self.loaded
        model: Any = loaded.model
        prompts = [example["prompt"] for example in examples] * 2
        targets = [example[side] for side in ("chosen", "rejected") for example in examples]
        batch = target_batch(loaded, prompts, targets, self.longest)
        with applied(model, lora() if lora is not None else None):
            logits, _ = target_logits(model, batch)
        each = -F.cross_entropy(logits, batch.label, reduction="none")
        return each.new_zeros(len(prompts)).index_add(0, batch.row, each)

    def save_pretrained(self, folder: Path) -> None:
        save_lora(self.lora, folder)
