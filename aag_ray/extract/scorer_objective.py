"""What the span scorer is trained on: which spans help (binary and against their neighbours), and whether any does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aag_ray.extract.scorer import SpanScorer
from aag_ray.llm.objective import Example, Objective

UNKNOWN = -1.0


class ScorerObjective(Objective):
    """Rows are windows (`Window.to_row`) with `labels`, one number in [0, 1] a span: gold, or a teacher's score; UNKNOWN is
    left out of the loss.

    Loss: binary cross-entropy of every span, positives weighted by `positive_weight`; binary cross-entropy of the window's own
    score, which should be its best label's; and, counted as much as that, minus the log-probability that a softmax over the
    spans gives to those that help, each for as much of it as its label has of the best.

    With `frozen_layers` only the layers of the encoder above those are trained, beside the heads: each step then takes less
    time. Raises ValueError if the encoder has fewer.
    """

    def __init__(self, scorer: SpanScorer, positive_weight: float = 4.0, frozen_layers: int = 0) -> None:
        super().__init__()
        self.scorer, self.positive_weight = scorer, positive_weight
        scorer.requires_grad_(True)
        if frozen_layers:
            _train_above(scorer.encoder, frozen_layers)

    def length(self, example: Example) -> int:
        return len(example["ids"])

    def forward(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        rows = torch.stack([torch.stack(terms) for terms in self._terms(examples)])
        span, page, rank = rows.mean(0)
        return {"loss": span + page + rank, "span": span.detach(), "page": page.detach(), "rank": rank.detach()}

    @torch.no_grad()
    def score(self, examples: Sequence[Example]) -> list[float]:
        """Minus each window's loss."""
        return [-float(sum(terms)) for terms in self._terms(examples)]

    def _terms(self, examples: Sequence[Example]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Span, window and ranking loss of each window; 0 where a window says nothing about one of them."""
        spans, pages = self.scorer(examples)
        found = []
        for logits, page, example in zip(spans.split([len(e["labels"]) for e in examples]), pages, examples, strict=True):
            labels = torch.tensor(example["labels"], dtype=torch.float32, device=logits.device)
            known = labels >= 0
            logits, labels = logits[known], labels[known]
            weight = 1 + (self.positive_weight - 1) * labels
            each = F.binary_cross_entropy_with_logits(logits, labels, weight=weight, reduction="sum") / max(1, len(labels))
            best = labels.max() if len(labels) else labels.new_zeros(())
            holds = F.binary_cross_entropy_with_logits(page, best)
            if not bool(known.all() | (best >= 0.5)):
                holds = page * 0
            helps = labels > 0
            rank = logits.sum() * 0
            if bool(helps.any()):
                rank = best * (logits.logsumexp(0) - (logits[helps] + (labels[helps] / best).log()).logsumexp(0))
            found.append((each, holds, rank))
        return found

    def save_pretrained(self, folder: Path) -> None:
        self.scorer.save_pretrained(folder)


def _train_above(encoder: nn.Module, frozen: int) -> None:
    layers = max((each for each in encoder.modules() if isinstance(each, nn.ModuleList)), key=len, default=nn.ModuleList())
    if frozen > len(layers):
        raise ValueError(f"scorer.frozen_layers={frozen} is more than the {len(layers)} layers of the encoder")
    encoder.requires_grad_(False)
    layers[frozen:].requires_grad_(True)
