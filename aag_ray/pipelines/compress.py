"""Compression of every question's passages on a pool of actors."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from aag_ray.config import CompressSection
from aag_ray.pipelines.rows import ActorPool, Row, run_rows
from aag_ray.records import Document, Outcome, Question

USE_ANSWER = "use_answer"


class CompressWorker:
    """Rows of questions in, rows of documents out. The model is loaded once, in the actor."""

    def __init__(self, section: CompressSection) -> None:
        from aag_ray.awaken.compress import load_compressor

        self._section = section
        self._compressor = load_compressor(section)

    def __call__(self, rows: list[Row]) -> list[Row]:
        from aag_ray.awaken.compress import CompressionRequest

        section = self._section
        requests = [
            CompressionRequest.of(
                Question.from_row(row), section.passages, section.target_tokens, section.unit, use_answer=row[USE_ANSWER]
            )
            for row in rows
        ]
        return [document.to_row() for document in self._compressor.compress(requests)]


def compress_questions(
    questions: Sequence[Question], section: CompressSection, folder: Path, training: Collection[str] = ()
) -> list[Document]:
    """One document for each question, in order, also as `folder/documents.parquet`; resumes what `folder` holds.

    `training` are the ids of questions whose answer may help to choose what stays, if the section asks for that.
    Ray must be initialised. Raises RunError if the folder cannot be written or the compressor's model cannot be loaded.
    """
    pool = ActorPool(section.batch_questions, section.actors, section.cpus_per_actor, section.gpus_per_actor)
    known = frozenset(training if section.use_answer else ())
    rows = [question.to_row() | {USE_ANSWER: question.id in known} for question in questions]
    arguments = {"section": section}
    results = run_rows(rows, CompressWorker, arguments, folder, failed=_failed, pool=pool, name="documents", stage="compress")
    return [Document.from_row(row) for row in results]


def _failed(row: Row, detail: str) -> Row:
    return Document(row["id"], "", Outcome.FAILED, detail).to_row()
