"""Dummy documents for many questions: one each, in order, with a trained LoRA or a generator of its own."""

from pathlib import Path

import pytest

from aag_ray.awaken.generator import DocumentGenerator
from aag_ray.config import LoraSection, ModelSection, PredictSection
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.sft import new_lora, save_lora
from aag_ray.pipelines.predict import GeneratorWorker, predict_documents
from aag_ray.records import Outcome, Question

QUESTIONS = [Question(f"q{n}", f"What is number {n}?", ("x",)) for n in range(11)]
SECTION = PredictSection(batch=4, cpus_per_actor=1)


@pytest.fixture
def generator(tiny: LoadedModel, tmp_path: Path) -> Path:
    save_lora(new_lora(tiny, LoraSection(rank=2), seed=1), tmp_path / "generator")
    return tmp_path / "generator"


def test_a_worker_writes_what_the_generator_writes(tiny: LoadedModel, tiny_model_folder: Path, generator: Path):
    worker = GeneratorWorker(ModelSection(name=str(tiny_model_folder), dtype="float32"), generator, 6, SECTION)
    rows = worker([{"id": q.id, "question": q.question} for q in QUESTIONS])
    alone = DocumentGenerator.from_pretrained(tiny, generator, 6).write(["q3"], [QUESTIONS[3].question])[0]
    assert [row["id"] for row in rows] == [q.id for q in QUESTIONS]
    assert rows[3]["text"] == alone.text


def test_a_fine_tuned_model_is_loaded_from_its_own_folder(tiny: LoadedModel, tiny_model_folder: Path, tmp_path: Path):
    tiny.model.save_pretrained(tmp_path / "whole")
    tiny.tokenizer.save_pretrained(tmp_path / "whole")
    worker = GeneratorWorker(ModelSection(name="unused", dtype="float32"), tmp_path / "whole", 4, SECTION)
    [row] = worker([{"id": "a", "question": "Who?"}])
    assert row["outcome"] in {Outcome.OK.value, Outcome.EMPTY_RESULT.value}


@pytest.mark.cluster
def test_on_ray_every_question_gets_one_document_in_order(
    cluster: str, tiny_model_folder: Path, generator: Path, tmp_path: Path
):
    model = ModelSection(name=str(tiny_model_folder), dtype="float32")
    documents = predict_documents(QUESTIONS, model, generator, 5, SECTION, tmp_path / "out")
    assert [document.id for document in documents] == [q.id for q in QUESTIONS]
    assert (tmp_path / "out" / "documents.parquet").exists()
    assert {document.outcome for document in documents} <= {Outcome.OK, Outcome.EMPTY_RESULT}
