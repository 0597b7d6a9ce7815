"""The files that bring a cluster up: Ray's own schema accepts them, versions are the pins, no port is open unasked."""

import re
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[2]
CLUSTERS = [ROOT / "cluster.yaml", ROOT / "deploy" / "on_premise.yaml"]


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def commands(config: dict[str, Any]) -> list[str]:
    return [line for key, lines in config.items() if key.endswith("_commands") for line in lines]


@pytest.fixture(params=CLUSTERS, ids=lambda path: path.name)
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(request.param)


def test_rays_own_schema_accepts_it(config: dict[str, Any]):
    validate_config(prepare_config(config))


def test_a_mistake_in_it_would_be_found(config: dict[str, Any]):
    with pytest.raises(Exception, match="colour"):
        validate_config(config | {"colour": "green"})


def test_the_head_does_no_work_and_its_dashboard_listens_on_loopback(config: dict[str, Any]):
    (start,) = [line for line in config["head_start_ray_commands"] if "ray start" in line]
    assert "--num-cpus=0" in start
    assert "--dashboard-host=127.0.0.1" in start


def test_every_node_asks_for_the_token(config: dict[str, Any]):
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("RAY_AUTH_MODE=token" in line for line in config["setup_commands"])
    for line in [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]:
        assert line.startswith(". ~/.profile && "), line


def test_what_is_installed_is_what_is_pinned(config: dict[str, Any]):
    installs = [line for line in commands(config) if "pip install" in line]
    assert installs
    assert all("constraints.txt" in line for line in installs)
    pins = (ROOT / "constraints.txt").read_text()
    assert re.search(rf"^ray(\[.*\])?=={re.escape(ray.__version__)}$", pins, re.MULTILINE)


def test_nothing_is_mounted_that_must_stay_at_home(config: dict[str, Any]):
    assert "runs" in config["rsync_exclude"]
    assert any(".git" in each for each in config["rsync_exclude"])


def test_workers_of_ones_own_are_started_by_the_autoscaler_that_can():
    config = read(ROOT / "deploy" / "on_premise.yaml")
    starts = [line for line in commands(config) if "ray start" in line]
    assert len(starts) == 2
    assert all("RAY_enable_autoscaler_v2=0 ray start" in line for line in starts)


def test_gpu_and_cpu_workers_scale_from_none():
    types = read(ROOT / "cluster.yaml")["available_node_types"]
    assert types["head"]["resources"]["CPU"] == 0
    assert {name: kind["min_workers"] for name, kind in types.items() if name != "head"} == {"cpu_worker": 0, "gpu_worker": 0}
