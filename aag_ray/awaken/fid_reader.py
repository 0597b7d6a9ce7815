"""A T5 that reads by fusing passages, with what was trained on it: a LoRA, a hypernetwork, weights of its own.

reader = FidReader.from_pretrained("runs/fid/reader/best")
reader.answer([with_passages(question, passages)])[0].text
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from aag_ray.artifacts import write_json
from aag_ray.awaken.fid import Fid
from aag_ray.awaken.fid_scores import PassageScore, passage_scores
from aag_ray.awaken.hypernetwork import Hypernetwork
from aag_ray.awaken.reader import read_conditions
from aag_ray.awaken.t5_layers import base_weights
from aag_ray.config import BaseWeights, DType, ModelSection
from aag_ray.llm.adapters import Adapter, StaticLora, applied
from aag_ray.llm.engine import Generation, in_batches
from aag_ray.llm.gold_answers import GoldAnswer, gold_answers
from aag_ray.llm.load import LoadedModel, load_model
from aag_ray.llm.resolve import resolve_trained
from aag_ray.llm.sft import load_lora, save_lora

CONFIG = "fid.json"
WEIGHTS = "base.safetensors"


class FidReader(nn.Module):
    """Registered are the parts that are trained; a base of which nothing is trained or sharded stays outside."""

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        lora: StaticLora | None = None,
        hypernetwork: Hypernetwork | None = None,
        trained: Sequence[BaseWeights] = (),
        longest: int = 512,
        longest_answer: int = 64,
        compute: torch.dtype | None = None,
        shard_base: bool = False,
    ) -> None:
        """`trained` names the base's own weights that are trained. `longest` bounds one input, in tokens.

        Raises ValueError for another model than T5, AdapterError for a hypernetwork of another base model.
        """
        super().__init__()
        self.lora, self.hypernetwork, self.trained = lora, hypernetwork, tuple(trained)
        self.longest, self.longest_answer = longest, longest_answer
        self.fid = Fid(loaded, bucketed=not shard_base, compute=compute)
        if self.trained or shard_base:
            self.base: Any = loaded.model
        if hypernetwork is not None:
            hypernetwork.refuse_other_base(loaded)
        for part in (lora, hypernetwork):
            if part is not None:
                part.to(loaded.device)
        for parameter in base_weights(loaded.model, self.trained).values():
            parameter.requires_grad_(True)

    @property
    def loaded(self) -> LoadedModel:
        return self.fid.loaded

    def thaw(self) -> FidReader:
        """What was trained is trained again; the inverse of freezing all. Raises ValueError if that is nothing."""
        parts = [part for part in (self.lora, self.hypernetwork) if part is not None]
        parameters = [p for part in parts for p in part.parameters()] + [
            *base_weights(self.loaded.model, self.trained).values()
        ]
        if not parameters:
            raise ValueError(
                f"nothing of the reader on {self.loaded.name!r} is trained: no LoRA, hypernetwork or weights of its own"
            )
        for parameter in parameters:
            parameter.requires_grad_(True)
        return self

    def train(self, mode: bool = True) -> FidReader:
        """The base stays in eval mode, also where it is trained: its dropout would draw random numbers."""
        self.training = mode
        for part in (self.lora, self.hypernetwork):
            if part is not None:
                part.train(mode)
        return self

    def trained_counts(self) -> dict[str, int]:
        """Trained parameters of each part: lora, hypernetwork and the sets of the base's weights."""
        counts = {name: part for name in ("lora", "hypernetwork") if (part := getattr(self, name)) is not None}
        sizes = {name: sum(p.numel() for p in part.parameters() if p.requires_grad) for name, part in counts.items()}
        for name in self.trained:
            sizes[name] = sum(p.numel() for p in base_weights(self.loaded.model, [name]).values())
        return sizes

    def tokens(self, inputs: Sequence[str]) -> list[list[int]]:
        return self.fid.tokens(inputs, self.longest)

    def adapters(self, conditions: Sequence[str | None]) -> list[Adapter]:
        """What is applied while these examples are read. Raises ValueError if one lacks the text its adapter is made from."""
        shared = [self.lora()] if self.lora is not None else []
        if self.hypernetwork is None:
            return shared
        texts = [text for text in conditions if text]
        if missing := len(conditions) - len(texts):
            raise ValueError(f"{missing} of {len(conditions)} examples have no condition to make their adapters from")
        with self.fid.computing():
            condition = read_conditions(self.loaded, self.hypernetwork, texts, self.longest)
        return [*shared, self.hypernetwork(condition)]

    @torch.no_grad()
    def answer(
        self,
        inputs: Sequence[Sequence[str]],
        conditions: Sequence[str | None] | None = None,
        *,
        max_new_tokens: int | None = None,
        beams: int = 1,
        batch: int = 16,
    ) -> list[Generation]:
        """One answer for each example's inputs, in the order given."""
        conditions = conditions or [None] * len(inputs)
        encoded = [self.tokens(example) for example in inputs]

        def written(rows: list[int]) -> list[Generation]:
            with applied(self.loaded.model, *self.adapters([conditions[row] for row in rows])):
                return self.fid.generate([encoded[row] for row in rows], max_new_tokens or self.longest_answer, beams)

        return in_batches([sum(map(len, example)) for example in encoded], batch, written)

    @torch.no_grad()
    def read_gold(
        self,
        inputs: Sequence[Sequence[str]],
        answers: Sequence[str],
        conditions: Sequence[str | None] | None = None,
        *,
        batch: int = 16,
    ) -> list[GoldAnswer]:
        """How well each example's gold answer is foreseen, in the order given; its end token is not counted."""
        conditions = conditions or [None] * len(inputs)
        encoded = [self.tokens(example) for example in inputs]

        def seen(rows: list[int]) -> list[GoldAnswer]:
            told = self.fid.targets([answers[row] for row in rows], self.longest_answer)
            with applied(self.loaded.model, *self.adapters([conditions[row] for row in rows])):
                logits, _ = self.fid.decode(self.fid.encode([encoded[row] for row in rows]), told)
            counts = told.label != self.fid.tokenizer.eos_token_id
            return gold_answers(logits[counts], told.label[counts], told.row[counts], len(rows))

        return in_batches([sum(map(len, example)) for example in encoded], batch, seen)

    @torch.no_grad()
    def passage_scores(
        self, inputs: Sequence[Sequence[str]], conditions: Sequence[str | None] | None = None
    ) -> list[list[PassageScore]]:
        """How much the reader attends to each input of these examples, read in one batch."""
        with applied(self.loaded.model, *self.adapters(conditions or [None] * len(inputs))):
            return passage_scores(self.fid, [self.tokens(example) for example in inputs])

    def save_pretrained(self, folder: Path) -> None:
        """`lora/`, `hypernetwork/` and the base's trained weights, whichever there are, with what rebuilds the reader."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.lora is not None:
            save_lora(self.lora, folder / "lora")
        if self.hypernetwork is not None:
            self.hypernetwork.save_pretrained(folder / "hypernetwork")
        if self.trained:
            weights = base_weights(self.loaded.model, self.trained)
            save_file({name: p.detach().cpu().contiguous() for name, p in weights.items()}, folder / WEIGHTS)
        settings = {"base_model": self.loaded.name, "trained": list(self.trained)}
        write_json(folder / CONFIG, settings | {"longest": self.longest, "longest_answer": self.longest_answer})

    @classmethod
    def from_pretrained(
        cls,
        folder: Path | str,
        loaded: LoadedModel | None = None,
        *,
        dtype: DType = "auto",
        device: str | None = None,
        compute: torch.dtype | None = None,
    ) -> FidReader:
        """A frozen reader from what `save_pretrained` wrote, in a folder or under a hub id.

        `loaded` is its base model if that is at hand; trained weights are written into it. Raises ModelNotFound where neither
        holds such a reader, ValueError if what was trained is another model's.
        """
        folder = resolve_trained(str(folder), CONFIG)
        settings = json.loads((folder / CONFIG).read_text())
        loaded = loaded or load_model(ModelSection(name=settings["base_model"], dtype=dtype), device)
        trained: tuple[BaseWeights, ...] = tuple(settings["trained"])
        reader = cls(
            loaded,
            lora=load_lora(folder / "lora") if (folder / "lora").exists() else None,
            hypernetwork=Hypernetwork.from_pretrained(folder / "hypernetwork") if (folder / "hypernetwork").exists() else None,
            trained=trained,
            longest=settings["longest"],
            longest_answer=settings["longest_answer"],
            compute=compute,
        )
        weights, parameters = load_file(folder / WEIGHTS) if trained else {}, base_weights(loaded.model, trained)
        if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in parameters.items()}:
            raise ValueError(f"{folder / WEIGHTS} holds weights of another model than {loaded.name!r}")
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(weights[name])
        return reader.requires_grad_(False)
