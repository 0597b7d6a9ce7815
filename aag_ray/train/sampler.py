"""Which examples make batch `step`: a pure function of the seed, the step and the lengths, so a resume needs no state.

The epochs, each a permutation of all examples, form one endless stream; batch s is its s-th piece of `batch` examples.
Every example is therefore used exactly once an epoch, and a batch may span two epochs, so that no batch is short.
Inside an epoch, windows of batches are sorted by length before they are cut: batches hold similar lengths, little is
padding, and the order of the batches stays random.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np


class BatchPlan:
    """Batches of `batch` example indices over examples that cost `lengths` tokens each.

    `window` is how many batches are sorted by length together: more means less padding and less mixing.
    Raises ValueError if there is no example or the batch is empty.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int, window: int = 32) -> None:
        if not lengths:
            raise ValueError("there is no example to make batches of")
        if batch < 1 or window < 1:
            raise ValueError(f"batch={batch} and window={window} must be at least 1")
        self.lengths = np.asarray(lengths)
        self.batch = batch
        self.seed = seed
        self.window = window
        self.epoch_order = lru_cache(maxsize=2)(self._epoch_order)

    def _epoch_order(self, epoch: int) -> np.ndarray:
        examples, batch = len(self.lengths), self.batch
        generator = np.random.default_rng([self.seed, epoch])
        order = generator.permutation(examples)
        # Only batches that lie wholly inside this epoch are bucketed; the ends complete a neighbour epoch's batch.
        head = min(-epoch * examples % batch, examples)
        end = head + (examples - head) // batch * batch
        for start in range(head, end, self.window * batch):
            piece = order[start : min(start + self.window * batch, end)]
            batches = piece[np.argsort(self.lengths[piece], kind="stable")].reshape(-1, batch)
            order[start : start + len(piece)] = generator.permutation(batches).reshape(-1)
        return order

    def batch_at(self, step: int) -> list[int]:
        """The example indices of batch `step` (from 0), shortest first."""
        position, left, parts = step * self.batch, self.batch, []
        while left:
            epoch, offset = divmod(position, len(self.lengths))
            part = self.epoch_order(epoch)[offset : offset + left]
            parts.append(part)
            position, left = position + len(part), left - len(part)
        indices = np.concatenate(parts)
        return indices[np.argsort(self.lengths[indices], kind="stable")].tolist()

    def micro_batches(self, step: int, rank: int, ranks: int, accumulation: int) -> list[list[int]]:
        """What worker `rank` of `ranks` reads for batch `step`: one list for each accumulation step.

        Over all ranks and accumulation steps they partition the batch; workers that compute at the same time get
        neighbouring lengths, so that none waits. Raises ValueError if a micro-batch would be empty.
        """
        if self.batch < ranks * accumulation:
            raise ValueError(f"a batch of {self.batch} cannot be shared by {ranks} workers x {accumulation} accumulation steps")
        pieces = np.array_split(np.asarray(self.batch_at(step)), ranks * accumulation)
        return [pieces[part * ranks + rank].tolist() for part in range(accumulation)]
