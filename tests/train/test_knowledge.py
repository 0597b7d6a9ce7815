"""Documents into parameters, from questions to a table, on a real local Ray, with a tiny random model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from aag_ray.artifacts import RunError, newest_run, read_table
from aag_ray.awaken.awakened import AwakeningModel
from aag_ray.config import ModelSection, TrainKnowledgeConfig
from aag_ray.job import JobResult
from aag_ray.llm.resolve import ModelNotFound
from aag_ray.settings import ConfigError, load_config
from aag_ray.train.builders import build_internalizer
from aag_ray.train.knowledge import train_knowledge

pytestmark = pytest.mark.cluster
TRAINING = "{steps: 2, batch: 4, warmup_steps: 1, dev_every: 2, checkpoint_every: 1, dev_examples: 4}"


def settings(model: Path, root: Path, *more: str) -> TrainKnowledgeConfig:
    return load_config(
        TrainKnowledgeConfig,
        None,
        [
            f"run={{root: '{root}', name: tiny}}",
            f"model={{name: '{model}', dtype: float32}}",
            "data={contexts: 4, passages: 4, unseen_relations: [city_capital, city_country, language]}",
            "data.world={train_questions: 40, dev_questions: 20, test_questions: 20}",
            f"reader={{lora: {{rank: 2}}, training: {TRAINING}}}",
            f"internalizer={{shown: 0.3, distill: {{share: 0.5}}, training: {TRAINING}}}",
            "internalizer.hypernetwork={variant: tokens, rank: 6, width: 4, from_depth: 0.5}",
            "evaluate={together: [2], batch: 8, max_answer_tokens: 3, bootstrap_samples: 50}",
            "cluster={cpus_per_worker: 1}",
            *more,
        ],
    )


@pytest.fixture(scope="module")
def trained(cluster: None, tiny_model_folder: Path, root: Path) -> JobResult:
    return train_knowledge(settings(tiny_model_folder, root))


def test_unseen_relations_are_in_the_test_alone(trained: JobResult, root: Path):
    relations = {split: {row["relation"] for row in read_table(root / "tiny" / "data" / f"{split}.parquet")} for split in
                 ("train", "dev", "test")}  # fmt: skip
    unseen = {"city_capital", "city_country", "language"}
    assert unseen & relations["test"]
    assert not unseen & (relations["train"] | relations["dev"])


def test_the_text_reader_stays_as_it_was_under_the_hypernetwork(trained: JobResult, root: Path):
    before = (root / "tiny" / "reader" / "training" / "best" / "model.safetensors").read_bytes()
    assert (root / "tiny" / "internalizer" / "training" / "best" / "reader" / "model.safetensors").read_bytes() == before
    assert trained.metrics["internalizer"]["steps"] == 2


def test_the_table_has_every_way_and_says_what_was_left_out(trained: JobResult, root: Path):
    result = trained.metrics["evaluate"]
    assert result["questions"] + result["left_out"] == 20
    assert {"closed_book", "text", "parameters", "both", "parameters_2"} <= set(result["systems"])
    assert (root / "tiny" / "evaluate" / "table.md").read_text().startswith("| Document |")
    assert len(read_table(root / "tiny" / "evaluate" / "answers.parquet")) == result["questions"]


def test_what_was_trained_internalizes_and_is_no_run_of_the_main_job(trained: JobResult, root: Path):
    model = AwakeningModel.from_pretrained(root / "tiny" / "internalizer" / "model")
    model.internalize("Lumora is a town. Its flag is green.", "Iron is a metal.")
    assert isinstance(model.answer("Which colour is the flag of Lumora?"), str)
    with pytest.raises(RunError):
        newest_run(root, "hypernetwork")


def test_the_hub_reads_its_card_and_what_the_card_shows_runs(trained: JobResult, root: Path, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import ModelCard

    folder = root / "tiny" / "internalizer" / "model"
    assert trained.metrics["evaluate"]["card"] == str(folder / "README.md")
    card = ModelCard.load(folder / "README.md")
    assert card.data.to_dict()["library_name"] == "aag-ray"
    assert (root / "tiny" / "evaluate" / "table.md").read_text() in card.content
    monkeypatch.chdir(folder.parent)
    shown: dict[str, Any] = {}
    exec(card.text.split("```python\n")[1].split("```")[0], shown)
    assert isinstance(shown["model"], AwakeningModel)
    assert isinstance(shown["model"].answer("Which colour?"), str)


def test_a_second_call_keeps_what_is_finished(trained: JobResult, tiny_model_folder: Path, root: Path):
    weights = root / "tiny" / "internalizer" / "training" / "best" / "hypernetwork" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert train_knowledge(settings(tiny_model_folder, root)).metrics == trained.metrics
    assert weights.stat().st_mtime_ns == before


def test_training_goes_on_from_the_hypernetwork_of_another_run(trained: JobResult, tiny_model_folder: Path, root: Path):
    model, reader = root / "tiny" / "internalizer" / "model", root / "tiny" / "reader" / "training" / "best"
    rows = root / "tiny" / "internalizer" / "train.jsonl"
    section = settings(tiny_model_folder, root).internalizer
    base, device = ModelSection(name=str(tiny_model_folder)), torch.device("cpu")
    new = build_internalizer(base, section, reader, rows, 1, device)
    gone_on = build_internalizer(base, section, reader, rows, 1, device, start=model / "hypernetwork")
    before = load_file(model / "hypernetwork" / "model.safetensors")
    assert new.hypernetwork
    assert gone_on.hypernetwork
    assert all(torch.equal(weight, before[name]) for name, weight in gone_on.hypernetwork.state_dict().items())
    assert not all(torch.equal(weight, before[name]) for name, weight in new.hypernetwork.state_dict().items())
    result = train_knowledge(settings(tiny_model_folder, root, f"internalizer.start={model}", "run.name=further"))
    still = load_file(root / "further" / "internalizer" / "model" / "hypernetwork" / "model.safetensors")
    assert result.metrics["internalizer"]["loss_first"] != trained.metrics["internalizer"]["loss_first"]
    assert all((still[name] - before[name]).abs().max() < 0.1 for name in before)


@pytest.mark.parametrize(
    ("start", "more", "message"),
    [
        ("nowhere", (), r"nowhere.*no such folder"),
        (
            "tiny/internalizer/model",
            ("internalizer.hypernetwork.width=5",),
            r"internalizer.start=.*its hypernetwork is another: width 4 there, 5 here$",
        ),
        (
            "tiny/internalizer/model",
            ("internalizer.hypernetwork.variant=latents",),
            r"its hypernetwork is another: variant tokens there, latents here$",
        ),
    ],
)
def test_what_training_cannot_go_on_from_is_refused_before_anything_is_made(
    trained: JobResult, tiny_model_folder: Path, root: Path, tmp_path: Path, start: str, more: tuple[str, ...], message: str
):
    with pytest.raises((RunError, ModelNotFound), match=f"(?s){message}"):
        train_knowledge(settings(tiny_model_folder, tmp_path, f"internalizer.start={root / start}", *more))
    assert not (tmp_path / "tiny").exists()


def test_other_relations_to_leave_out_are_named(cluster: None, tiny_model_folder: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no question is on \['height'\]; there are \[.*'capital'"):
        train_knowledge(settings(tiny_model_folder, tmp_path, "data.unseen_relations=[height]"))


def test_files_whose_passages_answer_nothing_are_refused(cluster: None, tiny_model_folder: Path, tmp_path: Path):
    row = {"question": "Where is Lima?", "answers": ["Peru"], "ctxs": [{"title": "Gold", "text": "Gold is a metal."}]}
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(row) + "\n")
    files = ", ".join(f"{split}: '{tmp_path / split}.jsonl'" for split in ("train", "dev", "test"))
    with pytest.raises(RunError, match="no train question has a passage that is known to answer it"):
        train_knowledge(settings(tiny_model_folder, tmp_path, f"data={{files: {{{files}}}, passages: 1}}"))
