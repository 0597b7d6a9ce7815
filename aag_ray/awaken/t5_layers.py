"""Where a linear layer sits in its model, and T5's layers in readable words: placements of adapters, sets of weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from aag_ray.config import BaseWeights, FidHypernetworkSection, FidLoraSection, LoraSection
from aag_ray.llm.adapters import AdapterError, StaticLora, adaptable_layers
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.sft import lora_modules

PARTS = {"SelfAttention": "self_attention", "EncDecAttention": "cross_attention", "DenseReluDense": "feed_forward"}


@dataclass(frozen=True, slots=True)
class Place:
    """`stack` is "encoder" or "decoder" ("" where there is one only), `block` the layer's number in it, `part` what of the
    block it belongs to ("encoder.self_attention"; in other models than T5 the projection itself)."""

    stack: str
    block: int
    part: str
    projection: str

    @property
    def kind(self) -> str:
        """Equal for the layers that do the same in different blocks."""
        return self.projection if self.part == self.projection else f"{self.part}.{self.projection}"


def layer_place(name: str) -> Place:
    """The place of a layer by its full name, such as "decoder.block.3.layer.1.EncDecAttention.q"."""
    *_, owner, projection = ("", *name.split("."))
    number = re.search(r"\.(\d+)\.", name)
    block = int(number[1]) if number else 0
    stack = name.split(".")[0]
    if owner in PARTS and stack in ("encoder", "decoder"):
        return Place(stack, block, f"{stack}.{PARTS[owner]}", projection)
    return Place("", block, projection, projection)


def require_t5(loaded: LoadedModel) -> Any:
    """The model, if passages can be fused in its decoder. Raises ValueError naming it and what is supported."""
    from transformers import T5ForConditionalGeneration  # the model's own module: nobody else loads it

    if not isinstance(loaded.model, T5ForConditionalGeneration):
        raise ValueError(
            f"model {loaded.name!r} is a {type(loaded.model).__name__}; readers that fuse passages are T5 and flan-T5 "
            "(T5ForConditionalGeneration)"
        )
    return loaded.model


def give_attention_maps(loaded: LoadedModel) -> None:
    """Compute attention in the way that has its maps; fused kernels have not. Each stack of a T5 has a setting of its own."""
    model = require_t5(loaded)
    for part in (model, model.encoder, model.decoder):
        part.set_attn_implementation("eager")


def placed_shapes(loaded: LoadedModel, section: FidLoraSection | FidHypernetworkSection) -> dict[str, tuple[int, int]]:
    """(d_in, d_out) by full name of the section's modules in its placements, in model order.

    Asks the layers themselves, so that neither d_ff = 4 d_model nor heads * d_kv = d_model is taken for granted. Raises
    AdapterError for a placement without any of the modules, and for a module that is in no placement.
    """
    model = require_t5(loaded)
    layers = adaptable_layers(model, lora_modules(loaded, LoraSection(modules=section.modules)))
    places = {name: layer_place(name) for name in layers}
    found: dict[str, tuple[int, int]] = {}
    for name, place in places.items():
        if any(_is_in(place, placement) for placement in section.placements):
            found[name] = (layers[name].in_features, layers[name].out_features)
    empty = [wanted for wanted in section.placements if not any(_is_in(places[name], wanted) for name in found)]
    idle = {place.projection for place in places.values()} - {places[name].projection for name in found}
    if empty or idle:
        raise AdapterError(
            f"modules {list(section.modules)} and placements {list(section.placements)} do not fit each other: "
            f"{f'nothing to adapt in {empty}' if empty else f'{sorted(idle)} is in none of the placements'}; attention has "
            "q_proj, k_proj, v_proj and o_proj, feed_forward has gate_proj, up_proj and down_proj"
        )
    return found


def _is_in(place: Place, placement: str) -> bool:
    return place.part == placement or place.part.endswith(f".{placement}")


def placed_lora(loaded: LoadedModel, section: FidLoraSection, seed: int) -> StaticLora:
    """A static LoRA at its start, on the section's placements."""
    return StaticLora.seeded(placed_shapes(loaded, section), section.rank, section.alpha, seed)


def base_weights(model: Any, wanted: Sequence[BaseWeights]) -> dict[str, nn.Parameter]:
    """The named sets of a T5's own weights, by name. Tied weights are one: "embeddings" is also the output layer."""
    embedding = model.get_input_embeddings().weight
    tests = {
        "norms": lambda name, _: name.endswith("layer_norm.weight"),
        "embeddings": lambda _, parameter: parameter is embedding,
        "feed_forward": lambda name, _: ".DenseReluDense.w" in name,
        "all": lambda name, parameter: True,
    }
    chosen = [tests[name] for name in wanted]
    return {name: p for name, p in model.named_parameters() if any(test(name, p) for test in chosen)}
