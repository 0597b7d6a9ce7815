"""Supervised fine-tuning on prompt -> target: the generator, the teacher and the static baseline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from aag_ray.config import LoraSection
from aag_ray.llm.adapters import Adapter, StaticLora, adaptable_layers, applied
from aag_ray.llm.batches import encode_pair, mean_over_rows, nll, target_batch, target_logits
from aag_ray.llm.engine import pad
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.objective import Example, Objective
from aag_ray.llm.packing import keeps_rows_apart, packed_batch, packed_logits

T5_NAMES = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "o_proj": "o", "down_proj": "wo"}


class SftObjective(Objective):
    """Cross-entropy of the target given the prompt, for decoders and encoder-decoders; loss on the target only.

    With `lora` the frozen base stays outside the module tree and a static LoRA is trained; without it the whole model is.
    Examples are mappings with `id`, `prompt` and `target`.
    """

    def __init__(self, loaded: LoadedModel, lora: StaticLora | None, longest: int = 2048, *, shard_base: bool = False) -> None:
        super().__init__()
        self.lora, self.longest, self.packed = lora, longest, 0
        self._held: tuple[LoadedModel] = (loaded,)  # a tuple, so that the base model is not registered as a submodule
        if lora is None or shard_base:
            self.base: Any = loaded.model
            self.base.requires_grad_(lora is None)
        if lora is not None:
            lora.to(loaded.device)

    @property
    def loaded(self) -> LoadedModel:
        return self._held[0]

    def pack(self, tokens: int) -> None:
        if not keeps_rows_apart(self.loaded):
            kind = type(self.loaded.model).__name__
            raise ValueError(f"{self.loaded.name} ({kind}) would not keep the rows of one sequence apart")
        self.packed = tokens

    def length(self, example: Example) -> int:
        return sum(map(len, encode_pair(self.loaded.tokenizer, example["prompt"], example["target"], self.longest)))

    def row_losses(self, examples: Sequence[Example]) -> Tensor:
        """(n,) mean cross-entropy of each example's target tokens."""
        model: Any = self.loaded.model
        prompts, targets = [e["prompt"] for e in examples], [e["target"] for e in examples]
        adapter: Adapter | None = self.lora() if self.lora is not None else None
        with applied(model, adapter):
            if self.loaded.is_encoder_decoder:
                return self._seq2seq_losses(model, prompts, targets)
            if self.packed:
                batch = packed_batch(self.loaded, prompts, targets, self.longest, self.packed)
                logits = packed_logits(model, batch)
            else:
                batch = target_batch(self.loaded, prompts, targets, self.longest)
                logits, _ = target_logits(model, batch)
            return nll(logits, batch.label, batch.row, len(examples))

    def _seq2seq_losses(self, model: Any, prompts: Sequence[str], targets: Sequence[str]) -> Tensor:
        tokenizer: Any = self.loaded.tokenizer
        read = [tokenizer(prompt)["input_ids"][: self.longest] for prompt in prompts]
        end = [tokenizer.eos_token_id]
        write = [
            tokenizer(target.strip(), add_special_tokens=False)["input_ids"][: self.longest - 1] + end for target in targets
        ]
        ids, mask = pad(read, tokenizer.pad_token_id, left=False, device=self.loaded.device)
        labels, label_mask = pad(write, 0, left=False, device=self.loaded.device)
        logits = model(input_ids=ids, attention_mask=mask, labels=labels).logits
        row, column = label_mask.nonzero(as_tuple=True)
        return mean_over_rows(
            F.cross_entropy(logits[row, column].float(), labels[row, column], reduction="none"), row, len(prompts)
        )

    def forward(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        return {"loss": self.row_losses(examples).mean()}

    @torch.no_grad()
    def score(self, examples: Sequence[Example]) -> list[float]:
        """Minus the mean cross-entropy of each target."""
        return (-self.row_losses(examples)).tolist()

    def save_pretrained(self, folder: Path) -> None:
        if self.lora is not None:
            save_lora(self.lora, folder)
        else:
            self.loaded.model.save_pretrained(folder, safe_serialization=True)
            self.loaded.tokenizer.save_pretrained(folder)


def new_lora(loaded: LoadedModel, section: LoraSection, seed: int, rank: int | None = None) -> StaticLora:
    """A LoRA at its start on the section's modules, of the section's rank or of `rank` with the same scale."""
    rank = rank or section.rank
    return StaticLora.on(loaded.model, lora_modules(loaded, section), rank, section.alpha * rank / section.rank, seed)


def lora_modules(loaded: LoadedModel, section: LoraSection) -> list[str]:
    """The section's modules as this model calls them: in a T5 `q_proj` is `q`, `down_proj` is `wo`, `up_proj` is `wi`."""
    if not loaded.is_encoder_decoder:
        return list(section.modules)
    gated = bool(getattr(loaded.model.config, "is_gated_act", False))
    names = T5_NAMES | {"gate_proj": "wi_0" if gated else "wi", "up_proj": "wi_1" if gated else "wi"}
    return sorted({names[module] for module in section.modules})


def static_lora_rank(loaded: LoadedModel, section: LoraSection, parameters: int) -> int:
    """The rank at which a static LoRA on the section's modules has about this many parameters."""
    layers = adaptable_layers(loaded.model, lora_modules(loaded, section)).values()
    return max(1, round(parameters / sum(layer.in_features + layer.out_features for layer in layers)))


def save_lora(lora: StaticLora, folder: Path) -> None:
    """All weights as safetensors, with what rebuilds the module in config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {name: (a.shape[0], b.shape[1]) for name, a, b in zip(lora.layers, lora.a, lora.b, strict=True)}
    config = {"shapes": shapes, "rank": lora.rank, "alpha": lora.scale * lora.rank}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file({k: t.detach().cpu().contiguous() for k, t in lora.state_dict().items()}, folder / "model.safetensors")


def load_lora(folder: Path) -> StaticLora:
    config = json.loads((folder / "config.json").read_text())
    lora = StaticLora(
        {name: (d_in, d_out) for name, (d_in, d_out) in config["shapes"].items()}, config["rank"], config["alpha"]
    )
    lora.load_state_dict(load_file(folder / "model.safetensors"))
    return lora.requires_grad_(False)


def is_lora(folder: Path) -> bool:
    """Whether a trained folder is a LoRA on a base (True) or a whole model of its own."""
    return not (folder / "generation_config.json").exists()
