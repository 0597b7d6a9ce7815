"""Which passages the decoder looks at: cross-attention as a relevance signal (Izacard and Grave 2021, arXiv 2012.04584)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aag_ray.awaken.fid import Fid, Fused, Inputs


@dataclass(frozen=True, slots=True)
class PassageScore:
    """How much the first answer token attends to one passage, over all layers and heads.

    `score` is the mean attention score of the passage's tokens before the softmax, the reference's measure; `share` the
    part of the attention that falls on the passage: the shares of one example sum to one, and long passages get more.
    """

    score: float
    share: float


@torch.inference_mode()
def passage_scores(fid: Fid, examples: Sequence[Inputs]) -> list[list[PassageScore]]:
    """One score per input of each example, in order. Adapters applied around the call count; any attention kernel will do."""
    fused = fid.encode(examples)
    with _cross_attention(fid.model, fused) as summed:
        fid.decode(fused, fid.targets([""] * len(examples), 1))
    scores, shares = (total / summed.maps for total in (summed.scores, summed.shares))
    return [
        [
            PassageScore(float(scores[row, at : at + length].mean()), float(shares[row, at : at + length].sum()))
            for at, length in zip(fused.starts(row), fused.lengths[row], strict=True)
        ]
        for row in range(len(examples))
    ]


class _Sums:
    """Sums (n, S) over the attention maps of all layers and heads, of which there were `maps`."""

    def __init__(self, fused: Fused) -> None:
        self.real = fused.mask.bool()
        self.scores = torch.zeros(self.real.shape, device=self.real.device)
        self.shares = torch.zeros_like(self.scores)
        self.maps = 0

    def add(self, queries: Tensor, keys: Tensor, heads: int) -> None:
        """(n, 1, inner) queries and (n, S, inner) keys of one layer; T5 neither scales their product nor adds a bias."""
        query, key = (part.float().unflatten(-1, (heads, -1)) for part in (queries[:, 0], keys))
        scores = torch.einsum("nhd,nshd->nhs", query, key)
        self.scores += scores.sum(1)
        self.shares += scores.masked_fill(~self.real[:, None], -torch.inf).softmax(-1).sum(1)
        self.maps += heads


@contextmanager
def _cross_attention(model: Any, fused: Fused) -> Iterator[_Sums]:
    """Collect queries and keys as the layers make them, updates of adapters included."""
    sums, queries = _Sums(fused), {}
    hooks = []
    for number, block in enumerate(model.decoder.block):
        attention = block.layer[1].EncDecAttention

        def keep_query(_layer: Any, _inputs: Any, output: Tensor, number: int = number) -> None:
            queries[number] = output

        def add_keys(_layer: Any, _inputs: Any, output: Tensor, number: int = number, heads: int = attention.n_heads) -> None:
            sums.add(queries.pop(number), output, heads)

        hooks += [attention.q.register_forward_hook(keep_query), attention.k.register_forward_hook(add_keys)]
    try:
        yield sums
    finally:
        for hook in hooks:
            hook.remove()
