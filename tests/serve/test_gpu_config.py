"""configs/serve_gpu.yaml: Ray's own schema and the application's settings accept it, and what it asks for fits together."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

from aag_ray.config import AppSection, TrainAagConfig
from aag_ray.settings import load_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "configs" / "serve_gpu.yaml").read_text())


@pytest.fixture(scope="module")
def application(config: dict[str, Any]) -> ServeApplicationSchema:
    (application,) = ServeDeploySchema.model_validate(config).applications
    return application


@pytest.fixture(scope="module")
def section(application: ServeApplicationSchema) -> AppSection:
    return AppSection.model_validate(application.args)


def test_a_mistake_in_it_would_be_found(config: dict[str, Any]):
    with pytest.raises(ValidationError, match="proxy_location"):
        ServeDeploySchema.model_validate(config | {"proxy_location": "Anywhere"})
    arguments = config["applications"][0]["args"]
    with pytest.raises(ValidationError, match=r"decoding\.vllm\.rank"):
        AppSection.model_validate(arguments | {"decoding": {"engine": "vllm", "vllm": {"rank": 48}}})


def test_it_is_the_application_of_the_default_file_on_vllm(config: dict[str, Any], section: AppSection):
    default = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    (ours,), (theirs,) = config["applications"], default["applications"]
    assert ours["import_path"] == theirs["import_path"]
    assert [each["name"] for each in ours["deployments"]] == [each["name"] for each in theirs["deployments"]]
    assert config["http_options"]["host"] == "127.0.0.1"
    assert (
        section.endpoint.hosts == AppSection.model_validate(theirs["args"]).endpoint.hosts == ("localhost", "127.0.0.1", "::1")
    )
    assert section.decoding.engine == "vllm"


def test_the_engine_gets_the_gpus_it_uses(application: ServeApplicationSchema, section: AppSection):
    (engine,) = [each for each in application.deployments if each.name == "engine"]
    options: Any = engine.ray_actor_options
    assert options.num_gpus == section.decoding.vllm.parallel


def test_adapters_stand_in_memory_and_have_room_for_what_the_gpu_job_trains(
    application: ServeApplicationSchema, section: AppSection
):
    trained = load_config(TrainAagConfig, ROOT / "configs" / "gpu_node.yaml", [])
    assert section.decoding.vllm.adapters.is_relative_to("/dev/shm")
    assert trained.reader.lora.rank + trained.reader.hypernetwork.rank <= section.decoding.vllm.rank
    assert trained.generator.lora.rank <= section.decoding.vllm.rank
    (answering,) = [each for each in application.deployments if each.name == "answering"]
    budget = section.endpoint.answer.overlaid(answering.user_config or {}).budget
    longest = budget.tokens + budget.answer_tokens
    assert section.decoding.vllm.context is not None
    assert longest < section.decoding.vllm.context


def test_what_the_gateway_lets_in_the_engine_can_hold(section: AppSection):
    limits, decoding = section.endpoint.limits, section.decoding
    assert limits.in_flight <= decoding.batch + decoding.waiting
