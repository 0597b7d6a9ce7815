"""What the stages of an AAG run take from the question files instead of making it; no model and no Ray is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from aag_ray.artifacts import Run
from aag_ray.config import TrainAagConfig, TrainFidConfig
from aag_ray.qa_files import QaFileError
from aag_ray.records import Document, Question
from aag_ray.settings import ConfigError, load_config
from aag_ray.train import fid, stages

PLACES = {"train": ("Cusco", "Lima", "Puno"), "dev": ("Lyon",), "test": ("Osaka", "Nara")}


def row(name: str) -> dict[str, Any]:
    compressed = {"compressed_prompt": f"{name} is far.", "origin_tokens": 40, "compressed_tokens": 4}
    asked = {"id": name, "question": f"Where is {name}?", "answers": ["there"], "ctxs": [{"text": f"{name} is there."}]}
    return asked | {"compressed_ctxs_1": compressed, "pred": f"{name} is near."}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows by split, to be changed before `write`."""
    return {split: [row(name) for name in names] for split, names in PLACES.items()}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.open(tmp_path / "run") as run:
        yield run


def write(folder: Path, files: dict[str, list[dict[str, Any]]], *more: str, job: Any = TrainAagConfig) -> Any:
    for split, rows in files.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    names = {split: str(folder / f"{split}.jsonl") for split in files}
    return load_config(job, None, [f"data.files={json.dumps(names)}", *more])


TAKEN = ("data.files.compressed=compressed_ctxs_1", "data.files.written=pred", "evaluate.bootstrap_samples=20")


def test_documents_of_the_files_are_taken_where_they_are_named(tmp_path: Path, files: Any, run: Run):
    config = write(tmp_path, files, *TAKEN)
    metrics = stages.data(config, run, run.folder / "data")
    assert metrics["compressed"] == {"column": "compressed_ctxs_1", "documents": 6}
    report = stages.compress(config, run, run.folder / "compress")
    assert (report["rows"], report["mean_tokens"], report["ratio"]) == (6, 4, 10)
    stages.predict(config, run, run.folder / "predict")
    assert stages.documents_of(run, "compress")["Lima"].text == "Lima is far."
    assert stages.documents_of(run, "predict")["Nara"].text == "Nara is near."


def test_what_is_missing_in_them_is_made_and_all_come_in_order(
    tmp_path: Path, files: Any, run: Run, monkeypatch: pytest.MonkeyPatch
):
    asked: list[str] = []

    def made(config: TrainAagConfig, run: Run, questions: Sequence[Question], folder: Path) -> list[Document]:
        asked.extend(question.id for question in questions)
        return [Document(question.id, f"{question.id} is made.") for question in questions]

    monkeypatch.setattr(stages, "write_documents", made)
    files["train"][1]["pred"] = files["test"][0]["pred"] = None
    config = write(tmp_path, files, *TAKEN)
    stages.data(config, run, run.folder / "data")
    for folder, stage in (("compress", stages.compress), ("predict", stages.predict)):
        stage(config, run, run.folder / folder)
    documents = stages.documents_of(run, "predict")
    assert asked == ["Lima", "Osaka"]
    assert list(documents) == [name for names in PLACES.values() for name in names]
    assert (documents["Lima"].text, documents["Nara"].text) == ("Lima is made.", "Nara is near.")


def test_they_are_left_alone_where_they_are_not_named(tmp_path: Path, files: Any, run: Run):
    stages.data(write(tmp_path, files), run, run.folder / "data")
    assert {path.name for path in (run.folder / "data").iterdir()} == {"train.parquet", "dev.parquet", "test.parquet"}


def test_a_split_without_the_column_and_an_id_of_two_splits_are_named(tmp_path: Path, files: Any, run: Run):
    files["dev"][0].pop("pred")
    with pytest.raises(QaFileError, match=r"dev\.jsonl: no row has a document in a column 'pred'"):
        stages.data(write(tmp_path, files, *TAKEN), run, run.folder / "data")
    files["dev"] = [row("Lima")]
    with pytest.raises(QaFileError, match=r"dev\.jsonl: id 'Lima' is that of a question of another split"):
        stages.data(write(tmp_path, files, *TAKEN), run, run.folder / "data")


@pytest.mark.parametrize(
    ("column", "text"), [("written=pred", "Nara is near."), ("compressed=compressed_ctxs_1", "Nara is far.")]
)
def test_a_reader_that_fuses_passages_reads_them_too(tmp_path: Path, files: Any, run: Run, column: str, text: str):
    config = write(tmp_path, files, f"data.files.{column}", job=TrainFidConfig)
    metrics = fid.data(config, run, run.folder / "data")
    assert metrics["documents"] == column.partition("=")[2]
    assert stages.documents_of(run, "data")["Nara"].text == text
    with pytest.raises(ConfigError, match=r"documents: the reader needs dummy documents; .*data\.files\.written"):
        fid.train_fid(write(tmp_path, files, f"run={{root: '{tmp_path}', name: none}}", job=TrainFidConfig))
