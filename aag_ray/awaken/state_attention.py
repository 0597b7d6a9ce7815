"""Attention of learned queries over a base model's states, without a key or a value for each state."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class StateAttention(nn.Module):
    """softmax(q (W_k x)^T / sqrt(h)) W_v x over the states x, each divided by its root mean square.

    The few queries go through W_k and what they gather through W_v, instead of every state through both: the same numbers for
    a fraction of the work, and nothing as large as the states is made or kept for the backward pass. `weight` holds W_k and
    W_v, (2h, width).
    """

    def __init__(self, width: int, h: int) -> None:
        super().__init__()
        self.weight = nn.Linear(width, 2 * h, bias=False).weight

    def forward(self, queries: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """(L, K, h) queries over (L, n, T, width) states where the (n, T) mask is not zero -> (L, n, K, h)."""
        if not torch.is_autocast_enabled(states.device.type):
            states = states.to(self.weight.dtype)
        keys, values = self.weight.chunk(2)
        power = torch.linalg.vector_norm(states, dim=-1, dtype=torch.float32).square() / states.shape[-1]
        size = torch.rsqrt(power + torch.finfo(torch.float32).eps).unsqueeze(-2)
        scores = ((queries @ keys).unsqueeze(1) @ states.transpose(-1, -2)).float() * size * keys.shape[0] ** -0.5
        shares = scores.masked_fill(~mask.bool()[None, :, None, :], -torch.inf).softmax(-1) * size
        return F.linear(shares.to(states.dtype) @ states, values)
