"""The context generator at work: questions in, dummy documents out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aag_ray import prompts
from aag_ray.llm.adapters import StaticLora
from aag_ray.llm.engine import TransformersEngine
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.sft import is_lora, load_lora
from aag_ray.records import Document, Outcome


class DocumentGenerator:
    """Writes one dummy document per question (AAG, section 3.1), greedily or with beams."""

    def __init__(self, loaded: LoadedModel, lora: StaticLora | None, max_tokens: int, batch: int = 64) -> None:
        self.lora = lora.to(loaded.device) if lora is not None else None
        self.engine, self.max_tokens = TransformersEngine(loaded, batch), max_tokens

    @classmethod
    def from_pretrained(cls, loaded: LoadedModel, folder: Path, max_tokens: int, batch: int = 64) -> DocumentGenerator:
        """`loaded` is the base for a folder with a LoRA, and the fine-tuned model itself for a folder with a whole model."""
        return cls(loaded, load_lora(folder) if is_lora(folder) else None, max_tokens, batch)

    def write(self, ids: Sequence[str], questions: Sequence[str], beams: int = 1) -> list[Document]:
        """A document for each question, in order; one that comes out empty has the outcome `empty_result`."""
        generations = self.engine.generate(
            [prompts.generator_prompt(question) for question in questions],
            max_new_tokens=self.max_tokens,
            shared=[self.lora()] if self.lora is not None else [],
            beams=beams,
        )
        return [
            Document(key, written.text, Outcome.OK if written.text else Outcome.EMPTY_RESULT, tokens=written.new_tokens)
            for key, written in zip(ids, generations, strict=True)
        ]
