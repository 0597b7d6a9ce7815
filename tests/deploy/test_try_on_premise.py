"""The on-premise file brought up and taken down for real, where this machine can."""

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "try_on_premise.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = spec_from_file_location("try_on_premise", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_only_addresses_user_key_and_packages_are_changed(script: Any):
    given = yaml.safe_load((ROOT / "deploy" / "on_premise.yaml").read_text())
    changed = script.adapted(given, Path("/somewhere/key"))
    different = {key for key in given if changed[key] != given[key]}
    assert different == {
        *("provider", "auth", "max_workers", "file_mounts", "setup_commands"),
        *("head_start_ray_commands", "worker_start_ray_commands"),
    }
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert all(now.startswith(before) for before, now in zip(given[key], changed[key], strict=True))
    assert not any("pip" in line for line in changed["setup_commands"])


def test_a_cluster_of_two_hosts_goes_up_runs_a_job_answers_refuses_strangers_and_goes_down(script: Any):
    if lacking := script.missing():
        pytest.skip(f"needs {', '.join(lacking)}")
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["status"] == "ok"
    assert told["without_token"] == 401
    assert told["answered_by"] == "aag"
    assert set(told["seconds"]) == {"up", "job", "deploy", "answer", "down"}
