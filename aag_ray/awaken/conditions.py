"""What an adapter is made from: what a base model makes of a text."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Condition:
    """`states` (layers, n, tokens, d_model), `mask` (n, tokens), `feature` (n, size), `embeddings` (n, tokens, d_model), and by
    layer name `inputs`, each (n, tokens, d_in): what that layer was given. None and empty where nobody asked for them."""

    states: Tensor | None = None
    mask: Tensor | None = None
    feature: Tensor | None = None
    embeddings: Tensor | None = None
    inputs: Mapping[str, Tensor] = field(default_factory=dict)


@torch.no_grad()
def condition_from(
    model: Any, input_ids: Tensor, mask: Tensor, *, pooled: bool = False, inputs_of: Collection[str] = ()
) -> Condition:
    """Run the base model over the condition's tokens (right- or left-padded, `mask` tells) and keep its states: those of
    the encoder, where there is one.

    `pooled` gives the masked mean of the last layer; otherwise the input states of every layer, and what the layers named
    in `inputs_of` are given, with the tokens' embeddings as the vocabulary holds them: the first layer's states are those
    only where a model neither scales them nor adds positions.
    """
    body = model.get_encoder() if model.config.is_encoder_decoder else model.base_model
    with _inputs_kept(model, inputs_of) as inputs:
        output = body(input_ids=input_ids, attention_mask=mask, output_hidden_states=not pooled, use_cache=False)
    if pooled:
        weights = mask.unsqueeze(-1).to(torch.float32)
        return Condition(feature=(output.last_hidden_state.float() * weights).sum(1) / weights.sum(1))
    embeddings = model.get_input_embeddings()(input_ids) if inputs_of else None
    return Condition(torch.stack(output.hidden_states[:-1]), mask, embeddings=embeddings, inputs=inputs)


@contextmanager
def _inputs_kept(model: nn.Module, names: Collection[str]) -> Iterator[dict[str, Tensor]]:
    """What each of these layers is given while the block runs."""
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda layer, given: kept.__setitem__(name, given[0])

    handles = [model.get_submodule(name).register_forward_pre_hook(keep(name)) for name in names]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
