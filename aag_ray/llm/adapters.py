"""Low-rank adapters that differ from example to example, applied in one forward pass.

An `Adapter` is tensors, not a model: for each adapted linear layer the factors A and B of every example. `applied` adds
x A B to that layer's output for the calls inside the block, in this thread only; the model itself never changes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

Factors = tuple[Tensor, Tensor]
_active: ContextVar[Mapping[object, _Applied] | None] = ContextVar("active_adapters", default=None)


class AdapterError(ValueError):
    """An adapter does not fit the model or the batch; the message names the layer and both shapes."""


@dataclass(frozen=True)
class Adapter:
    """LoRA factors by layer name: A of shape (n, d_in, r) and B of shape (n, r, d_out).

    n is the number of examples, or 1 for factors that all examples share. The update of a layer is x A B: any scale is
    already in B.
    """

    factors: Mapping[str, Factors]

    def __post_init__(self) -> None:
        for name, (a, b) in self.factors.items():
            if a.dim() != 3 or b.dim() != 3 or a.shape[0] != b.shape[0] or a.shape[2] != b.shape[1]:
                raise AdapterError(f"{name}: A {tuple(a.shape)} and B {tuple(b.shape)} are not (n, d_in, r) and (n, r, d_out)")
            if a.shape[0] != self.examples:
                raise AdapterError(f"{name}: factors of {a.shape[0]} examples, but other layers have {self.examples}")

    @property
    def examples(self) -> int:
        return next((a.shape[0] for a, _ in self.factors.values()), 0)

    def map(self, change: Callable[[Tensor], Tensor]) -> Adapter:
        return Adapter({name: (change(a), change(b)) for name, (a, b) in self.factors.items()})

    def select(self, examples: Sequence[int] | Tensor) -> Adapter:
        """The adapters of these examples, in this order; a shared adapter is every example's."""
        index = torch.as_tensor(examples, dtype=torch.long)
        return self.map(lambda t: t[index.to(t.device)] if t.shape[0] > 1 else t.expand(len(index), -1, -1))

    def detach(self) -> Adapter:
        return self.map(Tensor.detach)

    def zeroed(self) -> Adapter:
        return self.map(torch.zeros_like)

    def mean(self, most: int | None = None) -> Adapter:
        """The adapter whose update is the mean of the examples' updates, exactly: their factors joined along the rank.

        At most `most` evenly spread examples are taken; they bound the rank of the result, which is theirs all together.
        """
        step = max(1, math.ceil(self.examples / most)) if most else 1
        return Adapter(
            {
                name: (torch.cat(a[::step].split(1), -1), torch.cat(b[::step].split(1), 1) / len(a[::step]))
                for name, (a, b) in self.factors.items()
            }
        )

    def deltas(self, name: str) -> Tensor:
        """The dense updates A B of one layer, shape (n, d_in, d_out)."""
        a, b = self.factors[name]
        return a @ b

    def save_peft(self, folder: Path, base_model: str, example: int = 0) -> None:
        """Write one example's adapter as a PEFT directory that `PeftModel.from_pretrained` and vLLM load."""
        factors = {name: (a[example], b[example]) for name, (a, b) in self.factors.items()}
        ranks = {name: a.shape[1] for name, (a, _) in factors.items()}
        rank = max(ranks.values())
        config = {
            "peft_type": "LORA",
            "task_type": "SEQ_2_SEQ_LM" if all(name.startswith(("encoder.", "decoder.")) for name in factors) else "CAUSAL_LM",
            "base_model_name_or_path": base_model,
            "r": rank,
            "lora_alpha": rank,
            "lora_dropout": 0.0,
            "bias": "none",
            "inference_mode": True,
            "target_modules": sorted({name.rsplit(".", 1)[-1] for name in factors}),
            "rank_pattern": {name: r for name, r in ranks.items() if r != rank},
            "alpha_pattern": {name: r for name, r in ranks.items() if r != rank},
        }
        tensors = {}
        for name, (a, b) in factors.items():
            tensors[f"base_model.model.{name}.lora_A.weight"] = a.t().contiguous().cpu()
            tensors[f"base_model.model.{name}.lora_B.weight"] = b.t().contiguous().cpu()
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")


