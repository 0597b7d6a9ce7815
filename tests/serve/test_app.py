"""The application on a real Ray Serve: tiny models, the local web, the API from outside, and a replica that dies."""

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil
import pytest
import ray
import yaml
from pydantic import ValidationError
from ray import serve
from ray.serve import Application
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary

from aag_ray.config import AnswerSection, AppSection
from aag_ray.serve.app import build

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]


def command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def url(tiny_model_folder: Path, tiny_encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    port = free_port()
    section = AppSection.model_validate(
        {
            "model": {"name": str(tiny_model_folder), "dtype": "float32"},
            "runs": str(tmp_path_factory.mktemp("no-runs")),
            "extract": {"extractor": "bm25"},
            "endpoint": {"answer": {"budget": {"seconds": 20, "answer_tokens": 8}}},
        }
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(build(section), name="aag", route_prefix="/")
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()
    ray.shutdown()


def asked(url: str, **more: Any) -> httpx.Response:
    body = {"model": "aag", "messages": [{"role": "user", "content": "What is the capital of Peru?"}]} | more
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)


def test_the_models_and_the_page_are_there(url: str):
    models = httpx.get(f"{url}/v1/models").json()["data"]
    assert [model["id"] for model in models] == ["aag-auto", "aag-search", "aag"]
    assert "<!doctype html>" in httpx.get(url).text.lower()
    assert httpx.get(f"{url}/healthz").status_code == 200


def test_a_question_is_answered_from_memory(url: str):
    reply = asked(url)
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert body["object"] == "chat.completion"
    assert body["usage"]["prompt_tokens"] > 0
    assert body["aag"]["provenance"]["memory"] in ("answered", "empty")  # a random model may end at once


def test_a_search_without_engines_says_that_it_failed(url: str):
    body = asked(url, model="aag-search").json()
    assert body["aag"]["provenance"]["web"] == "search_failed"
    assert body["choices"][0]["message"]["content"]


def test_an_answer_is_streamed_to_its_end(url: str):
    request = {"model": "aag", "stream": True, "messages": [{"role": "user", "content": "Who?"}]}
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=request, timeout=60) as reply:
        lines = [line.removeprefix("data: ") for line in reply.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert any(choice.get("finish_reason") for chunk in chunks for choice in chunk["choices"])


def test_wrong_requests_get_openais_errors_and_the_server_stays_healthy(url: str):
    assert asked(url, model="gpt-9").status_code == 404
    assert asked(url, messages=[]).status_code == 400
    assert httpx.post(f"{url}/v1/chat/completions", content=b"{", timeout=60).status_code == 400
    assert "message" in asked(url, model="gpt-9").json()["error"]
    assert asked(url).status_code == 200


def test_budgets_change_without_a_restart(url: str):
    handle = serve.get_deployment_handle("answering", app_name="aag")
    handle.reconfigure.remote({"budget": {"answer_tokens": 1}}).result()
    reply = asked(url).json()
    assert reply["usage"]["completion_tokens"] == 1
    assert reply["choices"][0]["finish_reason"] == "length"


def test_modes_change_without_a_restart(url: str):
    handle = serve.get_deployment_handle("gateway", app_name="aag")
    before = httpx.get(f"{url}/healthz").json()["modes"]
    handle.reconfigure.remote({"modes": ["aag-search"]}).result()
    assert [model["id"] for model in httpx.get(f"{url}/v1/models").json()["data"]] == ["aag-search"]
    assert asked(url).status_code == 404
    handle.reconfigure.remote({"modes": before}).result()
    assert asked(url).status_code == 200


def test_what_changes_is_laid_over_what_the_start_said():
    section = AnswerSection.model_validate({"support": 0.5, "budget": {"pages": 2, "tokens": 99}})
    changed = section.overlaid({"queries": 1, "budget": {"tokens": 77}})
    assert changed == AnswerSection.model_validate({"support": 0.5, "queries": 1, "budget": {"pages": 2, "tokens": 77}})
    assert section.overlaid({}) == section
    for wrong in ({"colour": "green"}, {"budget": {"pages": 0}}, {"budget": 3}):
        with pytest.raises(ValidationError, match=r"colour|pages|budget"):
            section.overlaid(wrong)


def test_the_gateway_itself_refuses_five_times_its_load_and_serve_bounds_the_rest():
    section = AppSection.model_validate({"endpoint": {"limits": {"in_flight": 3, "waiting": 4}}})
    gateway = build(section)._bound_deployment
    assert gateway.max_ongoing_requests >= 5 * (3 + 4)
    assert 0 < gateway.max_queued_requests <= gateway.max_ongoing_requests
    assert gateway._deployment_config.backpressure_config.retry_after_s


def test_an_engine_that_dies_is_replaced_and_requests_are_answered_or_refused(url: str):
    engines = [process for process in psutil.process_iter() if "ServeReplica:aag:engine" in " ".join(command(process))]
    assert engines
    for engine in engines:
        engine.kill()
    statuses = [asked(url).status_code for _ in range(12)]
    assert set(statuses) <= {200, 500, 503}
    assert statuses[-1] == 200


def test_the_configuration_file_builds_the_application():
    config = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    (application,) = config["applications"]
    assert isinstance(call_user_app_builder_with_args_if_necessary(build, application["args"]), Application)
    with pytest.raises(ValidationError, match="colour"):
        call_user_app_builder_with_args_if_necessary(build, application["args"] | {"colour": "green"})
    assert config["http_options"]["host"] == "127.0.0.1"
    names = {deployment["name"] for deployment in application["deployments"]}
    assert names == {"gateway", "answering", "web", "extractor", "engine"}
