"""What an operator sees of the served application: the metrics of every stage, and one request's lines in every log."""

import json
import socket
import time
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import ray
import yaml
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationStatus, ServeDeploySchema

from aag_ray.answer.answer import Answer
from aag_ray.answer.citations import Checked, Checks
from aag_ray.answer.event import Cited, Failed, Known
from aag_ray.answer.parts import Unavailable
from aag_ray.answer.provenance import Origin, Provenance
from aag_ray.pipelines.metrics import PIPELINES, Measure, Meters
from aag_ray.serve.metrics import ANSWERING, ENGINE, EXTRACTOR, GATEWAY, WEB, AnsweringMeters, EngineMeters, ending
from aag_ray.train.meters import TRAINING

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
SERVED = (*GATEWAY, *ANSWERING, *WEB, *EXTRACTOR, *ENGINE)


@dataclass
class Observed:
    """A served application of which everything that it reports can be read."""

    url: str
    metrics: str
    logs: Path
    question: str

    def ask(self, model: str, **headers: str) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": self.question}]}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, headers=headers, timeout=60)

    def series(self, expected: Mapping[str, float] | None = None, names: Set[str] = frozenset()) -> dict[str, float]:
        """The sums of this program's time series, once `expected` and `names` are among them: processes report every second."""
        until = time.monotonic() + 60
        while True:
            found: dict[str, float] = {}
            for line in httpx.get(self.metrics).text.splitlines():
                if line.startswith("ray_aag_"):
                    found[line.partition("{")[0]] = found.get(line.partition("{")[0], 0) + float(line.rpartition(" ")[2])
            settled = found.items() >= (expected or {}).items() and found.keys() >= names
            if settled or time.monotonic() > until:
                return found
            time.sleep(0.2)

    def lines(self, request_id: str) -> dict[str, list[str]]:
        """Messages by deployment of the log lines that belong to a request."""
        found: dict[str, list[str]] = {}
        for file in self.logs.glob("replica_*.log"):
            for line in file.read_text().splitlines():
                record = json.loads(line)
                if record.get("request_id") == request_id and str(record.get("filename", "")).endswith(".py"):
                    found.setdefault(record["deployment"].removeprefix("aag_"), []).append(record["message"])
        return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def app(web: Any, tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=80_000_000,
        include_dashboard=False,
        log_to_driver=False,
        _system_config={"metrics_report_interval_ms": 1000},
    )
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    config["http_options"]["port"] = free_port()
    config["applications"][0]["args"] = {
        "model": {"name": str(tiny_model_folder), "dtype": "float32"},
        "runs": str(tmp_path_factory.mktemp("no-runs")),
        "search": {"providers": [{"kind": "searxng", "url": web.local.search_url.removesuffix("/search")}]},
        "fetch": {"guard": {"allow": web.local.allow}, "politeness": {"robots": False, "delay_seconds": 0, "retries": 0}},
        "extract": {"extractor": "bm25", "threshold": 0.3},
    }
    serve.start(http_options=config["http_options"], logging_config=config["logging_config"])
    client: Any = _get_global_client()
    client.deploy_apps(ServeDeploySchema.model_validate(config))
    while serve.status().applications["aag"].status != ApplicationStatus.RUNNING:
        time.sleep(0.2)
    logs = Path(ray._private.worker._global_node.get_logs_dir_path()) / "serve"  # pyright: ignore
    node = ray.nodes()[0]
    metrics = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    yield Observed(f"http://127.0.0.1:{config['http_options']['port']}", metrics, logs, web.questions[0]["question"])
    serve.shutdown()
    ray.shutdown()


