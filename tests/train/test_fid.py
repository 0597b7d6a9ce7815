"""A reader that fuses passages, from questions to a table, on a real local Ray with a tiny random T5."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from aag_ray.artifacts import RunError, read_table, write_table
from aag_ray.awaken.fid_inputs import with_passages
from aag_ray.awaken.fid_reader import FidReader
from aag_ray.config import TrainFidConfig
from aag_ray.job import JobResult
from aag_ray.qa_files import QaFileError
from aag_ray.records import Document, Outcome, Question
from aag_ray.settings import ConfigError, load_config
from aag_ray.train.fid import table, train_fid

pytestmark = pytest.mark.cluster
TRAINING = "{steps: 2, batch: 4, warmup_steps: 1, dev_every: 2, checkpoint_every: 1, dev_examples: 4}"


@pytest.fixture(scope="module")
def tiny_t5_folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-t5"
    torch.manual_seed(29)
    config = T5Config(
        vocab_size=384, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, eos_token_id=1, pad_token_id=2
    )  # fmt: skip
    config.decoder_start_token_id = 2
    T5ForConditionalGeneration(config).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


def settings(model: Path, root: Path, *more: str) -> TrainFidConfig:
    return load_config(
        TrainFidConfig,
        None,
        [
            f"run={{root: '{root}', name: tiny}}",
            f"model={{name: '{model}', dtype: float32}}",
            "data={contexts: 3}",
            "data.world={train_questions: 24, dev_questions: 12, test_questions: 8}",
            f"teacher={{passages: 2, longest: 64, longest_answer: 8, training: {TRAINING}}}",
            f"reader={{reads: passages, passages: 2, longest: 64, longest_answer: 8, trained: [norms], training: {TRAINING}}}",
            "reader.hypernetwork={rank: 2, width: 16, condition: question}",
            "evaluate={batch: 4, bootstrap_samples: 50, token_scores: true}",
            "cluster={cpus_per_worker: 1}",
            *more,
        ],
    )


@pytest.fixture(scope="module")
def other_set(root: Path) -> Path:
    row = {
        "id": "x1",
        "question": "What is the capital of Peru?",
        "answers": ["Lima"],
        "ctxs": [{"title": "Peru", "text": "Lima."}],
    }
    path = root / "others.jsonl"
    path.write_text(
        json.dumps(row) + "\n" + json.dumps(row | {"id": "x2", "question": "Where is Lima?", "answers": ["Peru"]}) + "\n"
    )
    return path


@pytest.fixture(scope="module")
def trained(cluster: None, tiny_t5_folder: Path, root: Path, other_set: Path) -> JobResult:
    return train_fid(settings(tiny_t5_folder, root, f"evaluate.also={{others: '{other_set}'}}"))


def test_a_teacher_and_a_reader_are_trained(trained: JobResult):
    assert trained.metrics["teacher"]["steps"] == 2
    assert trained.metrics["reader"]["steps"] == 2
    assert trained.metrics["teacher"]["trained_parameters"] > trained.metrics["reader"]["trained_parameters"]


def test_every_question_of_every_set_counts_with_true_and_with_shuffled_adapters(trained: JobResult):
    sets = trained.metrics["evaluate"]["sets"]
    assert {name: row["questions"] for name, row in sets.items()} == {"test": 8, "others": 2}
    for row in sets.values():
        for system in ("reader", "reader_shuffled"):
            assert row[system]["em"]["n"] == row["questions"]
            assert set(row[system]) == {"em", "f1", "subspan", "token_accuracy", "perplexity"}
            assert row[system]["perplexity"]["low"] <= row[system]["perplexity"]["value"] < 10_000
    lines = table(trained.metrics["evaluate"]).splitlines()
    assert len(lines) == 2 + 4
    assert lines[0].endswith("| F1 | Subspan EM | Token accuracy, % | Perplexity |")


def test_the_hub_reads_the_card_of_the_reader(trained: JobResult, root: Path, tiny_t5_folder: Path):
    from huggingface_hub import ModelCard

    card = ModelCard.load(root / "tiny" / "reader" / "training" / "best" / "README.md")
    assert card.data.to_dict()["library_name"] == "aag-ray"
    assert "It reads up to 2 retrieved passages; 8 test questions." in card.text
    assert table(trained.metrics["evaluate"]) in card.content
    assert f"norms {trained.metrics['evaluate']['trained_parameters']['norms']:,}" in card.text


def test_answers_are_kept_by_question(trained: JobResult, root: Path):
    questions = [Question.from_row(row) for row in read_table(root / "tiny" / "data" / "test.parquet")]
    answers = {row["id"]: row["answer"] for row in read_table(root / "tiny" / "evaluate" / "test-reader.parquet")}
    assert set(answers) == {question.id for question in questions}
    reader = FidReader.from_pretrained(root / "tiny" / "reader" / "training" / "best", dtype="float32")
    first = questions[0]
    [again] = reader.answer([with_passages(first.question, first.contexts[:2])], [f"Question: {first.question}"])
    assert again.text == answers[first.id]


def test_a_second_call_keeps_what_is_finished(trained: JobResult, tiny_t5_folder: Path, root: Path, other_set: Path):
    weights = root / "tiny" / "reader" / "training" / "best" / "fid.json"
    before = weights.stat().st_mtime_ns
    again = train_fid(settings(tiny_t5_folder, root, f"evaluate.also={{others: '{other_set}'}}"))
    assert again.metrics == trained.metrics
    assert weights.stat().st_mtime_ns == before


def test_documents_of_another_run_are_read_and_a_question_without_one_is_a_miss(
    trained: JobResult, tiny_t5_folder: Path, root: Path, tmp_path: Path, other_set: Path
):
    ids = [row["id"] for split in ("train", "dev", "test") for row in read_table(root / "tiny" / "data" / f"{split}.parquet")]
    documents = [Document(key, f"{key} is a place.", Outcome.OK).to_row() for key in ids[:-3]]
    write_table(tmp_path / "documents.parquet", documents)
    write_table(tmp_path / "others.parquet", [Document("others/x1", "Lima is in Peru.").to_row()])
    more = (
        "run.name=documents",
        f"documents='{tmp_path / 'documents.parquet'}'",
        "reader.reads=document",
        "reader.distill={kd: false}",
        f"evaluate.also={{others: '{other_set}'}}",
        f"evaluate.documents='{tmp_path / 'others.parquet'}'",
    )
    result = train_fid(settings(tiny_t5_folder, root, *more))
    assert result.metrics["teacher"] == {"trained": False}
    sets = result.metrics["evaluate"]["sets"]
    assert {name: (row["read"], row["reader"]["em"]["n"]) for name, row in sets.items()} == {"test": (5, 8), "others": (1, 2)}


def test_missing_files_are_named_before_anything_runs(tiny_t5_folder: Path, root: Path, tmp_path: Path):
    with pytest.raises(QaFileError, match=r"evaluate\.also\.x: no question file .*nowhere\.jsonl"):
        train_fid(settings(tiny_t5_folder, root, f"evaluate.also={{x: '{tmp_path / 'nowhere.jsonl'}'}}"))
    with pytest.raises(RunError, match=r"nowhere\.parquet is not a readable parquet table"):
        train_fid(settings(tiny_t5_folder, root, f"documents='{tmp_path / 'nowhere.parquet'}'"))
    with pytest.raises(ConfigError, match="name of the run's own test questions"):
        settings(tiny_t5_folder, root, "evaluate.also={test: a.jsonl}")


def test_what_a_reader_lacks_is_said_before_anything_is_trained(tiny_t5_folder: Path, tmp_path: Path, other_set: Path):
    also = f"evaluate.also={{others: '{other_set}'}}"
    with pytest.raises(ConfigError, match="documents: the reader needs dummy documents"):
        train_fid(settings(tiny_t5_folder, tmp_path, "reader.hypernetwork.condition=document"))
    write_table(tmp_path / "documents.parquet", [Document("x1", "Lima.").to_row()])  # the id of a test question of its own run
    told = f"documents='{tmp_path / 'documents.parquet'}'"
    with pytest.raises(QaFileError, match=r"evaluate\.also\.others: none of 2 questions has a document, .*evaluate\.documents"):
        train_fid(settings(tiny_t5_folder, tmp_path, also, told, "reader.reads=document"))
    bare = tmp_path / "bare.jsonl"
    bare.write_text(json.dumps({"question": "Where is Lima?", "answers": ["Peru"]}) + "\n")
    with pytest.raises(QaFileError, match=r"evaluate\.also\.bare: none of 1 questions has a passage, which reads='passages'"):
        train_fid(settings(tiny_t5_folder, tmp_path, f"evaluate.also={{bare: '{bare}'}}"))
    assert not (tmp_path / "tiny").exists()
