"""Dummy documents for many questions, on a pool of actors that each hold a generator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aag_ray.config import ModelSection, PredictSection
from aag_ray.pipelines.rows import ActorPool, Row, run_rows
from aag_ray.records import Document, Outcome, Question


class GeneratorWorker:
    """Rows of questions in, rows of dummy documents out. Base model and generator are loaded once, in the actor."""

    def __init__(self, model: ModelSection, generator: Path, max_tokens: int, section: PredictSection) -> None:
        from aag_ray.awaken.generator import DocumentGenerator
        from aag_ray.llm.load import load_model
        from aag_ray.llm.sft import is_lora

        self._beams = section.beams
        loaded = load_model(model if is_lora(generator) else ModelSection(name=str(generator), dtype=model.dtype))
        self._generator = DocumentGenerator.from_pretrained(loaded, generator, max_tokens, section.batch)

    def __call__(self, rows: list[Row]) -> list[Row]:
        written = self._generator.write([row["id"] for row in rows], [row["question"] for row in rows], self._beams)
        return [document.to_row() for document in written]


def predict_documents(
    questions: Sequence[Question], model: ModelSection, generator: Path, max_tokens: int, section: PredictSection, folder: Path
) -> list[Document]:
    """One dummy document for each question, in order, also as `folder/documents.parquet`; resumes what `folder` holds.

    `generator` is a trained generator's folder, `model` the base its LoRA belongs to. Ray must be initialised.
    """
    pool = ActorPool(section.batch, section.actors, section.cpus_per_actor, section.gpus_per_actor)
    rows = [{"id": question.id, "question": question.question} for question in questions]
    arguments = {"model": model, "generator": generator, "max_tokens": max_tokens, "section": section}
    results = run_rows(rows, GeneratorWorker, arguments, folder, failed=_failed, pool=pool, name="documents", stage="predict")
    return [Document.from_row(row) for row in results]


def _failed(row: Row, detail: str) -> Row:
    return Document(row["id"], "", Outcome.FAILED, detail).to_row()
