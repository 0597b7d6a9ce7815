"""Sentence embeddings from a sentence-transformers folder, with plain transformers.

embedder = Embedder.load()
similarities = embedder.embed(texts) @ embedder.embed([question])[0]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from aag_ray.config import ModelSection
from aag_ray.llm.load import choose_dtype
from aag_ray.llm.packaged import ModelError, progress_bars
from aag_ray.llm.resolve import resolve_model

DEFAULT = ModelSection(name="all-minilm-l6-v2", dtype="float32")
Mode = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
# The flags of 1_Pooling/config.json, in the order in which sentence-transformers joins their vectors.
FLAGS: dict[str, Mode] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
MODULES = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a folder wants its vectors made: pooling, tokens a text may have, and what is written before every text."""

    pooling: tuple[Mode, ...] = ("mean",)
    max_tokens: int | None = None
    prompt: str = ""

    @classmethod
    def read(cls, folder: Path) -> Recipe:
        """The recipe in a folder's files; mean pooling where it has none. Raises ModelError for one that is not known here."""
        listed = _json(folder / "modules.json", [])
        modules = {str(each.get("type")).rpartition(".")[2]: str(each.get("path", "")) for each in listed}
        if unknown := [name for name in modules if name not in MODULES]:
            raise ModelError(f"{folder}/modules.json has a module {unknown[0]}; known are {', '.join(MODULES)}")
        settings = _json(folder / "sentence_bert_config.json", {})
        prompts = _json(folder / "config_sentence_transformers.json", {})
        named = prompts.get("default_prompt_name")
        return cls(
            pooling=_pooling(folder / modules.get("Pooling", "1_Pooling") / "config.json"),
            max_tokens=settings.get("max_seq_length"),
            prompt=prompts.get("prompts", {}).get(named, "") if named else "",
        )


@dataclass(frozen=True, slots=True)
class Embedder:
    """A frozen encoder. `name` is what was asked for, `path` the folder it came from."""

    model: PreTrainedModel = field(repr=False)
    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    recipe: Recipe
    device: torch.device
    name: str
    path: Path

    @classmethod
    def load(cls, model: ModelSection | str = DEFAULT, device: str | None = None) -> Embedder:
        """Resolve a name (folder, hub id or packaged model) and load it; a bare name is computed in float32.

        `device` None is the first GPU, or the CPU without one. Raises ModelNotFound if the name leads nowhere and
        ModelError if the folder holds no encoder, or a pooling that is not known here.
        """
        section = ModelSection(name=model, dtype="float32") if isinstance(model, str) else model
        path = resolve_model(section.name)
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        recipe = Recipe.read(path)
        try:
            with progress_bars(sys.stderr.isatty()):
                encoder: Any = AutoModel.from_pretrained(path, dtype=choose_dtype(section.dtype, place), use_safetensors=True)
            tokenizer = AutoTokenizer.from_pretrained(path)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"embedding model {section.name!r} in {path} cannot be loaded: {error}") from error
        if encoder.config.is_encoder_decoder:
            raise ModelError(f"embedding model {section.name!r} in {path} is an encoder-decoder; an encoder is needed")
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "right"  # the pooling counts from the first token
        encoder.eval().requires_grad_(False).to(place)
        return cls(encoder, tokenizer, recipe, place, section.name, path)

    @property
    def size(self) -> int:
        """Length of a vector."""
        return int(self.model.config.hidden_size) * len(self.recipe.pooling)

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that count; what follows is cut."""
        limits = (
            self.recipe.max_tokens,
            self.tokenizer.model_max_length,
            getattr(self.model.config, "max_position_embeddings", None),
        )
        return min(int(limit) for limit in limits if limit)

    def embed(self, texts: Sequence[str], batch: int = 32) -> np.ndarray:
        """Vectors of length 1, float32 [len(texts), size], in the order of `texts`; `batch` texts are computed at once.

        Texts of like length share a batch, so a vector does not depend on what stands beside it but for rounding.
        """
        if batch < 1:
            raise ValueError(f"batch={batch} must be at least 1")
        vectors = np.zeros((len(texts), self.size), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda at: -len(texts[at]))
        with torch.inference_mode():
            for start in range(0, len(order), batch):
                chosen = order[start : start + batch]
                vectors[chosen] = self._embedded([self.recipe.prompt + texts[at] for at in chosen]).cpu().numpy()
        return vectors

    def _embedded(self, texts: list[str]) -> Tensor:
        inputs = self.tokenizer(texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt").to(
            self.device
        )
        states = self.model(**inputs).last_hidden_state.float()
        pooled = [pool(mode, states, inputs["attention_mask"]) for mode in self.recipe.pooling]
        return functional.normalize(torch.cat(pooled, dim=1), dim=1)


def pool(mode: Mode, states: Tensor, mask: Tensor) -> Tensor:
    """One vector a text [n, d] from the states of its tokens [n, t, d]; `mask` [n, t] is 1 for a token, 0 for padding."""
    seen = mask.unsqueeze(-1).to(states.dtype)
    match mode:
        case "cls":
            return states[:, 0]
        case "lasttoken":
            last = mask.sum(dim=1).clamp(min=1) - 1
            return states[torch.arange(len(states), device=states.device), last]
        case "max":
            return states.masked_fill(seen == 0, float("-inf")).amax(dim=1)
        case "mean":
            return (states * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)
        case "mean_sqrt_len_tokens":
            return (states * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1).sqrt()
        case "weightedmean":
            weights = seen * torch.arange(1, states.shape[1] + 1, device=states.device).view(1, -1, 1)
            return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def _pooling(file: Path) -> tuple[Mode, ...]:
    settings = _json(file, {"pooling_mode": "mean"})
    named = settings.get("pooling_mode")
    asked = [named] if isinstance(named, str) else list(named or [])
    asked = asked or [mode for flag, mode in FLAGS.items() if settings.get(flag)]
    known: dict[str, Mode] = {mode: mode for mode in FLAGS.values()}
    if not asked or any(mode not in known for mode in asked):
        wrong = ", ".join(map(str, asked)) or "none"
        raise ModelError(f"{file} asks for the pooling {wrong}; known are {', '.join(known)}")
    return tuple(known[mode] for mode in asked)


def _json(file: Path, default: Any) -> Any:
    if not file.is_file():
        return default
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} is not readable JSON: {error}") from error
    if not isinstance(found, type(default)):
        raise ModelError(f"{file} is no JSON {type(default).__name__} but {type(found).__name__}")
    return found
