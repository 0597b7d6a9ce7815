"""The extractor from questions to a calibrated scorer and its table, on a real local Ray, with a tiny random encoder."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from aag_ray.artifacts import Manifest, Run, RunError, read_table, write_table
from aag_ray.config import EvaluateExtractorConfig, ExtractSection, TrainExtractorConfig
from aag_ray.evaluate import extractors
from aag_ray.evaluate.extractors import evaluate_extractors
from aag_ray.extract.build import build_extractor, tag_page
from aag_ray.extract.examples import example
from aag_ray.extract.instruction_files import write_set
from aag_ray.extract.instruction_set import construct
from aag_ray.extract.instructions import from_example
from aag_ray.extract.labelled import hidden_needles
from aag_ray.job import JobResult
from aag_ray.pages.plain import read_text
from aag_ray.settings import load_config
from aag_ray.train.extractor import chosen_windows, train_extractor

pytestmark = pytest.mark.cluster


def settings(encoder: Path, root: Path, *more: str) -> TrainExtractorConfig:
    return load_config(
        TrainExtractorConfig,
        None,
        [
            f"run={{root: '{root}', name: tiny}}",
            "data={contexts: 4, needles: 10, needle_tokens: 300}",
            "data.world={train_questions: 24, dev_questions: 12, test_questions: 8}",
            f"scorer.model={{name: '{encoder}', dtype: float32}}",
            *("scorer.window=96", "scorer.width=8"),
            "scorer.training={steps: 2, batch: 4, warmup_steps: 1, dev_every: 2, checkpoint_every: 1, dev_examples: 8}",
            "cluster={cpus_per_worker: 1}",
            *more,
        ],
    )


def evaluation(root: Path, encoder: Path, *more: str) -> EvaluateExtractorConfig:
    extract = f"extract={{model: {{name: '{encoder}', dtype: float32}}}}"
    grid = "grid={cases: 1, lengths: [200, 300], depths: [0.0, 1.0]}"
    return load_config(
        EvaluateExtractorConfig, None, [f"run={{root: '{root}', name: tiny}}", extract, grid, "bootstrap_samples=50", *more]
    )


@pytest.fixture(scope="module")
def trained(cluster: None, tiny_encoder_folder: Path, root: Path) -> JobResult:
    return train_extractor(settings(tiny_encoder_folder, root))


def test_every_split_holds_pages_with_evidence_and_pages_without(trained: JobResult):
    for split in ("train", "dev", "test"):
        made = trained.metrics["data"][split]
        assert 0 < made["with_evidence"] < made["pages"]


def test_the_trained_scorer_is_calibrated_and_extracts(trained: JobResult, root: Path):
    model = root / "tiny" / "scorer" / "model"
    assert json.loads((model / "config.json").read_text())["calibration"]["fitted"]
    extractor = build_extractor(ExtractSection(checkpoint=str(model), threshold=0.0))
    page = tag_page("The capital of Peru is Lima. It rains.", "https://a.example/", kind="text").tagged
    extraction = extractor.extract("What is the capital of Peru?", [page])
    assert extraction.calibrated
    for evidence in extraction.evidence:
        assert page.page.text[evidence.start : evidence.end] == evidence.text


def test_a_second_call_keeps_what_is_finished(trained: JobResult, tiny_encoder_folder: Path, root: Path):
    model = root / "tiny" / "scorer" / "model" / "model.safetensors"
    before = model.stat().st_mtime_ns
    assert train_extractor(settings(tiny_encoder_folder, root)).metrics == trained.metrics
    assert model.stat().st_mtime_ns == before


def test_more_frozen_layers_than_there_are_end_before_any_worker_starts(
    cluster: None, tiny_encoder_folder: Path, tmp_path: Path
):
    with pytest.raises(RunError, match=r"scorer\.frozen_layers=99 is more than the \d+ layers of the encoder"):
        train_extractor(settings(tiny_encoder_folder, tmp_path, "scorer.frozen_layers=99"))
    assert not (tmp_path / "tiny" / "scorer" / "training").exists()


def test_a_trained_scorer_teaches_another(trained: JobResult, tiny_encoder_folder: Path, root: Path, tmp_path: Path):
    teacher = f"scorer.teacher='{root / 'tiny' / 'scorer' / 'model'}'"
    taught = train_extractor(settings(tiny_encoder_folder, tmp_path, teacher, "scorer.teacher_weight=0.75")).metrics["scorer"]
    folders = [each / "tiny" / "scorer" for each in (tmp_path, root)]
    (soft, dev), (hard, before) = (
        [[json.loads(line) for line in (each / name).read_text().splitlines()] for name in ("train.jsonl", "dev.jsonl")]
        for each in folders
    )
    assert [row["id"] for row in soft] == [row["id"] for row in hard]
    for row, gold in zip(soft, hard, strict=True):
        for label, right in zip(row["labels"], gold["labels"], strict=True):
            assert 0 <= label <= 1
            assert right < 0 or abs(label - right) <= 0.75
    assert any(0 < label < 1 for row in soft for label in row["labels"])
    assert dev == before, "which step is best is decided by gold"
    assert (taught["unscored_windows"], taught["steps"]) == (0, 2)
    assert taught["loss_first"] != trained.metrics["scorer"]["loss_first"]


def test_the_table_has_a_row_for_each_extractor_and_the_grids_are_pictures(
    trained: JobResult, tiny_model_folder: Path, tiny_encoder_folder: Path, root: Path
):
    reader = f"model={{name: '{tiny_model_folder}', dtype: float32}}"
    names = ["all", "trafilatura", "bm25", "embedding", "untrained", "scorer"]
    more = (reader, "answers={questions: 3, max_answer_tokens: 2}", f"extractors=[{', '.join(names)}]")
    result = evaluate_extractors(evaluation(root, tiny_encoder_folder, *more), say=lambda line: None)
    folder = root / "tiny" / "evaluate"
    systems = result.metrics["systems"]
    assert set(systems) == {*names, "closed_book"}
    assert len({systems[name]["at_budget"]["tokens_in"] for name in names}) == 1, "one counter for all"
    assert [name for name in names if systems[name]["tokens_read"]] == ["embedding", "untrained", "scorer"]
    read = {name: row["answers"]["prompt_tokens"] for name, row in result.metrics["systems"].items()}
    assert read["closed_book"] < read["scorer"] <= read["all"]
    answered = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert [set(row) for row in answered] == [{"id", "question", "answers", *names, "closed_book"}] * 3
    assert result.metrics["systems"]["all"]["at_budget"]["answer_kept"]["value"] == 100
    assert set(result.metrics["differences"]) == {"scorer-bm25", "scorer-embedding", "scorer-untrained"}
    assert 0 <= result.metrics["systems"]["scorer"]["calibration"]["ece"] <= 1
    table = (folder / "table.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in table[2:]] == names
    assert all((folder / f"needles-{kind}-scorer.png").read_bytes().startswith(b"\x89PNG") for kind in ("single", "several"))


def test_what_was_measured_is_kept_where_a_later_extractor_fails(
    trained: JobResult, tiny_encoder_folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch
):
    built: list[str] = []

    def build(name: str, *given: Any, **more: Any) -> Any:
        if name == "embedding" and built.count("embedding") == 0:
            built.append(name)
            raise RuntimeError("out of memory")
        built.append(name)
        return real(name, *given, **more)

    real = extractors.build
    monkeypatch.setattr(extractors, "build", build)
    config = evaluation(root, tiny_encoder_folder, "extractors=[bm25, embedding]", "grid.cases=0", "max_pages=3")
    with pytest.raises(RuntimeError, match="out of memory"):
        evaluate_extractors(config, say=lambda line: None)
    result = evaluate_extractors(config, say=lambda line: None)
    assert set(result.metrics["systems"]) == {"bm25", "embedding"}
    assert built == ["bm25", "bm25", "embedding", "embedding", "embedding"]


def test_grids_of_given_needles_in_given_texts(trained: JobResult, tiny_encoder_folder: Path, root: Path, tmp_path: Path):
    needles, texts = tmp_path / "needles.jsonl", tmp_path / "texts.jsonl"
    needles.write_text('{"needle": "Queen Vu rules Zorl.", "request": "Who rules Zorl?"}\n')
    texts.write_text(json.dumps({"text": "\n\n".join(f"Line {n} is about rain and nothing else." for n in range(99))}))
    files = (f"grid.needles={needles}", f"grid.haystack={texts}", "extractors=[bm25]", "injections=false")
    result = evaluate_extractors(evaluation(root, tiny_encoder_folder, *files), say=lambda line: None)
    assert {kind: grid["mean_f1"] for kind, grid in result.metrics["grid"]["bm25"].items()} == {"single": 1.0}
    assert (root / "tiny" / "evaluate" / "table.md").read_text().splitlines()[-1].endswith("| 100.0 |  |")
    several = ("grid={cases: 1, lengths: [200], depths: [0.5]}", f"grid.haystacks=[{{path: '{texts}', needles: '{needles}'}}]")
    result = evaluate_extractors(evaluation(root, tiny_encoder_folder, *several, *files[2:]), say=lambda line: None)
    assert result.metrics["haystacks"]["texts"]["bm25"]["single"]["mean_f1"] == 1.0
    assert (root / "tiny" / "evaluate" / "table.md").read_text().splitlines()[-1] == "| texts | bm25 | 100.0 |  |"
    assert (root / "tiny" / "evaluate" / "needles-texts-single-bm25.png").exists()
    texts.write_text('{"text": "Line."}\n{"title": "Line."}\n')
    with pytest.raises(RunError, match=r"texts\.jsonl:2: none of the keys text"):
        evaluate_extractors(evaluation(root, tiny_encoder_folder, *files), say=lambda line: None)


def test_a_run_without_pages_or_without_a_scorer_says_what_to_do(
    cluster: None, tiny_encoder_folder: Path, root: Path, tmp_path: Path
):
    with pytest.raises(RunError, match=r"jobs/train_extractor\.py run\.name=tiny"):
        evaluate_extractors(evaluation(tmp_path, tiny_encoder_folder))
    with Run.open(tmp_path / "tiny") as other:  # as another job leaves one
        folder = other.stage("data").start("f")
        write_table(folder / "test.parquet", [{"id": "1", "question": "Who?"}])
        other.stage("data").commit(Manifest("data", "f", {}, {}))
    with pytest.raises(RunError, match=r"test\.parquet has no column 'page': .* is no run of jobs/train_extractor\.py"):
        evaluate_extractors(evaluation(tmp_path, tiny_encoder_folder))
    train_extractor(settings(tiny_encoder_folder, tmp_path, "stage=data"))
    with pytest.raises(RunError, match="holds no trained scorer"):
        evaluate_extractors(evaluation(tmp_path, tiny_encoder_folder, "grid.cases=0", "extractors=[scorer]"))


def test_a_tag_model_is_trained_on_the_same_pages_and_writes_tags_only(
    trained: JobResult, tiny_model_folder: Path, tiny_encoder_folder: Path, root: Path
):
    small = "{steps: 2, batch: 2, warmup_steps: 1, dev_every: 2, checkpoint_every: 1, dev_examples: 4}"
    model = f"{{name: '{tiny_model_folder}', dtype: float32}}"
    tags = f"tags={{model: {model}, lora: {{rank: 2}}, window_tokens: 600, sft: {small}, dpo: {small}, pairs: 4}}"
    result = train_extractor(settings(tiny_encoder_folder, root, "train=[tags]", tags))
    assert set(result.metrics) == {"data", "tags"}
    assert result.metrics["data"] == trained.metrics["data"]
    assert result.metrics["tags"]["sft"]["steps"] == 2
    assert result.metrics["tags"]["mistakes"]["train"] == 4
    assert result.metrics["tags"]["dpo"]["steps"] == 2
    assert result.metrics["tags"]["left_out"] == {"train": 0, "dev": 0}
    section = ExtractSection.model_validate(
        {
            "extractor": "tags",
            "model": {"name": str(tiny_model_folder), "dtype": "float32"},
            "checkpoint": str(root / "tiny" / "tags" / "model"),
        }
    )
    page = tag_page("The capital of Peru is Lima. It rains.", "https://a.example/", kind="text").tagged
    extractor = build_extractor(section)
    assert extractor.writer.pages.window_tokens == 600  # type: ignore[attr-defined]
    extraction = extractor.extract("What is the capital of Peru?", [page])
    assert {evidence.tag for evidence in extraction.evidence} <= {1, 2}


def test_a_whole_tag_model_is_trained_and_the_preferences_are_merged_into_it(
    trained: JobResult, tiny_model_folder: Path, tiny_encoder_folder: Path, root: Path
):
    small = "{steps: 2, batch: 2, warmup_steps: 1, dev_every: 2, checkpoint_every: 1, dev_examples: 4}"
    model = f"{{name: '{tiny_model_folder}', dtype: float32}}"
    tags = f"tags={{model: {model}, tune: full, lora: {{rank: 2}}, window_tokens: 600, sft: {small}, dpo: {small}, pairs: 4}}"
    more = ("train=[tags]", tags, "cluster={cpus_per_worker: 1, gradient_checkpointing: true}")
    result = train_extractor(settings(tiny_encoder_folder, root, *more))
    assert result.metrics["tags"]["sft"]["trained_parameters"] > 10 * result.metrics["tags"]["dpo"]["trained_parameters"]
    folder = root / "tiny" / "tags"
    preferred, before = (load_file(folder / name / "model.safetensors") for name in ("model", "sft/best"))
    changed = {name for name in before if not torch.equal(before[name], preferred[name])}
    assert changed
    assert all(name.split(".")[-2] in ("q_proj", "v_proj", "down_proj") for name in changed)
    section = ExtractSection.model_validate({"extractor": "tags", "checkpoint": str(folder / "model")})
    page = tag_page("The capital of Peru is Lima. It rains.", "https://a.example/", kind="text").tagged
    assert {evidence.tag for evidence in build_extractor(section).extract("What is Lima?", [page]).evidence} <= {1, 2}


def test_confirmed_labels_of_a_teacher_are_trained_on_in_their_split(
    trained: JobResult, tiny_encoder_folder: Path, root: Path, tmp_path: Path
):
    rows = []
    for split in ("train", "dev"):
        page = read_text(f"Lake {split} is deep. It rains.", f"https://{split}.example/").page
        assert page is not None
        (row,) = from_example(example(split, "How deep is Vorn?", page, (1,), "teacher:x"), len, 999)
        rows.append(replace(row, split=split))
    write_set(tmp_path / "set" / "instructions", construct(rows))
    more = ("stage=data", f"data.instructions={tmp_path / 'set'}")
    made = train_extractor(settings(tiny_encoder_folder, tmp_path, *more)).metrics["data"]
    for split, added in (("train", 1), ("dev", 1), ("test", 0)):
        before = trained.metrics["data"][split]
        assert made[split]["instructions"] == made[split]["pages"] - before["pages"] == added
        pages = {row["id"]: row for row in read_table(tmp_path / "tiny" / "data" / f"{split}.parquet")}
        assert (f"instructions:{split}" in pages) is bool(added)
    with pytest.raises(RunError, match="holds no set of instructions"):
        train_extractor(settings(tiny_encoder_folder, tmp_path, "stage=data", f"data.instructions={tmp_path / 'none'}"))


def test_windows_without_evidence_are_limited_and_the_hardest_are_among_them():
    def row(name: str, share: float, label: float) -> dict:
        return {"id": name, "features": [(share, 0.0, 0.0, 0.0, 0.0)], "labels": [label]}

    rows = [row("gold", 0.5, 1.0), row("gold too", 0.1, 1.0), row("hard", 0.9, 0.0), *(row(f"{n}", 0.0, 0.0) for n in range(9))]
    chosen = [each["id"] for each in chosen_windows(rows, 1.0, seed=3)]
    assert len(chosen) == 4
    assert {"gold", "gold too", "hard"} <= set(chosen)
    assert chosen == [each["id"] for each in chosen_windows(rows, 1.0, seed=3)]
    assert len(chosen_windows(rows, 50.0, seed=3)) == len(rows)


def test_needles_are_hidden_where_they_can_be_found(trained: JobResult, tiny_encoder_folder: Path):
    from aag_ray.world.questions import load_splits

    questions = load_splits(settings(tiny_encoder_folder, Path("runs")).data, 29)[0]["train"]
    made = list(hidden_needles(questions, 10, 300, "train", 29))
    assert [each.relevant for each in made].count(False) == 2
    assert made == list(hidden_needles(questions, 10, 300, "train", 29))
    for each in made:
        if each.relevant:
            assert any(answer in " ".join(each.text_of(number) for number in each.gold) for answer in each.answers)
