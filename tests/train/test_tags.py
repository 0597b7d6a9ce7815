"""What the tag model is trained on: gold in ranges, rows that fit, pairs of real mistakes, nothing padded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aag_ray.artifacts import Run, write_table
from aag_ray.config import TagsSection, TrainExtractorConfig
from aag_ray.extract.build import tag_page
from aag_ray.extract.examples import example
from aag_ray.llm.load import LoadedModel
from aag_ray.pages.page import Page
from aag_ray.settings import load_config
from aag_ray.train import tags as made
from aag_ray.train.engine import TrainingError
from aag_ray.train.tags import fitting, mistake, sft_rows

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PAGE = tag_page("\n\n".join(f"Line {n} tells of gold and rain." for n in range(1, 9)), "u", kind="text").tagged.page


def rows(tiny: LoadedModel, gold: tuple[int, ...], window: int = 2000) -> list[dict[str, Any]]:
    section = TagsSection(window_tokens=window, empty_windows=9)
    return sft_rows(tiny.tokenizer, [example("q", "Which line?", PAGE, gold, "test")], section, 1)


def test_neighbouring_spans_are_written_as_a_range_in_one_group(tiny: LoadedModel):
    [row] = rows(tiny, (2, 3, 4, 7))
    assert row["target"] == "[[<T-2>~<T-4>], [<T-7>]]</s>"
    assert row["numbers"] == [2, 3, 4, 7]
    assert {row["target"] for row in rows(tiny, (2, 3), window=200)} == {"[[<T-2>~<T-3>]]</s>", "None</s>"}


@pytest.mark.parametrize(
    "said", ["[[<T-2>, <T-3>]]", "[[<T-2>~<T-3>]]", "[[<T-2>], [<T-3>]]", "[[<T-2>],[<T-3>]]", " [[<T-3>, <T-2>]]"]
)
def test_an_answer_that_names_the_gold_spans_is_no_mistake(said: str):
    row = {"id": "q", "prompt": [1], "target": "[[<T-2>~<T-3>]]</s>", "last": 8, "numbers": [2, 3]}
    assert mistake(row, said, "</s>") is None


@pytest.mark.parametrize(("said", "gold"), [("[[<T-2>]]", [2, 3]), ("None", [2]), ("[[<T-2>]]", []), ("[[<T-", [])])
def test_an_answer_with_other_spans_is_rejected_as_it_was_written(said: str, gold: list[int]):
    row = {"id": "q", "prompt": [1], "target": "gold</s>", "last": 8, "numbers": gold}
    assert mistake(row, said, "</s>") == {"id": "q", "prompt": [1], "chosen": "gold</s>", "rejected": f"{said}</s>"}


def test_rows_above_the_context_are_left_out_and_told(tiny: LoadedModel, capsys: pytest.CaptureFixture[str]):
    [row] = rows(tiny, (2,))
    long = row | {"prompt": row["prompt"] + [5] * 2048}
    assert fitting([row, long], tiny, "train") == [row]
    assert "1 of 2 windows of train do not fit the context of 2048 tokens" in capsys.readouterr().out
    pair = {"prompt": [5] * 2040, "chosen": "None</s>", "rejected": f"[{'[<T-1>], ' * 9}[<T-1>]]</s>"}
    assert fitting([pair], tiny, "dev") == []


def settings(root: Path, *more: str) -> TrainExtractorConfig:
    return load_config(TrainExtractorConfig, None, [f"run={{root: '{root}', name: tiny}}", "train=[tags]", *more])


def test_pairs_are_found_once_and_a_resume_sees_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    def decoded(config: TrainExtractorConfig, trained: Path, examples: list[str], count: int) -> list[dict[str, Any]]:
        asked.extend(examples)
        return [{"id": f"{examples[0]} {len(asked)}"}] if examples == ["train"] else []

    monkeypatch.setattr(made, "dpo_rows", decoded)  # a GPU need not decode the same twice
    splits: Any = {"train": ["train"], "dev": ["dev"]}
    found = [made._pairs(settings(tmp_path), tmp_path, tmp_path, splits) for _ in range(2)]
    assert found[0] == found[1] == {"train": [{"id": "train 1"}], "dev": []}
    assert asked == ["train", "dev"]


def run_of(folder: Path, page: Page) -> Run:
    for split in ("train", "dev"):
        write_table(folder / "data" / f"{split}.parquet", [example("q", "Which?", page, (2,), "test").to_row()])
    return Run(folder)


def test_windows_of_which_none_fits_are_refused_before_training(tiny_model_folder: Path, tmp_path: Path):
    long = tag_page("\n\n".join(f"Line {n} tells of gold and rain." for n in range(200)), "u", kind="text").tagged.page
    model = f"tags.model={{name: '{tiny_model_folder}', dtype: float32}}"
    with pytest.raises(TrainingError, match=r"no window of train fits .*; lower tags\.window_tokens=9000"):
        made.tags(settings(tmp_path, model, "tags.window_tokens=9000"), run_of(tmp_path, long), tmp_path / "tags")


def test_dpo_that_has_nothing_to_learn_from_is_told(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    trained: list[str] = []
    monkeypatch.setattr("aag_ray.train.launch.train", lambda job: trained.append(job.folder.name) or {})
    monkeypatch.setattr(made, "dpo_rows", lambda config, sft, examples, count: [] if count == 4 else [{"id": "1"}])
    monkeypatch.setattr(made, "_save", lambda *given: None)
    run = run_of(tmp_path, PAGE)
    model = f"tags.model={{name: '{tiny_model_folder}', dtype: float32}}"
    config = settings(tmp_path, model, "tags.dpo.steps=1", "tags.pairs=8", "tags.window_tokens=500")
    metrics = made.tags(config, run, tmp_path / "tags")
    assert trained == ["sft"]
    assert metrics["mistakes"] == {"train": 1, "dev": 0}
    assert metrics["dpo_skipped"].startswith("no mistake was found on dev")
    assert "dpo: skipped, no mistake was found on dev" in capsys.readouterr().out
    assert metrics["left_out"] == {"train": 0, "dev": 0}
    assert json.loads((tmp_path / "tags" / "model" / "windows.json").read_text()) == {"window_tokens": 500}


def job(root: Path, *more: str) -> Any:
    config = settings(root, *more)
    return made._job(config, root, "sft", {"train": [], "dev": []}, dict, {}, config.tags.sft)


def test_rows_are_read_one_at_a_time_unless_told_otherwise(tmp_path: Path):
    assert job(tmp_path).training.accumulation == 16
    assert job(tmp_path, "tags.sft={batch: 8, steps: 3}").training.accumulation == 8
    assert job(tmp_path, "cluster.workers=4").training.accumulation == 4
    assert job(tmp_path, "tags.sft={batch: 8, accumulation: 2}").training.accumulation == 2


def test_the_gpu_configuration_has_the_settings_of_the_reference():
    """ZI-ISAG, train_zi-isag.sh and ds_utils.py: 4 GPUs, micro-batch 1, global batch 16, 5e-6 down to 1e-6, ZeRO-3, 16k."""
    config = load_config(TrainExtractorConfig, CONFIGS / "extractor_gpu.yaml")
    sft, cluster = config.tags.sft, config.cluster
    assert sft.batch // (sft.accumulation * cluster.workers) == 1
    assert (sft.batch, cluster.workers, cluster.use_gpu, cluster.zero_stage, cluster.offload) == (16, 4, True, 3, False)
    assert (sft.learning_rate, sft.learning_rate * sft.floor, sft.schedule) == (5e-6, pytest.approx(1e-6), "cosine")
    assert (sft.betas, sft.weight_decay, sft.warmup_steps, sft.clip) == ((0.9, 0.95), 0.0, 0, 1.0)
    assert sft.steps == round(3 * 3860 / sft.batch)
    assert (config.tags.tune, cluster.gradient_checkpointing, config.tags.beta) == ("full", True, 0.1)
    assert config.tags.model.name.endswith("16K")
    assert 16_384 - 2048 < config.tags.window_tokens < 16_384
    dpo = config.tags.dpo
    assert dpo.batch // (dpo.accumulation * cluster.workers) == 1
