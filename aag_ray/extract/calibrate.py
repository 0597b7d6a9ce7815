"""From logits to probabilities, and to a threshold: fitted on dev examples, never on what was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from aag_ray.extract.examples import ExtractionExample
from aag_ray.extract.gold import holds_answer
from aag_ray.extract.scorer import Calibration, SpanScorer

THRESHOLDS = 200
# An answer is worth this many empty pages: a reader passes over what does not help, and has nothing where evidence is missed.
MISSED = 2
MARGINS = tuple(step / 4 for step in range(40, 0, -1))


def fit_calibration(scorer: SpanScorer, examples: Sequence[ExtractionExample], batch: int = 16) -> Calibration:
    """Logistic regression of "this span is gold" on its logit and its window's (Platt 1999), then threshold and margin.

    The threshold is the one at which most pages end as they should: a page with gold keeps a span that helps, which counts
    MISSED times, and a page without is left with none. The margin is the one that then gives the best mean F1 of the chosen
    spans, the widest of equals. Raises ValueError without pages of both kinds.
    """
    spans, pages, labels, owners = _logits(scorer, examples, batch)
    relevant = torch.tensor([example.relevant for example in examples])
    if not relevant.any() or relevant.all():
        raise ValueError("calibration needs dev pages with evidence and dev pages without")
    weights = torch.tensor([1.0, 0.0, 0.0], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy_with_logits(spans * weights[0] + pages * weights[1] + weights[2], labels)
        value.backward()
        return value

    optimizer.step(loss)  # type: ignore[arg-type]
    scale, page, shift = weights.detach().tolist()
    scores = torch.sigmoid(spans * scale + pages * page + shift)
    best_right = _highest(scores, owners, len(examples), labels >= 0.5)
    best_any = _highest(scores, owners, len(examples), torch.ones_like(labels, dtype=torch.bool))
    candidates = torch.cat([best_right[relevant], best_any[~relevant] + 1e-6]).sort().values
    candidates = candidates[:: max(1, len(candidates) // THRESHOLDS)]
    kept = (best_right[relevant].unsqueeze(0) >= candidates.unsqueeze(1)).float().mean(1)
    empty = (best_any[~relevant].unsqueeze(0) < candidates.unsqueeze(1)).float().mean(1)
    threshold = min(max(float(candidates[int((MISSED * kept + empty).argmax())]), 0.0), 1.0)
    wide = Calibration(scale, page, shift, threshold, fitted=True)
    parts = scores.split(torch.bincount(owners, minlength=len(examples)).tolist())
    asked = [(part.numpy(), each.gold) for part, each in zip(parts, examples, strict=True) if each.gold]
    return max((replace(wide, margin=margin) for margin in MARGINS), key=lambda chosen: _mean_f1(chosen, asked))


def _mean_f1(chosen: Calibration, asked: Sequence[tuple[np.ndarray, Sequence[int]]]) -> float:
    total = 0.0
    for scores, gold in asked:
        kept = np.flatnonzero(scores >= chosen.least(float(scores.max()))) + 1
        total += 2 * len(np.intersect1d(kept, gold)) / (len(kept) + len(gold))
    return total / len(asked)


def _logits(scorer: SpanScorer, examples: Sequence[ExtractionExample], batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of every span: its logit, its window's, whether it helps (gold, or another span with the answer), and its example."""
    spans, pages, labels, owners = [], [], [], []
    for number, example in enumerate(examples):
        right = set(example.gold)
        if right:
            right |= {n for n in range(1, len(example.spans) + 1) if holds_answer(example.text_of(n), example.answers)}
        windows = scorer.windows(example.question, [example.tagged])
        for window, (logits, page) in zip(windows, scorer.logits(windows, batch), strict=True):
            spans.append(logits.float().cpu())
            pages.append(page.float().cpu().expand(len(logits)))
            labels += [float(window.first + at + 1 in right) for at in range(len(logits))]
            owners += [number] * len(logits)
    return torch.cat(spans), torch.cat(pages), torch.tensor(labels), torch.tensor(owners)


def _highest(scores: Tensor, owners: Tensor, count: int, counted: Tensor) -> Tensor:
    """Each example's highest score among the spans that are `counted`; 0 where there is none."""
    return torch.zeros(count).scatter_reduce(0, owners[counted], scores[counted], "amax")