def stack(adapters: Sequence[Adapter]) -> Adapter:
    """One adapter for a batch from adapters of the same layers; pairs of zeros make up for a lower rank."""
    names = adapters[0].factors.keys()
    if any(other.factors.keys() != names for other in adapters):
        raise AdapterError("adapters of different layers cannot be stacked")
    return Adapter({name: _stacked([each.factors[name] for each in adapters]) for name in names})


def _stacked(factors: Sequence[Factors]) -> Factors:
    rank = max(a.shape[2] for a, _ in factors)
    a = [F.pad(a, (0, rank - a.shape[2])) for a, _ in factors]
    return torch.cat(a), torch.cat([F.pad(b, (0, 0, 0, rank - b.shape[1])) for _, b in factors])


def compose(adapters: Sequence[Adapter]) -> Adapter:
    """The adapters of several documents for the same rows as one, whose update is the sum of theirs: joined along the rank.

    Raises AdapterError unless they adapt the same layers of as many examples.
    """
    first, *others = adapters
    if any(other.factors.keys() != first.factors.keys() or other.examples != first.examples for other in others):
        raise AdapterError("adapters of different layers, or of different numbers of examples, cannot be joined")
    if not others:
        return first
    pairs = {name: [each.factors[name] for each in adapters] for name in first.factors}
    return Adapter({name: (torch.cat([a for a, _ in p], -1), torch.cat([b for _, b in p], 1)) for name, p in pairs.items()})


@torch.no_grad()
def merge(model: nn.Module, adapter: Adapter) -> None:
    """Add one adapter to the weights of the model, for good.

    Raises AdapterError for adapters of several examples, and for a quantised model, whose weights cannot take one exactly.
    """
    if adapter.examples > 1:
        raise AdapterError(f"{adapter.examples} adapters cannot be merged into one model")
    if getattr(model, "is_quantized", False):
        raise AdapterError("an adapter cannot be merged into quantised weights; load the model without quantize")
    for name in adapter.factors:
        weight: Any = model.get_submodule(name).weight
        weight.add_(adapter.deltas(name)[0].t().to(weight.dtype))


def adaptable_layers(model: nn.Module, modules: Sequence[str]) -> dict[str, nn.Linear]:
    """The linear layers named `modules` (such as "down_proj"), by full name in model order.

    Raises AdapterError if a name is not in the model, listing those that are.
    """
    linear = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    kinds = {name.rsplit(".", 1)[-1] for name in linear}
    if missing := set(modules) - kinds:
        raise AdapterError(f"no linear layer named {sorted(missing)} in {type(model).__name__}; it has {sorted(kinds)}")
    return {name: layer for name, layer in linear.items() if name.rsplit(".", 1)[-1] in modules}


def make_adaptable(model: Any) -> None:
    """Teach every linear layer to look for an active adapter. Idempotent; without one, outputs stay bit-equal."""
    if getattr(model, "_adapter_key", None) is not None:
        return
    key = model._adapter_key = object()
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(_hook(key, name))


