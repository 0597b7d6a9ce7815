"""The lines a person types, on a real local Ray: `ray job submit jobs/<job>.py`, an uploaded folder, `run_locally.py`."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
RUN_LOCALLY = ROOT / "jobs" / "run_locally.py"
RAY = Path(sys.executable).parent / "ray"
WHERE_JOB = """#!/usr/bin/env python3
import sys, time
from aag_ray.config import JobConfig
from aag_ray.job import JobResult, run_job

class WhereConfig(JobConfig):
    fail: bool = False
    wait: float = 0.0

def main(config):
    import aag_ray, ray

    @ray.remote
    def where():
        import aag_ray
        return aag_ray.__file__

    ray.init()
    found = ray.get(where.remote())
    print("worker found", found, flush=True)
    time.sleep(config.wait)
    ray.shutdown()
    if config.fail:
        raise ZeroDivisionError
    return JobResult({"worker": found, "driver": aag_ray.__file__})

if __name__ == "__main__":
    sys.exit(run_job("where", WhereConfig, main))
"""


def write_job(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    job = folder / "where.py"
    job.write_text(WHERE_JOB)
    job.chmod(0o755)
    return job


def processes_naming(text: str) -> list[list[str]]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = process.cmdline()
            if process.pid != os.getpid() and any(text in part for part in command):
                found.append(command)
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A head started in the repository root, its address and token in the environment as a person would set them."""
    spec = importlib.util.spec_from_file_location("run_locally", RUN_LOCALLY)
    assert spec is not None
    assert spec.loader is not None
    run_locally = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(run_locally)
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="aag-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        try:
            run_locally.set_environment(Path(folder))
            with contextlib.chdir(ROOT), run_locally.local_ray(Path(folder)) as address:
                os.environ["RAY_API_SERVER_ADDRESS"] = address
                yield
        finally:
            os.environ.clear()
            os.environ.update(before)
        assert not processes_naming(folder), "the head left processes behind"


def submit(*arguments: str, cwd: Path = ROOT) -> tuple[int, str]:
    """`ray job submit` with the arguments: its exit status and everything it printed."""
    command = [str(RAY), "job", "submit", *arguments]
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def json_line(printed: str) -> dict[str, Any]:
    return json.loads([line for line in printed.splitlines() if line.startswith('{"job"')][-1])


@pytest.mark.usefixtures("cluster")
def test_a_job_is_submitted_by_its_path_alone(tmp_path: Path):
    job = write_job(tmp_path / "jobs")
    status, printed = submit(str(job), f"run.root={tmp_path / 'runs'}")
    assert status == 0, printed
    line = json_line(printed)
    assert (line["job"], line["status"]) == ("where", "ok")
    assert json.loads((tmp_path / "runs" / "embedded" / "result.json").read_text()) == line


@pytest.mark.usefixtures("cluster")
def test_the_main_job_refuses_wrong_settings_before_it_starts():
    status, printed = submit("jobs/train_aag.py", "generator.training.stepz=3")
    assert status == 1
    assert json_line(printed)["error"].startswith("generator.training.stepz=3: unknown key; allowed here: accumulation")


@pytest.mark.usefixtures("cluster")
def test_the_main_job_runs_a_stage_by_its_path(tmp_path: Path, tiny_model_folder: Path):
    small = tmp_path / "small.yaml"
    small.write_text("data: {contexts: 3, world: {train_questions: 40, dev_questions: 10, test_questions: 10}}\n")
    settings = [f"config={small}", "stage=data", f"model.name={tiny_model_folder}", f"run.root={tmp_path}", "run.name=first"]
    status, printed = submit("jobs/train_aag.py", *settings)
    assert status == 0, printed
    line = json_line(printed)
    assert (line["job"], line["status"], line["run"]) == ("train_aag", "ok", str(tmp_path / "first"))
    assert (tmp_path / "first" / "data" / "manifest.json").exists()


@pytest.mark.usefixtures("cluster")
def test_an_uploaded_folder_is_what_driver_and_workers_import(tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "aag_ray", copy / "aag_ray", ignore=shutil.ignore_patterns("__pycache__"))
    write_job(copy / "jobs")
    command = ["--working-dir", "copy", "--", "python", "jobs/where.py", "--config", "quick.yaml"]
    (copy / "quick.yaml").write_text(f"run: {{root: {tmp_path / 'runs'}, name: uploaded}}\n")
    status, printed = submit(*command, cwd=tmp_path)
    assert status == 0, printed
    line = json_line(printed)
    assert line["run"] == str(tmp_path / "runs" / "uploaded")
    for process in ("driver", "worker"):
        assert "working_dir_files" in line["metrics"][process], "the installed package was imported instead"


def start_locally(job: Path, *settings: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(RUN_LOCALLY), str(job), *settings]
    return subprocess.Popen(command, cwd=job.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_run_locally_ends_as_the_job_does_and_leaves_nothing(tmp_path: Path):
    job = write_job(tmp_path)
    started = start_locally(job, "fail=true")
    out, told = started.communicate()
    assert started.returncode == 1, told
    line = json.loads(out.splitlines()[-1])
    assert (line["status"], line["error"]) == ("failed", "ZeroDivisionError: ")
    assert not processes_naming(str(job))


def test_run_locally_stops_the_job_and_its_ray_when_it_is_told_to(tmp_path: Path):
    job = write_job(tmp_path)
    started = start_locally(job, "wait=600")
    assert started.stdout is not None
    for printed in started.stdout:
        if printed.startswith("worker found"):
            break
    started.send_signal(signal.SIGINT)
    out, told = started.communicate()
    assert started.returncode == 128 + signal.SIGTERM, told
    assert json.loads(out.splitlines()[-1])["status"] == "interrupted"
    assert json.loads((tmp_path / "runs" / "embedded" / "result.json").read_text())["status"] == "interrupted"
    assert not processes_naming(str(job))
