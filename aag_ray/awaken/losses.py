"""Terms of AAG's distillation loss (paper, section 3.3, eq. 5-9). All average over real tokens only, never over padding."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from aag_ray.llm.batches import mean_over_rows


def kd_temperature(step: int, start: float, every: int) -> float:
    """tau(step) = T / (1 + ln(floor(step / every) + 1)): the reference's schedule (T = 3, every = 500)."""
    return start / (1.0 + math.log(step // every + 1))


def kd(student: Tensor, teacher: Tensor, row: Tensor, rows: int, temperature: float) -> Tensor:
    """KL(teacher || student) of (m, V) logits at a temperature, times its square (Hinton et al. 2015); shape (rows,).

    Raises ValueError if the two do not predict the same tokens of one vocabulary.
    """
    return mean_over_rows(_divergence(student, teacher, temperature), row, rows) * temperature**2


def gated_kl(student: Tensor, teacher: Tensor, row: Tensor, rows: int, temperature: float) -> Tensor:
    """k sigmoid(k), where k is a hundredth of KL(teacher || student) summed over a row's tokens; shape (rows,).

    The reference's second divergence (`use_kl`), which there is taken over padding, too, and gated batch by batch.
    """
    divergence = _divergence(student, teacher, temperature)
    k = divergence.new_zeros(rows).index_add(0, row, divergence) / 100
    return k * k.sigmoid()


def _divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    if student.shape != teacher.shape:
        raise ValueError(
            f"student logits {tuple(student.shape)} and teacher logits {tuple(teacher.shape)} differ in (tokens, vocabulary); "
            "distillation needs one vocabulary and the same target"
        )
    log_p = F.log_softmax(student / temperature, dim=-1)
    q = F.log_softmax(teacher / temperature, dim=-1)
    return F.kl_div(log_p, q, reduction="none", log_target=True).sum(-1)


def chosen_layers(count: int, which: str) -> list[int]:
    """Layer numbers to align: all, or first, middle and last (the reference's `select`)."""
    return list(range(count)) if which == "all" else sorted({0, count // 2, count - 1})


def hidden_alignment(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Mean over layers and target tokens of 1 - cos between states, each (m, d): eq. 6."""
    return torch.stack(
        [1 - F.cosine_similarity(s.float(), t.float(), dim=-1).mean() for s, t in zip(student, teacher, strict=True)]
    ).mean()


def attention_alignment(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Mean squared difference of attention maps, each (m, heads, m'), already restricted to the same tokens: eq. 7."""
    return torch.stack([F.mse_loss(s.float(), t.float()) for s, t in zip(student, teacher, strict=True)]).mean()


def attention_divergence(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Mean KL(teacher || student) of attention maps over layers, heads and queries; the last dimension sums to one.

    The reference's cross-entropy of maps, less the part that no student can change, and without its second softmax.
    """
    pairs = ((s.float().clamp_min(1e-9), t.float()) for s, t in zip(student, teacher, strict=True))
    return torch.stack([(torch.xlogy(t, t) - torch.xlogy(t, s)).sum(-1).mean() for s, t in pairs]).mean()