def _hook(key: object, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor | None]:
    def add_update(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        active = (_active.get() or {}).get(key, _NOTHING)
        for adapter in active.adapters:
            if (factors := adapter.factors.get(name)) is not None:
                output = output + _update(name, inputs[0], output, *factors, active)
        return output

    return add_update


def _update(name: str, x: Tensor, output: Tensor, a: Tensor, b: Tensor, active: _Applied) -> Tensor:
    n, rows = a.shape[0], x.shape[0]
    if a.shape[1] != x.shape[-1] or b.shape[2] != output.shape[-1]:
        raise AdapterError(
            f"{name}: adapter {tuple(a.shape)} x {tuple(b.shape)} does not fit a layer of "
            f"{x.shape[-1]} inputs and {output.shape[-1]} outputs"
        )
    a, b = a.to(x.dtype), b.to(x.dtype)
    if n == 1:
        return (x @ a[0]) @ b[0]
    if active.owners is not None:
        if active.examples != n or len(active.owners) != rows:
            raise AdapterError(
                f"{name}: {n} adapters for {rows} rows, but the rows said to be here are {len(active.owners)} "
                f"of {active.examples} examples"
            )
        a, b = a[active.owners], b[active.owners]
    elif rows % n:
        raise AdapterError(f"{name}: {n} adapters for a batch of {rows} rows")
    # Beams, passages or questions of one example follow each other: their tokens are multiplied as one row's, with no copy.
    return torch.bmm(torch.bmm(x.reshape(a.shape[0], -1, x.shape[-1]), a), b).view_as(output)


@contextmanager
def applied(model: Any, *adapters: Adapter | None) -> Iterator[None]:
    """Apply adapters to every call of `model` in this block and thread. Updates add up, those of enclosing blocks too.

    Raises AdapterError at once if an adapter names a layer that the model does not have.
    """
    make_adaptable(model)
    given = tuple(adapter for adapter in adapters if adapter is not None)
    names = {name for adapter in given for name in adapter.factors}
    if names:
        layers = {name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
        if unknown := names - layers:
            raise AdapterError(f"{type(model).__name__} has no linear layer {sorted(unknown)[0]!r}, which the adapter names")
    outer = _active.get() or {}
    before = outer.get(model._adapter_key, _NOTHING)
    with _activated({**outer, model._adapter_key: replace(before, adapters=(*before.adapters, *given))}):
        yield


@contextmanager
def rows_of(model: Any, owners: Tensor, examples: int) -> Iterator[None]:
    """In this block, row i of every call of `model` belongs to example owners[i] of `examples`, in any order.

    `owners` (rows,) holds whole numbers. Elsewhere the rows of one example follow each other, equally many of each.
    """
    make_adaptable(model)
    outer = _active.get() or {}
    before = outer.get(model._adapter_key, _NOTHING)
    with _activated({**outer, model._adapter_key: replace(before, owners=owners, examples=examples)}):
        yield


@contextmanager
def bare(model: Any) -> Iterator[None]:
    """The base model alone, whatever adapters an enclosing block applies to it."""
    make_adaptable(model)
    with _activated({**(_active.get() or {}), model._adapter_key: _NOTHING}):
        yield


def same_adapters() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Contexts for a forward pass here and now, and for its repetition in the backward pass, with the adapters of now."""
    return nullcontext(), _activated(_active.get() or {})


@dataclass(frozen=True)
class _Applied:
    """What the layers of one model find: adapters, and which example each row belongs to where they are not in equal runs."""

    adapters: tuple[Adapter, ...] = ()
    owners: Tensor | None = None
    examples: int = 0


_NOTHING = _Applied()


@contextmanager
def _activated(adapters: Mapping[object, _Applied]) -> Iterator[None]:
    token = _active.set(adapters)
    try:
        yield
    finally:
        _active.reset(token)


class StaticLora(nn.Module):
    """A trained LoRA that all examples share: A ~ N(0, 1/d_in), B = 0, scaled by alpha / rank (Hu et al. 2021)."""

    def __init__(self, shapes: Mapping[str, tuple[int, int]], rank: int, alpha: float) -> None:
        super().__init__()
        self.layers, self.rank, self.scale = list(shapes), rank, alpha / rank
        self.a = nn.ParameterList([torch.randn(d_in, rank) * d_in**-0.5 for d_in, _ in shapes.values()])
        self.b = nn.ParameterList([torch.zeros(rank, d_out) for _, d_out in shapes.values()])

    @classmethod
    def on(cls, model: nn.Module, modules: Sequence[str], rank: int, alpha: float, seed: int = 0) -> StaticLora:
        shapes = {name: (layer.in_features, layer.out_features) for name, layer in adaptable_layers(model, modules).items()}
        return cls.seeded(shapes, rank, alpha, seed)

    @classmethod
    def seeded(cls, shapes: Mapping[str, tuple[int, int]], rank: int, alpha: float, seed: int) -> StaticLora:
        """On layers of these (d_in, d_out), decided by the seed alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(shapes, rank, alpha)

    def forward(self) -> Adapter:
        pairs = zip(self.layers, self.a, self.b, strict=True)
        return Adapter({name: (a.unsqueeze(0), (b * self.scale).unsqueeze(0)) for name, a, b in pairs})
