"""The best adapter of a given rank."""

from __future__ import annotations

import torch
from torch import Tensor

from aag_ray.llm.adapters import Adapter


@torch.no_grad()
def of_rank(adapter: Adapter, rank: int) -> Adapter:
    """The adapter of at most `rank` whose updates are nearest to these in the Frobenius norm (Eckart and Young 1936).

    Layers whose rank is not above it stay as they are. Raises ValueError for a rank below one.
    """
    if rank < 1:
        raise ValueError(f"an adapter of rank {rank}; the lowest is 1")
    return Adapter({name: _nearest(a, b, rank) if a.shape[-1] > rank else (a, b) for name, (a, b) in adapter.factors.items()})


def _nearest(a: Tensor, b: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(n, d_in, r) and (n, r, d_out) -> (n, d_in, rank) and (n, rank, d_out), without making the dense update.

    With A = Q R and B^T = P S, the singular values of A B are those of the small R S^T.
    """
    (q, r), (p, s) = torch.linalg.qr(a.float()), torch.linalg.qr(b.float().transpose(1, 2))
    left, sizes, right = torch.linalg.svd(r @ s.transpose(1, 2), full_matrices=False)
    roots = sizes[:, :rank].sqrt()
    made_a = (q @ left[:, :, :rank]) * roots.unsqueeze(1)
    made_b = roots.unsqueeze(2) * (right[:, :rank] @ p.transpose(1, 2))
    return made_a.to(a.dtype), made_b.to(b.dtype)