def test_every_stage_of_a_request_is_counted_and_timed(app: Observed):
    for model in ("aag", "aag-search"):
        reply = app.ask(model)
        assert reply.status_code == 200, reply.text
    wanted = {
        *("ray_aag_answers_total", "ray_aag_answer_seconds_count", "ray_aag_stage_seconds_count", "ray_aag_tokens_total"),
        *("ray_aag_searches_total", "ray_aag_search_seconds_count", "ray_aag_fetches_total", "ray_aag_fetched_bytes_total"),
        *("ray_aag_page_cache_total", "ray_aag_extractions_total", "ray_aag_extract_tokens_total", "ray_aag_sources_total"),
        *("ray_aag_engine_calls_total", "ray_aag_engine_tokens_total", "ray_aag_parses_total", "ray_aag_requests_waiting"),
    }
    assert app.ask("gpt-9").status_code == 404
    once = ("searches_total", "extractions_total", "refusals_total")
    twice = ("answers_total", "answer_seconds_count", "client_requests_total", "parses_total")
    expected = {f"ray_aag_{name}": 1.0 for name in once} | {f"ray_aag_{name}": 2.0 for name in twice}
    expected["ray_aag_requests_in_flight"] = 0.0
    found = app.series(expected, wanted)
    assert {name: found.get(name) for name in expected} == expected
    assert wanted <= set(found)
    assert set(found) <= {name for measure in SERVED for name in measure.exported}


def test_what_checking_citations_came_to_is_counted(app: Observed):
    before = app.series()
    answer = Answer()
    answer.take(Cited(Checked(checks=Checks(sentences=5, supported=2, unsupported=1, citations=3, false_pointers=1))))
    AnsweringMeters().answered(answer, "aag", 0.1)
    counts = {"ray_aag_citation_checks_total": 5, "ray_aag_citations_total": 3, "ray_aag_false_pointers_total": 1}
    expected = {name: before.get(name, 0) + count for name, count in counts.items()}
    found = app.series(expected)
    assert {name: found[name] for name in expected} == expected


def test_a_request_can_be_followed_through_all_logs_by_its_id(app: Observed):
    reply = app.ask("aag-search", **{"X-Request-Id": "follow-me.1"})
    assert reply.headers["X-Request-Id"] == reply.json()["aag"]["request_id"] == "follow-me.1"
    lines = app.lines("follow-me.1")
    assert set(lines) == {"gateway", "answering", "web", "extractor", "engine"}
    for deployment, told in {"answering": "decided: ", "web": "searched: ok", "extractor": "extracted: "}.items():
        assert any(line.startswith(told) for line in lines[deployment]), lines


def test_an_id_that_is_none_of_ours_is_kept_everywhere_too(app: Observed):
    reply = app.ask("aag", **{"X-Request-Id": "no good"})
    assert reply.headers["X-Request-Id"] == reply.json()["aag"]["request_id"] == "no good"
    assert set(app.lines("no good")) == {"gateway", "answering", "engine"}


def test_an_id_that_the_server_made_is_the_one_in_its_logs(app: Observed):
    identity = app.ask("aag").headers["X-Request-Id"]
    assert set(app.lines(identity)) == {"gateway", "answering", "engine"}


def test_no_log_holds_a_question(app: Observed):
    app.ask("aag-search")
    assert app.question not in "".join(file.read_text() for file in app.logs.glob("replica_*.log"))


def test_names_follow_prometheus_and_are_used_once():
    names = [measure.name for measure in (*SERVED, *PIPELINES, *TRAINING)]
    assert len(set(names)) == len(names)
    with pytest.raises(ValueError, match="aag_speed: a metric is called aag_"):
        Measure("aag_speed", "not with its unit")
    with pytest.raises(ValueError, match="neither if it is a gauge"):
        Measure("aag_waits_total", "counts and does not", gauge=True)
    with pytest.raises(KeyError):
        Meters(()).count("aag_unheard_of_total")


def test_an_ending_is_one_word():
    known = Answer()
    known.take(Known(Origin(Provenance.FROM_PAGES)))
    failed = Answer()
    failed.take(Failed("overloaded", "busy", 1.0))
    assert [ending(each) for each in (known, failed, Answer())] == ["from_pages", "overloaded", "client_left"]


@pytest.mark.parametrize("error", [Unavailable("busy"), ValueError("no"), GeneratorExit()])
def test_a_call_that_ends_with_an_error_is_counted_and_the_error_goes_on(app: Observed, error: BaseException):
    meters = EngineMeters()
    with pytest.raises(type(error)), meters.call("read"):
        raise error
