"""The zero-shot harness on a tiny random model: every row counted, whatever became of it, and bad input refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aag_ray.config import EvaluateZeroShotConfig, HypernetworkSection
from aag_ray.evaluate.zero_shot import Prediction, context_of, evaluate_zero_shot, fitted, settings_of, summarise
from aag_ray.evaluate.zero_shot_tasks import Asked, Setting
from aag_ray.llm.load import LoadedModel
from aag_ray.qa_files import QaFileError
from aag_ray.records import Outcome
from aag_ray.settings import ConfigError, load_config

TEXT = "Gold is a metal. Its symbol is Au. " * 30
CONTEXTS = [
    {"title": "Gold", "text": "Its symbol is Au.", "hasanswer": True},
    {"title": "Iron", "text": "It rusts.", "hasanswer": False},
    {"title": "Tin", "text": TEXT, "hasanswer": False},
]
ROWS = [
    {"id": "q1", "question": "What is the symbol of gold?", "answers": ["Au"], "ctxs": CONTEXTS},
    {"id": "q2", "question": "Who? " * 200, "answers": ["The"], "ctxs": CONTEXTS},
    {"id": "q3", "question": "What is tin?", "answers": ["a metal"], "ctxs": []},
]
LONG = [
    {"input": "What is gold?", "context": TEXT * 3, "answers": ["a metal"], "dataset": "hotpotqa", "length": 300},
    {"input": "What is it?", "context": TEXT, "answers": ["Gold is a metal."], "dataset": "dureader", "all_classes": None},
    {"input": "Type:", "context": TEXT, "answers": ["Au"], "dataset": "trec", "all_classes": ["Au", "Ag"]},
]


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def config(tmp_path: Path, tiny_model_folder: Path) -> EvaluateZeroShotConfig:
    return settings(
        f"run.root={tmp_path / 'runs'}",
        f"model={{name: '{tiny_model_folder}', dtype: float32}}",
        f"questions.file={written(tmp_path / 'qa.jsonl', ROWS)}",
        "open_qa={max_document_tokens: 6, max_answer_tokens: 4, passages: 3}",
        "multi_document={documents: 3, positions: [1, 3], orders: [random], max_answer_tokens: 4}",
        "key_value={rows: 2, keys: 3, positions: [2], max_answer_tokens: 4}",
        f"long_text.file={written(tmp_path / 'long.jsonl', LONG)}",
        "context=600",
        "bootstrap_samples=50",
    )


def settings(*overrides: str) -> EvaluateZeroShotConfig:
    return load_config(EvaluateZeroShotConfig, None, overrides)


def changed(config: EvaluateZeroShotConfig, section: str, **values: Any) -> EvaluateZeroShotConfig:
    return config.model_copy(update={section: getattr(config, section).model_copy(update=values)})


def test_every_row_of_every_setting_is_scored(config: EvaluateZeroShotConfig):
    said: list[str] = []
    result = evaluate_zero_shot(config, said.append)
    rows = result.metrics["settings"]
    assert list(rows) == [
        "open_qa/closed_book",
        "open_qa/retrieval",
        "open_qa/imagined",
        "multi_document/random/1",
        "multi_document/random/3",
        "key_value/2",
        "long_text/hotpotqa",
        "long_text/dureader",
        "long_text/trec",
    ]
    sizes = {name: sum(row["outcomes"].values()) for name, row in rows.items()}
    assert list(sizes.values()) == [3, 3, 3, 3, 3, 2, 1, 1, 1]
    assert rows["open_qa/retrieval"]["asked"] == 1
    assert rows["open_qa/retrieval"]["outcomes"]["no_passages"] == 1
    assert rows["open_qa/closed_book"]["outcomes"]["question_too_long"] == 1
    assert set(rows["long_text/dureader"]) >= {"rouge_l", "cut"}
    assert "em" not in rows["long_text/dureader"]
    assert rows["long_text/trec"]["accuracy"]["n"] == 1
    folder = Path(result.artifacts["evaluate"])
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == sum(sizes.values())
    lacking = next(line for line in lines if line["setting"] == "open_qa/retrieval" and line["id"] == "q3")
    assert (lacking["outcome"], lacking["detail"]) == ("no_passages", "q3 has no passages")
    assert json.loads((folder / "result.json").read_text())["documents_that_hold_an_answer"]["n"] == 3
    assert (folder / "table.md").read_text() in said

    again: list[str] = []
    assert evaluate_zero_shot(config, again.append).metrics == result.metrics
    assert not again, "what is finished is not asked again"


def test_a_prompt_that_fits_stays_as_it_is_and_a_longer_one_loses_its_passages_only(
    tiny: LoadedModel, config: EvaluateZeroShotConfig
):
    asked = Asked("1", ("Au",), "Question: What is the symbol of gold?", parts=(TEXT, "The end."))
    whole, made = fitted(tiny.tokenizer, asked, 5000, config)
    assert not made.cut
    for strategy in ("half", "random", "equal", "initial", "rear"):
        text, made = fitted(tiny.tokenizer, asked, 150, config.model_copy(update={"truncation": strategy}))
        assert made.cut
        assert made.prompt_tokens <= 150
        assert made.prompt_tokens > 100
        assert asked.before in text
        assert asked.after in text
        assert ("The end." in text) == (strategy in ("half", "equal", "rear")) or strategy == "random"
        assert len(text) < len(whole)


def test_a_question_longer_than_the_context_is_a_named_miss(tiny: LoadedModel, config: EvaluateZeroShotConfig):
    asked = Asked("q9", ("The",), "Question: " + "why " * 99, parts=(TEXT,))
    text, made = fitted(tiny.tokenizer, asked, 60, config)
    assert text == ""
    assert made.outcome is Outcome.QUESTION_TOO_LONG
    assert "q9: the question with its instructions has" in made.detail
    assert made.detail.endswith("the context has room for 60")


def test_a_row_that_was_not_asked_is_a_miss_even_where_an_empty_answer_would_be_right(config: EvaluateZeroShotConfig):
    rows = [Prediction("1", ("The",), outcome=Outcome.QUESTION_TOO_LONG), Prediction("2", ("Au",), "Au", prompt_tokens=7)]
    scores = summarise(Setting("any", [], 4), rows, config)
    assert scores["em"]["value"] == scores["f1"]["value"] == scores["subspan"]["value"] == 50
    assert (scores["asked"], scores["prompt_tokens"]) == (1, 7)


def test_the_context_is_the_models_own_unless_another_is_said(tiny: LoadedModel, config: EvaluateZeroShotConfig):
    assert context_of(tiny, config) == 600
    assert context_of(tiny, config.model_copy(update={"context": None})) == 2048


def test_questions_without_passages_are_retrieved_for_or_refused(config: EvaluateZeroShotConfig, tmp_path: Path):
    bare = written(tmp_path / "bare.jsonl", [{key: row[key] for key in ("id", "question", "answers")} for row in ROWS])
    without = changed(config, "questions", file=bare)
    with pytest.raises(QaFileError, match="open_qa/retrieval: none of 3 rows can be asked; q1 has no passages"):
        settings_of(without)
    pool = written(tmp_path / "pool.jsonl", [{"title": row["title"], "text": row["text"]} for row in CONTEXTS])
    _, made = settings_of(changed(without, "questions", passages=pool))
    assert all(each.parts for each in made[1].asked)
    _, made = settings_of(changed(changed(without, "open_qa", modes=("closed_book",)), "multi_document", rows=0))
    assert made[0].name == "open_qa/closed_book"


def test_lists_with_too_few_keys_are_refused(config: EvaluateZeroShotConfig, tmp_path: Path):
    file = written(tmp_path / "kv.jsonl", [{"ordered_kv_records": [["a", "1"], ["b", "2"]], "key": "b", "value": "2"}])
    with pytest.raises(QaFileError, match="key_value/2: none of 1 rows can be asked; row 0 has 2 keys, not 3"):
        settings_of(changed(config, "key_value", file=file))


def test_a_trained_generator_writes_the_documents(
    config: EvaluateZeroShotConfig, tiny: LoadedModel, tiny_model_folder: Path, tmp_path: Path
):
    from aag_ray.awaken.awakened import AwakeningModel, AwakeningSettings
    from aag_ray.awaken.generator import DocumentGenerator
    from aag_ray.awaken.hypernetwork import build_hypernetwork, layer_shapes

    section = HypernetworkSection(rank=2, width=16)
    hypernetwork = build_hypernetwork(section, layer_shapes(tiny.model, section.modules), tiny.model.config.hidden_size)
    settings = AwakeningSettings(str(tiny_model_folder), "generator")
    trained = AwakeningModel(tiny, settings, DocumentGenerator(tiny, None, 5), None, hypernetwork)
    trained.save_pretrained(tmp_path / "trained" / "hypernetwork" / "model")
    only = changed(changed(config, "key_value", rows=0), "multi_document", rows=0)
    only = changed(changed(only, "long_text", file=None), "open_qa", modes=("imagined",), generator=tmp_path / "trained")
    result = evaluate_zero_shot(only, lambda _: None).metrics
    assert list(result["settings"]) == ["open_qa/imagined"]
    assert result["seconds_per_document"] is None


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("truncation=middle", "truncation='middle': Input should be 'half', 'random', 'equal', 'initial' or 'rear'"),
        ("open_qa.modes=[oracle]", "'oracle': Input should be 'closed_book', 'retrieval' or 'imagined'"),
        ("multi_document.orders=[sorted]", "Input should be 'ranked', 'random' or 'query_aware'"),
        ("multi_document.positions=[1, 9]", r"positions=\[1, 9\]: 9 is beyond the last of documents=5"),
        ("key_value.keys=4", "5 is beyond the last of keys=4"),
        ("strategy=half", "strategy='half': unknown key; allowed here: batch_tokens"),
        ("long_text.metric=bleu", "Input should be 'f1', 'character_f1', 'rouge_l', 'accuracy', 'edit_similarity' or 'num"),
        ("questions.published=squad", "Input should be 'nq', 'tqa' or 'wq'"),
    ],
)
def test_what_cannot_be_is_refused_before_a_model_is_loaded(override: str, told: str):
    with pytest.raises(ConfigError, match=told):
        settings(override)


def test_a_run_that_asks_nothing_is_refused():
    with pytest.raises(ConfigError, match="nothing is asked"):
        settings("open_qa.rows=0", "multi_document.rows=0", "key_value.rows=0")
