"""A real Ray of several nodes: every job spreads over them, and when one is lost in the middle, nothing is with it."""

import json
import runpy
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import PreTrainedTokenizerFast, T5ForConditionalGeneration

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
SHORT = {"steps": 2, "batch": 4, "warmup_steps": 1, "dev_every": 2, "checkpoint_every": 1, "dev_examples": 4}
FEW = {"train_questions": 24, "dev_questions": 12, "test_questions": 12}
TRAINS, ROWS = "RayTrainWorker", "_in_lasting_process"


@pytest.fixture(scope="module")
def node_loss() -> Iterator[Any]:
    """The benchmark, which imports what stands beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield import_module("node_loss")


@pytest.fixture(scope="module")
def nodes(node_loss: Any) -> Iterator[Any]:
    """A head without CPUs and four workers of one, so that two workers of a job are on two nodes; three tests kill one each."""
    with node_loss.nodes(workers=4, cpus=1) as made:
        yield made


@pytest.fixture
def job(
    request: pytest.FixtureRequest,
    nodes: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    """Run `jobs/<name>.py`, which takes the Ray that this process is connected to, with a test's jobs in one run. Gives its
    metrics and the titles of processes that were seen on more than one node."""

    def job(name: str, **settings: Any) -> tuple[dict[str, Any], list[str]]:
        file, run = tmp_path / f"{name}.yaml", {"root": str(nodes.folder / "runs"), "name": request.node.name}
        file.write_text(yaml.safe_dump({"run": run, **settings}))
        monkeypatch.setattr(sys, "argv", [f"jobs/{name}.py", "--config", str(file)])
        with nodes.watched() as seen, pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / "jobs" / f"{name}.py"), run_name="__main__")
        printed = capsys.readouterr()
        assert ended.value.code == 0, printed.err[-4000:]
        line = json.loads(printed.out.splitlines()[-1])
        assert (line["job"], line["status"]) == (name, "ok")
        return line["metrics"], [title for title, where in seen.items() if len(where) > 1]

    return job


def model_of(folder: Path) -> dict[str, str]:
    return {"name": str(folder), "dtype": "float32"}


def spread(titles: list[str], part: str) -> bool:
    return any(part in title for title in titles)


PAIR = {"workers": 2, "cpus_per_worker": 1, "zero_stage": 1}


def test_crawl_and_tag(node_loss: Any, job: Any):
    with node_loss.local_web(pages=60) as web:
        crawl = {"seeds": list(web.seeds), "scope": {"depth": 20}, "max_pages": 60, "batch_urls": 10}
        politeness = {"delay_seconds": 0.0, "backoff_seconds": 0.01}
        fetch = {"guard": {"allow": list(web.allow)}, "politeness": politeness, "limits": {"seconds": 5}}
        crawled, titles = job("crawl", crawl=crawl, fetch=fetch)
    assert spread(titles, ROWS)
    tagged, titles = job("tag", batch_pages=8)
    assert tagged["tag"]["pages"] == crawled["crawl"]["pages"] - crawled["crawl"]["duplicates"] > 0
    assert spread(titles, ROWS)


def test_extractor(tiny_encoder_folder: Path, job: Any):
    data = {"contexts": 4, "needles": 10, "needle_tokens": 300, "world": FEW}
    scorer = {"model": model_of(tiny_encoder_folder), "window": 96, "width": 8, "training": SHORT}
    _, titles = job("train_extractor", data=data, scorer=scorer, cluster=PAIR)
    assert spread(titles, TRAINS)
    grid = {"cases": 1, "lengths": [200], "depths": [0.5]}
    measured, _ = job("evaluate_extractor", extractors=["bm25", "scorer"], grid=grid, bootstrap_samples=50)
    assert set(measured["systems"]) >= {"bm25", "scorer"}


@pytest.mark.nodes
def test_parser(tiny_model_folder: Path, job: Any):
    data = {"contexts": 1, "languages": ["de", "fr", "es"], "foreign": 0.5, "world": {**FEW, "min_city_population": 1000000}}
    measured, titles = job(
        "train_parser",
        model=model_of(tiny_model_folder),
        data=data,
        known={"answer_tokens": 3, "cpus_per_actor": 1.0, "actors": 2},
        parser={"query_tokens": 6, "question_tokens": 6, "lora": {"rank": 2}, "training": SHORT},
        evaluate={"written": 4, "bootstrap_samples": 50},
        cluster=PAIR,
    )
    assert measured["known"]["failed"] == 0
    assert spread(titles, TRAINS)


def test_instructions(tiny_model_folder: Path, job: Any):
    made, _ = job(
        "build_instructions",
        data={"contexts": 3, "needles": 10, "needle_tokens": 200, "world": FEW},
        instructions={"model": model_of(tiny_model_folder), "window_tokens": 2000, "actors": 2, "batch": 4},
    )
    assert made["positives"] > 0


@pytest.mark.nodes
def test_aag(tiny_model_folder: Path, job: Any):
    model = model_of(tiny_model_folder)
    measured, titles = job(
        "train_aag",
        model=model,
        data={"contexts": 2, "world": {"train_questions": 40, "dev_questions": 6, "test_questions": 8}},
        compress={
            "model": model, "passages": 2, "target_tokens": 32, "train_questions": 12, "cpus_per_actor": 1,
            "actors": 2, "batch_questions": 4,
        },
        generator={"training": SHORT, "max_document_tokens": 8, "lora": {"rank": 2, "modules": ["q_proj"]}},
        predict={"train_questions": 10, "batch": 4, "cpus_per_actor": 1, "actors": 2},
        reader={
            "training": SHORT, "static_training": SHORT, "passages": 2, "lora": {"rank": 2}, "distill": {"share": 0},
            "hypernetwork": {"rank": 2, "width": 16},
        },
        cluster=PAIR,
        evaluate={"shots": 2, "passages": [1], "max_answer_tokens": 3, "bootstrap_samples": 50, "case_questions": 3},
    )  # fmt: skip
    assert set(measured["test"]["em"]) >= {"zero_shot", "aag", "static_lora"}
    assert spread(titles, TRAINS)
    job("export_instructions")


@pytest.mark.nodes
def test_fid(tiny_t5: T5ForConditionalGeneration, tiny_tokenizer: PreTrainedTokenizerFast, tmp_path: Path, job: Any):
    tiny_t5.save_pretrained(tmp_path / "t5")
    tiny_tokenizer.save_pretrained(tmp_path / "t5")
    reads = {"passages": 2, "longest": 64, "longest_answer": 8, "training": SHORT}
    measured, titles = job(
        "train_fid",
        model=model_of(tmp_path / "t5"),
        data={"contexts": 3, "world": FEW},
        reader={
            **reads,
            "reads": "passages",
            "trained": ["norms"],
            "hypernetwork": {"rank": 2, "width": 16, "condition": "question"},
            "distill": {"kd": False},
        },
        evaluate={"batch": 4, "bootstrap_samples": 50},
        cluster=PAIR,
    )
    assert measured["reader"]["workers"] == 2
    assert spread(titles, TRAINS)


@pytest.mark.nodes
def test_knowledge(tiny_model_folder: Path, job: Any):
    measured, titles = job(
        "train_knowledge",
        model=model_of(tiny_model_folder),
        data={"contexts": 4, "passages": 4, "unseen_relations": ["language"], "world": FEW},
        reader={"lora": {"rank": 2}, "training": SHORT},
        internalizer={"training": SHORT, "hypernetwork": {"rank": 2, "width": 16}},
        evaluate={"together": [2], "batch": 8, "max_answer_tokens": 3, "bootstrap_samples": 50},
        cluster=PAIR,
    )
    assert measured["internalizer"]["workers"] == 2
    assert spread(titles, TRAINS)


def test_zero_shot(tiny_model_folder: Path, job: Any):
    measured, _ = job(
        "evaluate_zero_shot",
        model=model_of(tiny_model_folder),
        open_qa={"max_document_tokens": 6, "max_answer_tokens": 4, "passages": 3, "rows": 3},
        multi_document={"rows": 0},
        key_value={"rows": 2, "keys": 3, "positions": [2], "max_answer_tokens": 4},
        bootstrap_samples=50,
    )
    assert set(measured["settings"]) >= {"open_qa/closed_book", "key_value/2"}


def test_a_training_goes_on_with_every_step_once_when_one_of_its_nodes_is_lost(node_loss: Any, nodes: Any):
    report = node_loss.lose_a_node_while_training(nodes, node_loss.tiny_model(nodes.folder / "trained"), cpus=1)
    assert report["nodes"] >= 3, "two before, and one that took the place of the lost one"
    assert report["restarts"] >= 1
    assert report["workers"] == 2
    assert report["every_step_once"], report


def test_requests_are_answered_or_refused_while_the_engines_node_is_lost(node_loss: Any, nodes: Any):
    report = node_loss.lose_a_node_while_serving(nodes, node_loss.tiny_model(nodes.folder / "model"), seconds=0)
    assert report["broken"] == 0, report
    assert report["answered"] >= 40
    assert report["share_not_broken"] == 1


def test_a_crawl_loses_and_doubles_no_row_with_its_node(node_loss: Any, nodes: Any):
    report = node_loss.lose_a_node_while_crawling(nodes)
    assert report["nodes_killed"] == 1
    assert report["articles"] > 100
    wrong = ("lost", "doubled", "other_outcomes", "pages_lost", "pages_doubled")
    assert {name: report[name] for name in wrong} == dict.fromkeys(wrong, 0), report


@pytest.mark.parametrize(
    ("status", "text", "stream", "how"),
    [
        (200, '{"choices": [], "aag": {"provenance": {"provenance": "from_memory"}}}', False, "answered"),
        (200, '{"choices": [], "aag": {"provenance": {"provenance": "out_of_time"}}}', False, "excused"),
        (503, '{"error": {"code": "overloaded"}}', False, "refused"),
        (500, "Internal Server Error", False, "broken"),
        (200, 'data: {"aag": {"event": "provenance", "provenance": "from_memory"}}\n\ndata: [DONE]\n\n', True, "answered"),
        (200, 'data: {"choices": []}\n\ndata: {"error": {"code": "overloaded"}}\n\n', True, "refused"),
        (200, 'data: {"choices": []}\n\n', True, "broken"),
        (200, "", True, "broken"),
    ],
)
@pytest.mark.usefixtures("node_loss")
def test_a_stream_without_its_end_counts_as_broken(status: int, text: str, stream: bool, how: str):
    assert import_module("traffic").ending(status, text, stream)[0] == how
