"""Memory for time: activations that are computed again in the backward pass instead of kept (Chen et al. 2016)."""

from __future__ import annotations

from typing import Any

from aag_ray.llm.adapters import same_adapters


def recompute_activations(model: Any) -> None:
    """Let a Transformers model keep only what enters each layer. Adapters that are applied in the forward pass are applied
    again when it is repeated, whichever thread that happens in. Raises ValueError for a model that cannot do it.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    if not getattr(model, "supports_gradient_checkpointing", False):
        raise ValueError(f"{type(model).__name__} does not support gradient checkpointing; set gradient_checkpointing=false")
    model.gradient_checkpointing_enable({"use_reentrant": False, "context_fn": same_adapters})
    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            layer.training = True  # of the layer alone: what it holds, such as dropout, stays as it is
