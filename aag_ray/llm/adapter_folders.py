"""Adapters as PEFT folders in memory, for an engine that takes them by path: written, numbered, freed.

folders = AdapterFolders(Path("/dev/shm/aag-ray"), loaded, rank=32)
saved = folders.save([reader, own])
folders.free(saved)
folders.close()
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from aag_ray.llm.adapters import Adapter, AdapterError, Factors
from aag_ray.llm.load import LoadedModel


@dataclass(frozen=True, slots=True)
class SavedAdapter:
    """An adapter in a folder of its own. `number` is above 0 and never given twice by one `AdapterFolders`."""

    number: int
    folder: Path


class AdapterFolders:
    """Folders below a new one of `root`, for adapters of `loaded` that have, joined, a rank of up to `rank`."""

    def __init__(self, root: Path, loaded: LoadedModel, rank: int) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="engine-", dir=root))
        self.loaded, self.rank = loaded, rank
        self._shapes = {
            name: (layer.in_features, layer.out_features)
            for name, layer in loaded.model.named_modules()
            if isinstance(layer, nn.Linear)
        }
        self._numbers = itertools.count(1)

    def save(self, adapters: Sequence[Adapter]) -> SavedAdapter:
        """Write the sum of these one-example adapters. Raises AdapterError for one that does not fit, before it writes."""
        for adapter in adapters:
            self._check(adapter)
        joined = join(adapters)
        for name, (a, _) in joined.factors.items():
            if a.shape[2] > self.rank:
                raise AdapterError(f"{name}: adapters of rank {a.shape[2]} together, above the engine's {self.rank}")
        number = next(self._numbers)
        saved = SavedAdapter(number, self.folder / str(number))
        joined.map(lambda factor: factor.detach().to(self.loaded.dtype)).save_peft(saved.folder, self.loaded.name)
        return saved

    def free(self, saved: SavedAdapter) -> None:
        shutil.rmtree(saved.folder)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check(self, adapter: Adapter) -> None:
        if adapter.examples != 1:
            raise AdapterError(f"an adapter of {adapter.examples} examples; one prompt takes one")
        for name, (a, b) in adapter.factors.items():
            if name not in self._shapes:
                raise AdapterError(f"{type(self.loaded.model).__name__} has no linear layer {name!r}, which the adapter names")
            inputs, outputs = self._shapes[name]
            if (a.shape[1], b.shape[2]) != (inputs, outputs):
                raise AdapterError(
                    f"{name}: adapter {tuple(a.shape)} x {tuple(b.shape)} does not fit a layer of "
                    f"{inputs} inputs and {outputs} outputs"
                )


def join(adapters: Sequence[Adapter]) -> Adapter:
    """One adapter whose update is the sum of theirs, exactly: factors side by side along the rank."""
    layers: dict[str, list[Factors]] = {}
    for adapter in adapters:
        for name, factors in adapter.factors.items():
            layers.setdefault(name, []).append(factors)
    return Adapter(
        {
            name: (torch.cat([a for a, _ in each], dim=2), torch.cat([b for _, b in each], dim=1))
            for name, each in layers.items()
        }
    )
