"""The AAG run as a whole, with a tiny random model on a real local Ray: stages, their order, resume and result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aag_ray.artifacts import Run, RunError, read_table
from aag_ray.ask import Answerer, Row
from aag_ray.config import STAGES, TrainAagConfig
from aag_ray.qa_files import QaFileError
from aag_ray.records import Outcome
from aag_ray.settings import ConfigError, load_config
from aag_ray.train.aag import DECIDES, train_aag
from aag_ray.train.staged import stage_fingerprints

EM_KEYS = {
    *("zero_shot", "few_shot", "static_lora", "generator_only", "hypernetwork_only", "aag", "aag_shuffled", "aag_mean"),
    *("aag_zero", "retrieved_1", "retrieved_2", "oracle"),
}


def settings(model: Path, root: Path, *more: str) -> TrainAagConfig:
    training = "{steps: 2, batch: 4, warmup_steps: 1, dev_every: 2, checkpoint_every: 1, dev_examples: 4}"
    return load_config(
        TrainAagConfig,
        None,
        [
            f"model={{name: '{model}', dtype: float32}}",
            f"run={{root: '{root}', name: tiny}}",
            "data={contexts: 2, world: {train_questions: 40, dev_questions: 6, test_questions: 8}}",
            f"compress.model={{name: '{model}', dtype: float32}}",
            *("compress.passages=2", "compress.target_tokens=32", "compress.train_questions=12", "compress.cpus_per_actor=1"),
            f"generator={{training: {training}, max_document_tokens: 8, lora: {{rank: 2, modules: [q_proj, down_proj]}}}}",
            "predict={train_questions: 10, batch: 8, cpus_per_actor: 1}",
            f"teacher={{training: {training}, passages: 2, lora: {{rank: 2}}}}",
            f"reader={{training: {training}, static_training: {training}, passages: 2, lora: {{rank: 2}}}}",
            *(
                f"reader.reading={training}",
                "reader.recitals=0.5",
                f"reader.closed_book={training}",
                "reader.hypernetwork.rank=2",
                "reader.hypernetwork.width=16",
            ),
            "cluster={cpus_per_worker: 1}",
            "evaluate={shots: 2, passages: [1, 2], max_answer_tokens: 3, bootstrap_samples: 50, case_questions: 3, batch: 8}",
            "evaluate.token_scores=true",
            *more,
        ],
    )


def further_file(path: Path, passages: int) -> Path:
    """Three questions, with or without passages, whose ids are the same in every file."""
    asked = {"Bolivia": "Sucre", "Chile": "Santiago", "Kenya": "Nairobi"}
    rows = [
        {"id": f"bare-{number}", "question": f"What is the capital of {country}?", "answers": [city]}
        | ({"ctxs": [{"title": country, "text": f"{city} lies in {country}."}] * passages} if passages else {})
        for number, (country, city) in enumerate(asked.items())
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def finished(cluster: None, tiny_model_folder: Path, root: Path) -> dict:
    return train_aag(settings(tiny_model_folder, root)).metrics


@pytest.mark.cluster
@pytest.mark.timeout(600)
class TestAWholeRun:
    def test_the_test_metrics_have_every_system_and_the_three_differences(self, finished: dict) -> None:
        em = finished["test"]["em"]
        assert set(finished["test"]["perplexity"]) == set(finished["test"]["token_accuracy"]) == set(em)
        assert set(em) == EM_KEYS
        assert all(set(interval) == {"value", "low", "high", "n"} and interval["n"] == 8 for interval in em.values())
        differences = finished["test"]["em_difference"]
        assert {"aag-static_lora", "aag-aag_shuffled", "aag-few_shot"} <= set(differences)
        assert all(interval["low"] <= interval["value"] <= interval["high"] for interval in differences.values())

    def test_every_stage_is_committed_and_undamaged(self, finished: dict, root: Path) -> None:
        run = Run(root / "tiny")
        for name in STAGES:
            stage = run.stage(name)
            assert stage.manifest is not None
            assert stage.damaged_files() == []

    def test_the_report_lies_in_the_run(self, finished: dict, root: Path) -> None:
        folder = root / "tiny" / "evaluate"
        assert {"result.json", "table.md", "plot.png", "cases.html"} <= {path.name for path in folder.iterdir()}
        result = json.loads((folder / "result.json").read_text())
        assert result["systems"]["static_lora"]["trained_parameters"] > 0
        assert "adapter_variance" in result["gate"]

    def test_the_static_baseline_has_about_as_many_trained_parameters(self, finished: dict, root: Path) -> None:
        systems = json.loads((root / "tiny" / "evaluate" / "result.json").read_text())["systems"]
        assert systems["static_lora"]["trained_parameters"] == pytest.approx(systems["aag"]["trained_parameters"], rel=0.2)

    def test_passages_are_recited_in_training_and_not_on_dev(self, finished: dict, root: Path) -> None:
        rows = {split: (root / "tiny" / "hypernetwork" / f"reading-{split}.jsonl").read_text() for split in ("train", "dev")}
        assert "What comes after" in rows["train"]
        assert "What comes after" not in rows["dev"]

    def test_a_second_call_keeps_what_is_finished(
        self, finished: dict, tiny_model_folder: Path, root: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        stamps = {path: path.stat().st_mtime_ns for path in root.rglob("manifest.json")}
        assert train_aag(settings(tiny_model_folder, root)).metrics == finished
        assert capsys.readouterr().out.count("finished before, kept") == len(STAGES)
        assert {path: path.stat().st_mtime_ns for path in root.rglob("manifest.json")} == stamps

    def test_what_was_trained_is_tested_on_further_files_and_nothing_is_trained_again(
        self, finished: dict, tiny_model_folder: Path, root: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        stamps = {path: path.stat().st_mtime_ns for path in root.rglob("manifest.json") if path.parent.name != "evaluate"}
        files = {name: str(further_file(root / f"{name}.jsonl", passages)) for name, passages in (("bare", 0), ("read", 2))}
        metrics = train_aag(settings(tiny_model_folder, root, f"evaluate.also={json.dumps(files)}")).metrics
        assert capsys.readouterr().out.count("finished before, kept") == len(STAGES) - 1
        assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
        assert metrics["test"]["em"] == finished["test"]["em"]

        assert set(metrics["also"]["read"]["em"]) == EM_KEYS
        assert set(metrics["also"]["bare"]["em"]) == EM_KEYS - {"retrieved_1", "retrieved_2", "oracle"}
        for measured in metrics["also"].values():
            assert set(measured) == set(metrics["test"])
            assert all(interval["n"] == 3 for interval in measured["em"].values())
            assert {"aag-static_lora", "aag-aag_shuffled"} <= set(measured["em_difference"])

        folder = root / "tiny" / "evaluate"
        written = read_table(folder / "written" / "documents.parquet")
        assert [row["id"] for row in written] == [f"{name}/bare-{n}" for name in ("bare", "read") for n in range(3)]
        told = json.loads((folder / "result.json").read_text())
        shown = {case["document"] for other in told["also"].values() for case in other["cases"]}
        assert shown == {row["text"] for row in written}
        table = (folder / "table.md").read_text()
        assert "## Out of domain: read (3 questions of read.jsonl)" in table
        assert table.count("Left out, because none of these questions has passages: 1 retrieved passage, 2 retr") == 1

    def test_one_stage_alone_runs_on_what_is_there(self, finished: dict, tiny_model_folder: Path, root: Path) -> None:
        config = settings(tiny_model_folder, root, "stage=evaluate", "evaluate.case_questions=2")
        metrics = train_aag(config).metrics
        assert set(metrics) == {"test"}
        assert len(json.loads((root / "tiny" / "evaluate" / "result.json").read_text())["cases"]) == 2

    def test_the_trained_model_answers_rows(self, finished: dict, root: Path) -> None:
        answerer = Answerer("aag", root / "tiny")
        rows = [Row("a", "What is the capital of Peru?"), Row("b", "", detail="line 2: not JSON"), Row("c", "Who?", "A text.")]
        answers = list(answerer.answer(rows))
        assert [answer.id for answer in answers] == ["a", "b", "c"]
        assert answers[1].outcome is Outcome.FAILED
        assert answers[1].detail == "line 2: not JSON"
        assert answers[2].document == "A text."


class TestStageOrder:
    def test_a_stage_before_its_time_names_what_is_missing(
        self, cluster: None, tiny_model_folder: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(RunError, match=r"stage=generator needs data, which is not finished"):
            train_aag(settings(tiny_model_folder, tmp_path, "stage=generator"))

    def test_a_changed_setting_redoes_its_stage_and_all_after_it(self, tiny_model_folder: Path, tmp_path: Path) -> None:
        before = stage_fingerprints(settings(tiny_model_folder, tmp_path), DECIDES)
        after = stage_fingerprints(settings(tiny_model_folder, tmp_path, "generator.training.learning_rate=0.5"), DECIDES)
        same = [name for name in STAGES if before[name] == after[name]]
        assert same == ["data", "compress"]

    def test_further_questions_redo_the_evaluation_alone(self, tiny_model_folder: Path, tmp_path: Path) -> None:
        before = stage_fingerprints(settings(tiny_model_folder, tmp_path), DECIDES)
        after = stage_fingerprints(settings(tiny_model_folder, tmp_path, "evaluate.also={webq: a.jsonl}"), DECIDES)
        assert [name for name in STAGES if before[name] != after[name]] == ["evaluate"]

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (None, "no question file"),
            ("", "is empty"),
            ("RIFF", "neither a JSON list nor JSON lines"),
            ("PAR1", "cannot read the table"),
            ('{"title": "Peru", "text": "Lima lies there."}', "row 1: question must be text"),
        ],
        ids=["missing", "empty", "no questions", "half a table", "passages"],
    )
    def test_further_questions_that_cannot_be_read_are_refused_before_anything_is_made(
        self, tiny_model_folder: Path, tmp_path: Path, content: str | None, reason: str
    ) -> None:
        file = tmp_path / "others.jsonl"
        if content is not None:
            file.write_text(content)
        with pytest.raises(QaFileError, match=rf"evaluate\.also\.webq: (.*others\.jsonl.*{reason}|{reason} .*others\.jsonl)"):
            train_aag(settings(tiny_model_folder, tmp_path, f"evaluate.also={{webq: '{file}'}}"))
        assert not (tmp_path / "tiny").exists()

    def test_the_name_of_the_test_questions_is_taken(self, tiny_model_folder: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="name of the run's own test questions"):
            settings(tiny_model_folder, tmp_path, "evaluate.also={test: a.jsonl}")

    def test_where_results_go_does_not_change_them(self, tiny_model_folder: Path, tmp_path: Path) -> None:
        here, there = (settings(tiny_model_folder, tmp_path / place) for place in ("here", "there"))
        assert stage_fingerprints(here, DECIDES) == stage_fingerprints(there, DECIDES)

    def test_two_runs_into_one_folder_are_refused(self, cluster: None, tiny_model_folder: Path, tmp_path: Path) -> None:
        with Run.open(tmp_path / "tiny"), pytest.raises(RunError, match="another process is writing"):
            train_aag(settings(tiny_model_folder, tmp_path))
