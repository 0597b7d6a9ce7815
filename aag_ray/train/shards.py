"""Base models that no worker holds whole: ZeRO-3 takes their weights apart while they are loaded, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from aag_ray.config import Shard
from aag_ray.train.deepspeed_setup import join_workers


@contextmanager
def sharded_loading(device: torch.device, dtype: torch.dtype, shard: Shard) -> Iterator[None]:
    """Inside, `from_pretrained` leaves each worker its part of every weight. All workers load the same models alike.

    The first worker hands each weight out; the files are mapped into the memory of every worker's machine, not copied to
    its device.
    """
    join_workers(device.type == "cuda")
    from transformers.integrations.deepspeed import HfDeepSpeedConfig, unset_hf_deepspeed_config

    held = HfDeepSpeedConfig(_config(dtype, shard))  # transformers asks for it as long as somebody holds it
    try:
        yield
    finally:
        del held
        unset_hf_deepspeed_config()


@contextmanager
def readable_shards(model: nn.Module, device: torch.device, dtype: torch.dtype, shard: Shard) -> Iterator[None]:
    """Inside, the model that lies in parts can be called, by all workers alike: each layer's weights are fetched for its turn.

    In a training, DeepSpeedEngine sees to that.
    """
    deepspeed = join_workers(device.type == "cuda")
    engine, *_ = deepspeed.initialize(model=model, config=_config(dtype, shard), dist_init_required=False)
    try:
        yield
    finally:
        engine.destroy()


def _config(dtype: torch.dtype, shard: Shard) -> dict[str, Any]:
    # DeepSpeed's own linear layer, which it would put in place of torch's for the whole process, only saves memory in graphs
    # that hold whole weights.
    zero: dict[str, Any] = {"stage": 3, "memory_efficient_linear": False}
    if shard == "cpu":
        zero["offload_param"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "zero_optimization": zero,
        "bf16": {"enabled": dtype == torch.bfloat16},
        "steps_per_print": 1 << 62,
    }
