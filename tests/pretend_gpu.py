"""A GPU without a GPU: tensors that say they lie on one, and refuse to meet others as they would there.

`pretend_gpu()` makes `cuda:0` a place of this process. What lies there is held by the CPU and computed by it, gradients
included, so that every number is the CPU's; an operation on tensors of two places fails as it does on a real GPU. Nothing
is said about speed, memory, or number types of a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_iter, tree_map
from transformers import PreTrainedModel

GPU = torch.device("cuda:0")
aten = torch.ops.aten
# What takes tensors of two places on a real GPU too: copies between them, and indices of the CPU.
COPIES = {aten._to_copy.default, aten.copy_.default, *(getattr(aten.to, name) for name in aten.to.overloads())}
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._unsafe_index.Tensor}


class OnGpu(Tensor):
    """A tensor of the pretended GPU. To PyTorch's C++ it is one without data ("meta"), which needs no driver."""

    held: Tensor
    __torch_function__: Any = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    @staticmethod
    def __new__(cls, held: Tensor) -> OnGpu:
        layout: dict[str, Any] = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), device=torch.device("meta"), dispatch_device=True, **layout
        )
        made.held = held
        return made

    def tolist(self) -> Any:
        return self.held.tolist()

    def untyped_storage(self) -> Any:
        return self.held.untyped_storage()

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def numpy(self, **_: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor first.")

    def __repr__(self, **_: Any) -> str:
        return f"OnGpu({self.held!r})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


# PyTorch's stubs call these attributes.
for _name, _value in {"device": GPU, "is_cuda": True, "is_cpu": False, "is_meta": False}.items():
    setattr(OnGpu, _name, property(lambda _, value=_value: value))


class _Placed(TorchDispatchMode):
    """Operations that name a device, or whose tensors have one."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


class _Built(TorchFunctionMode):
    """Tensors made from Python values: PyTorch moves those out of sight of any mode."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and (device := kwargs.pop("device", None)) is not None:
            return func(*args, **kwargs).to(device)
        if func is Tensor.new_tensor:
            return torch.tensor(*args[1:], **{"dtype": args[0].dtype, "device": args[0].device} | kwargs)
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            args = (args[0], _indices(args[1]), *args[2:])
        args, kwargs = tree_map(_numbered, (args, kwargs))
        return func(*args, **kwargs)


def _numbered(value: Any) -> Any:
    """The device with its number, which PyTorch would ask the driver for."""
    if isinstance(value, torch.device):
        return GPU if value.type == "cuda" else value
    return GPU if isinstance(value, str) and value == "cuda" else value


def _here(value: Any) -> Any:
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value.held if isinstance(value, OnGpu) else value


def _indices(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_indices(part) for part in index)
    return torch.tensor(index) if isinstance(index, list) else index


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    if func is torch.ops.prim.device.default:
        return torch.device("meta")  # what C++ is told; Python reads the property
    tensors = [value for value in tree_iter((args, kwargs)) if isinstance(value, Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, OnGpu)]
    here = [tensor for tensor in tensors if not isinstance(tensor, OnGpu) and tensor.dim()]  # scalars may go anywhere
    indexed_there = func in INDEXED and isinstance(args[0], OnGpu)
    if there and here and func not in COPIES and not indexed_there:
        sizes = " and ".join(f"{place} {[tuple(t.shape) for t in of]}" for place, of in (("GPU", there), ("CPU", here)))
        raise RuntimeError(f"{func}: expected all tensors on the same device, found {sizes}")
    asked = next((value.type for value in tree_iter((args, kwargs)) if isinstance(value, torch.device)), None)
    on_gpu = bool(there) if asked is None else asked in ("cuda", "meta")
    if kwargs.get("pin_memory"):
        kwargs = kwargs | {"pin_memory": False}
    args, kwargs = tree_map(_here, (given := args, kwargs))
    made = func(*args, **kwargs)
    if func._schema.is_mutable:
        return given[0] if func._schema.returns else None
    return tree_map(lambda value: OnGpu(value) if isinstance(value, Tensor) else value, made) if on_gpu else made


def _moved(module: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
    """`nn.Module.to`, by new parameters: the data of one that exists cannot change its kind."""
    made: dict[nn.Parameter, nn.Parameter] = {}  # tied weights stay one
    for part in module.modules():
        for name, old in part._parameters.items():
            if old is not None and old not in made:
                made[old] = nn.Parameter(old.detach().to(*args, **kwargs), old.requires_grad)
            if old is not None:
                part._parameters[name] = made[old]
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = buffer.to(*args, **kwargs)
    return module


def _without_gradients(self: Any) -> None:
    """What `torch.inference_mode` does for values; its tensors cannot be wrapped."""
    self.pretended = torch.no_grad()
    self.pretended.__enter__()


def _loaded(load: Any) -> Any:
    """Weights are loaded to the CPU, by way of tensors that have no data yet and are no GPU's."""

    def from_pretrained(cls: Any, *args: Any, **kwargs: Any) -> Any:
        with _disable_current_modes():
            return load(cls, *args, **kwargs)

    return classmethod(from_pretrained)


@contextmanager
def pretend_gpu() -> Iterator[torch.device]:
    """Make `cuda:0` usable in this block and give it. One thread only: others do not see it."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(torch.cuda, "_lazy_init", return_value=None))
        stack.enter_context(mock.patch.object(torch.cuda, "is_available", return_value=True))
        stack.enter_context(mock.patch.object(torch.cuda, "is_bf16_supported", return_value=False))
        stack.enter_context(mock.patch.object(nn.Module, "to", _moved))
        inference = torch.inference_mode
        stack.enter_context(mock.patch.object(inference, "__enter__", _without_gradients))
        stack.enter_context(mock.patch.object(inference, "__exit__", lambda self, *raised: self.pretended.__exit__(*raised)))
        load = PreTrainedModel.from_pretrained.__func__
        stack.enter_context(mock.patch.object(PreTrainedModel, "from_pretrained", _loaded(load)))
        stack.enter_context(_Built())
        stack.enter_context(_Placed())
        yield GPU
