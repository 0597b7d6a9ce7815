"""The files that bring a cluster up: Ray's own schema accepts them, versions are the pins, no port is open unasked."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from aag_ray.config import AppSection, TrainAagConfig
from aag_ray.settings import load_config

ROOT = Path(__file__).resolve().parents[2]
CLUSTERS = [ROOT / "cluster.yaml", ROOT / "deploy" / "on_premise.yaml"]


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def commands(config: dict[str, Any]) -> list[str]:
    return [line for key, lines in config.items() if key.endswith("_commands") for line in lines]


def documented(path: Path, begins: str) -> list[str]:
    """The words of the command in the comment at the file's beginning that begins so."""
    comment = path.read_text().split("cluster_name:")[0].replace("\\\n#", "")
    (line,) = re.findall(rf"^#     ({begins} .*)$", comment, re.MULTILINE)
    return shlex.split(line, comments=True)


@pytest.fixture(params=CLUSTERS, ids=lambda path: path.name)
def file(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def config(file: Path) -> dict[str, Any]:
    return read(file)


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


def test_all_nodes_share_the_folder_that_jobs_write_to(file: Path, config: dict[str, Any]):
    lines = config["initialization_commands"]
    assert lines
    assert all(line.startswith("mountpoint -q /shared || ") for line in lines)
    assert any(re.search(r"mount -t nfs4 -o \S+ \S+:/\S* /shared\b", line) for line in lines)
    submitted = documented(file, "ray job submit")
    script, *settings = submitted[submitted.index("python") + 1 :]
    named = ROOT / settings.pop(settings.index("--config") + 1) if "--config" in settings else None
    loaded = load_config(TrainAagConfig, named, [each for each in settings if each != "--config"])
    assert script == "jobs/train_aag.py"
    assert str(loaded.run.root) == "/shared/runs"
    assert loaded.data.files is None or loaded.data.files.train.is_relative_to("/shared")


def test_serve_reads_what_jobs_wrote(file: Path, tmp_path: Path):
    (line,) = documented(file, "ray exec")[3:]
    given, *edit, source, arrow, target, end, serve, deploy, deployed = shlex.split(line.removeprefix("cd ~/aag-ray && "))
    assert (given, source, arrow, end, serve, deploy) == ("sed", "serve_config.yaml", ">", "&&", "serve", "deploy")
    assert target == deployed
    changed = subprocess.run(["sed", *edit, ROOT / source], capture_output=True, text=True, check=True).stdout
    (ours,), (plain,) = (yaml.safe_load(text)["applications"] for text in (changed, (ROOT / source).read_text()))
    assert AppSection.model_validate(ours["args"]).runs == "/shared/runs"
    assert ours["args"] | {"runs": "runs"} == plain["args"]


def test_what_is_relative_for_serve_is_relative_to_the_project(config: dict[str, Any]):
    starts = [line for line in commands(config) if "ray start" in line]
    assert len(starts) == 2
    assert all(line.startswith(". ~/.profile && cd ~/aag-ray && ") for line in starts)


def test_the_page_is_reached_through_a_tunnel(file: Path):
    port = read(ROOT / "serve_config.yaml")["http_options"]["port"]
    assert documented(file, "ray attach")[2:] == [str(file.relative_to(ROOT)), "--port-forward", str(port)]


def test_workers_of_ones_own_are_started_by_the_autoscaler_that_can():
    config = read(ROOT / "deploy" / "on_premise.yaml")
    starts = [line for line in commands(config) if "ray start" in line]
    assert len(starts) == 2
    assert all("RAY_enable_autoscaler_v2=0 ray start" in line for line in starts)


def test_gpu_and_cpu_workers_scale_from_none():
    types = read(ROOT / "cluster.yaml")["available_node_types"]
    assert types["head"]["resources"]["CPU"] == 0
    assert {name: kind["min_workers"] for name, kind in types.items() if name != "head"} == {"cpu_worker": 0, "gpu_worker": 0}


def test_a_gpu_worker_has_a_gpu_for_each_worker_of_the_job_that_is_documented():
    gpu = read(ROOT / "cluster.yaml")["available_node_types"]["gpu_worker"]
    cluster = load_config(TrainAagConfig, ROOT / "configs" / "gpu_node.yaml", []).cluster
    assert gpu["node_config"]["InstanceType"] == "g6.48xlarge"  # 192 vCPUs, 8 GPUs (aws.amazon.com/ec2/instance-types/g6)
    assert gpu["resources"] == {"CPU": 192, "GPU": 8}
    assert gpu["resources"]["GPU"] == cluster.workers
    assert gpu["resources"]["CPU"] >= cluster.workers * cluster.cpus_per_worker
