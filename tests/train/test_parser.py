"""The parser from questions to a served policy, on a real local Ray, with a tiny random model."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from pathlib import Path

import pytest

from aag_ray.answer.models import build_parser
from aag_ray.answer.parser import TrainedParser
from aag_ray.answer.request import AnswerRequest
from aag_ray.artifacts import RunError, newest_run, read_table
from aag_ray.config import AppSection, ModelSection, TrainParserConfig
from aag_ray.job import JobResult
from aag_ray.llm.load import load_model
from aag_ray.llm.streaming import StreamingEngine
from aag_ray.serve.deployments import trained_parser
from aag_ray.settings import load_config
from aag_ray.train.parser import DECIDES, train_parser
from aag_ray.train.staged import stage_fingerprints

pytestmark = pytest.mark.cluster


def settings(model: Path, root: Path, *more: str) -> TrainParserConfig:
    return load_config(
        TrainParserConfig,
        None,
        [
            f"run={{root: '{root}', name: tiny}}",
            f"model={{name: '{model}', dtype: float32}}",
            "data={contexts: 1, languages: [de, fr, es], foreign: 0.5}",
            "data.world={train_questions: 30, dev_questions: 16, test_questions: 16, min_city_population: 1000000}",
            "known={answer_tokens: 3, cpus_per_actor: 1.0}",
            "parser={query_tokens: 6, question_tokens: 6, lora: {rank: 2}}",
            "parser.training={steps: 2, batch: 4, warmup_steps: 1, dev_every: 2, checkpoint_every: 1, dev_examples: 8}",
            "evaluate={written: 4, bootstrap_samples: 50}",
            "cluster={cpus_per_worker: 1}",
            *more,
        ],
    )


@pytest.fixture(scope="module")
def trained(cluster: None, tiny_model_folder: Path, root: Path) -> JobResult:
    return train_parser(settings(tiny_model_folder, root))


def test_every_split_has_every_need_and_language(trained: JobResult):
    for split in ("train", "dev", "test"):
        made = trained.metrics["data"][split]
        assert set(made["needs"]) >= {"measured", "timely", "errand"}
        assert set(made["languages"]) == {"en", "de", "fr", "es"}
        assert made["in_a_conversation"] > 0


def test_every_question_was_asked_once_and_labelled(trained: JobResult, root: Path):
    known = trained.metrics["known"]
    assert known["failed"] == 0
    recalled = read_table(root / "tiny" / "known" / "recalled.parquet")
    assert len({row["id"] for row in recalled}) == len(recalled) == known["questions"]
    assert known["test"]["en"]["asked"] > 0


def test_the_table_compares_the_parser_with_the_others(trained: JobResult, root: Path):
    folder = root / "tiny" / "evaluate"
    result = json.loads((folder / "result.json").read_text())
    assert set(result["systems"]) == {"parser", "question", "likelihood", "always", "never"}
    assert set(result["differences"]) == {"question", "likelihood", "always", "never"}
    assert result["systems"]["always"]["missed"]["value"] == result["systems"]["never"]["needless"]["value"] == 0
    assert 0 <= result["systems"]["parser"]["calibration"]["ece"] <= 1
    assert result["writing"]["in_grammar"]["n"] == 4
    assert "Likelihood threshold" in (folder / "table.md").read_text()
    lines = [json.loads(line) for line in (folder / "decisions.jsonl").read_text().splitlines()]
    assert len(lines) == result["examples"]
    right = sum(line["needed"] == line["searched"] for line in lines)
    assert 100 * right / len(lines) == pytest.approx(result["systems"]["parser"]["accuracy"]["value"])


def test_a_second_call_keeps_what_is_finished(trained: JobResult, tiny_model_folder: Path, root: Path):
    model = root / "tiny" / "parser" / "model" / "adapter" / "model.safetensors"
    before = model.stat().st_mtime_ns
    assert train_parser(settings(tiny_model_folder, root)).metrics == trained.metrics
    assert model.stat().st_mtime_ns == before


def test_the_endpoint_takes_the_newest_parser_and_decides_with_it(trained: JobResult, tiny_model_folder: Path, root: Path):
    folder = trained_parser(AppSection(runs=str(root)))
    assert folder == newest_run(root, "parser").folder / "parser" / "model"
    assert trained_parser(AppSection(runs=str(root), parser="elsewhere")) == Path("elsewhere")
    assert trained_parser(AppSection(runs=str(root / "none"))) is None
    engine = StreamingEngine(load_model(ModelSection(name=str(tiny_model_folder), dtype="float32"), "cpu"))
    parser = build_parser(folder, engine)
    assert isinstance(parser, TrainedParser)
    assert parser.engine is engine
    metrics, today = trained.metrics["parser"], date(2026, 5, 4)
    parsed = asyncio.run(parser.parse(AnswerRequest.asking("What is the capital of Peru?"), today))
    assert parsed.needed is not None
    assert parser.weighs_memory
    assert parsed.search == (parsed.needed >= metrics["threshold"])
    weighed = asyncio.run(parser.weigh(parsed, today, 0.5))
    assert weighed.needed is not None
    assert weighed.search == (weighed.needed >= metrics["weighing"]["threshold"])
    parser.close()
    engine.close()


def test_who_is_asked_is_what_the_folder_holds_not_its_name(tiny_model_folder: Path, tmp_path: Path):
    config = settings(tiny_model_folder, tmp_path, f"known.awakening={tmp_path / 'model'}")
    (tmp_path / "model").mkdir()
    prints = []
    for weights in ("one", "two"):
        (tmp_path / "model" / "hypernetwork.safetensors").write_text(weights)
        prints.append(stage_fingerprints(config, DECIDES))
    assert prints[0]["data"] == prints[1]["data"]
    assert prints[0]["known"] != prints[1]["known"]


def test_a_stage_before_its_input_says_what_is_missing(cluster: None, tiny_model_folder: Path, tmp_path: Path):
    with pytest.raises(RunError, match="needs data, which is not finished"):
        train_parser(settings(tiny_model_folder, tmp_path, "stage=known"))
