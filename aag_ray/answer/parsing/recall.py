"""What a model answers without any source, and how likely it finds that itself: the measure of what it knows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from aag_ray import prompts
from aag_ray.answer.parsing.examples import Recalled
from aag_ray.awaken.awakened import AwakeningModel
from aag_ray.config import ModelSection
from aag_ray.llm.adapters import Adapter, applied
from aag_ray.llm.batches import nll, target_batch, target_logits
from aag_ray.llm.engine import TransformersEngine, length_batches
from aag_ray.llm.load import LoadedModel, load_model


class ClosedBook:
    """Answers from memory as the endpoint does: an awakening model with its dummy document and adapter, or a base model in its
    chat template."""

    def __init__(self, loaded: LoadedModel, awakening: AwakeningModel | None, answer_tokens: int, batch: int = 32) -> None:
        self.loaded, self.awakening, self.answer_tokens, self.batch = loaded, awakening, answer_tokens, batch
        self.engine = TransformersEngine(loaded, batch)

    @classmethod
    def load(cls, model: ModelSection, awakening: Path | None, answer_tokens: int, batch: int = 32) -> ClosedBook:
        """The awakening model of a folder, or the base model alone. Raises what loading them raises."""
        if awakening is None:
            return cls(load_model(model), None, answer_tokens, batch)
        awakened = AwakeningModel.from_pretrained(awakening)
        return cls(awakened.loaded, awakened, answer_tokens, batch)

    def recall(self, ids: Sequence[str], questions: Sequence[str]) -> list[Recalled]:
        """An answer and its likelihood for each question, in order."""
        texts, adapter, shared = self._prompts(questions)
        written = self.engine.generate(texts, max_new_tokens=self.answer_tokens, adapter=adapter, shared=shared)
        answers = [each.text for each in written]
        likelihoods = self._likelihoods(texts, answers, adapter, shared)
        return [Recalled(*row) for row in zip(ids, answers, likelihoods, strict=True)]

    def _prompts(self, questions: Sequence[str]) -> tuple[list[str], Adapter | None, list[Adapter]]:
        model = self.awakening
        if model is None:
            return [prompts.zero_shot_prompt(self.loaded.tokenizer, question) for question in questions], None, []
        documents = [each.text for each in model.generator.write(questions, questions)]
        place = model.settings.document_in
        adapter = model.adapters(questions, documents) if place != "text" else None
        shown = documents if place != "parameters" else [None] * len(documents)
        texts = [prompts.reader_prompt(question, document=text) for question, text in zip(questions, shown, strict=True)]
        return texts, adapter, model.shared

    @torch.inference_mode()
    def _likelihoods(
        self, texts: Sequence[str], answers: Sequence[str], adapter: Adapter | None, shared: Sequence[Adapter]
    ) -> list[float]:
        model: Any = self.loaded.model
        # A prompt that ends in a word goes on with a space; a chat template ends where the answer begins.
        targets = [f" {answer}" if text[-1:].strip() else answer for text, answer in zip(texts, answers, strict=True)]
        asked = [number for number, answer in enumerate(answers) if answer]
        found = [0.0] * len(texts)
        for rows in length_batches([len(texts[number]) for number in asked], self.batch):
            chosen = [asked[row] for row in rows]
            with applied(model, *shared, adapter.select(chosen) if adapter is not None else None):
                batch = target_batch(self.loaded, [texts[n] for n in chosen], [targets[n] for n in chosen])
                logits, _ = target_logits(model, batch)
            for number, loss in zip(chosen, nll(logits, batch.label, batch.row, len(chosen)).tolist(), strict=True):
                found[number] = math.exp(-loss)
        return found
