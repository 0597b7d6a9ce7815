"""Compression of questions on a real local Ray with a tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest

from aag_ray.artifacts import RunError, read_table
from aag_ray.awaken.compress import CompressionRequest, PromptCompressor
from aag_ray.config import CompressSection, ModelSection
from aag_ray.llm.load import LoadedModel
from aag_ray.pipelines.compress import compress_questions
from aag_ray.records import Document, Outcome, Passage, Question

pytestmark = pytest.mark.cluster

FACTS = "The capital of Peru is Lima, an old city on the coast, whose festival is known in the world."


def questions() -> list[Question]:
    contexts = tuple(Passage(f"p{number}", f"Peru {number}", FACTS) for number in range(6))
    asked = [Question(f"q{number}", f"What is the capital number {number}?", ("Lima",), contexts) for number in range(6)]
    asked[1] = Question("empty", "What is the capital?", ("Lima",))
    asked[4] = Question("long", "why " * 2000, ("Lima",), contexts)
    return asked


def section(folder: Path) -> CompressSection:
    return CompressSection(model=ModelSection(name=str(folder), dtype="float32"), batch_questions=2, cpus_per_actor=1)


def test_every_question_has_its_document_or_its_reason(
    cluster: str, tiny: LoadedModel, tiny_model_folder: Path, tmp_path: Path
):
    documents = compress_questions(questions(), section(tiny_model_folder), tmp_path)
    assert [document.id for document in documents] == ["q0", "empty", "q2", "q3", "long", "q5"]
    outcomes = {document.id: document.outcome for document in documents if document.outcome is not Outcome.OK}
    assert outcomes == {"empty": Outcome.NO_PASSAGES, "long": Outcome.QUESTION_TOO_LONG}
    requests = [CompressionRequest.of(question, 5, 64) for question in questions()]
    assert documents == PromptCompressor(tiny).compress(requests)
    assert [Document.from_row(row) for row in read_table(tmp_path / "documents.parquet")] == documents
    assert compress_questions(questions(), section(tmp_path / "gone"), tmp_path) == documents


def test_a_missing_model_ends_the_run_with_its_name(cluster: str, tmp_path: Path):
    with pytest.raises(RunError, match="missing-model"):
        compress_questions(questions(), section(tmp_path / "missing-model"), tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, tiny_model_folder: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write .*file/compress"):
        compress_questions(questions(), section(tiny_model_folder), tmp_path / "file" / "compress")
