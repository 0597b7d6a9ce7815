"""A PEFT folder read into tensors, for one model that several roles share."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from aag_ray.llm.adapters import Adapter

PREFIX = "base_model.model."


def load_adapter(folder: Path) -> Adapter:
    """The LoRA factors of a PEFT folder; the inverse of `Adapter.save_peft`.

    Raises ValueError, naming the folder, for one that is no LoRA, or one with a feature that plain factors do not express.
    """
    try:
        config = json.loads((folder / "adapter_config.json").read_text())
        tensors = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(f"{folder} is no readable PEFT folder: {error}") from error
    if config.get("peft_type") != "LORA" or config.get("use_dora") or config.get("bias", "none") != "none":
        raise ValueError(f"{folder} is not a plain LoRA without biases: {config.get('peft_type')}")
    names = {key.removeprefix(PREFIX).rpartition(".lora_")[0] for key in tensors}
    if other := [key for key in tensors if not key.endswith((".lora_A.weight", ".lora_B.weight"))]:
        raise ValueError(f"{folder} holds {other[0]}, which is no factor of a LoRA")
    factors = {}
    for name in sorted(names):
        a, b = (tensors[f"{PREFIX}{name}.lora_{factor}.weight"].t() for factor in "AB")
        rank = a.shape[1]
        alpha = config.get("alpha_pattern", {}).get(name, config.get("lora_alpha", rank))
        scale = alpha / (rank**0.5 if config.get("use_rslora") else rank)
        factors[name] = (a.unsqueeze(0).contiguous(), (b * scale).unsqueeze(0).contiguous())
    return Adapter(factors)
