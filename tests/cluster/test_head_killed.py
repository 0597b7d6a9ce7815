"""The main job when the head node is killed in the middle of a stage: a clear end, and nothing lost or done twice."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from aag_ray.config import STAGES

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
TRAINING = "{steps: 2, batch: 4, warmup_steps: 1, dev_every: 2, checkpoint_every: 1, dev_examples: 4}"
KILLED = ("compress", "hypernetwork")  # rows on actors, and trainings: what all stages on Ray are made of


def command(model: Path, root: Path) -> list[str]:
    settings = [
        f"model={{name: '{model}', dtype: float32}}",
        f"run={{root: '{root}', name: tiny}}",
        "data={contexts: 2, world: {train_questions: 40, dev_questions: 6, test_questions: 8}}",
        f"compress.model={{name: '{model}', dtype: float32}}",
        *("compress.passages=2", "compress.target_tokens=32", "compress.train_questions=12", "compress.cpus_per_actor=1"),
        f"generator={{training: {TRAINING}, max_document_tokens: 8, lora: {{rank: 2, modules: [q_proj]}}}}",
        "predict={train_questions: 10, batch: 8, cpus_per_actor: 1}",
        "reader.distill={share: 0}",
        f"reader={{training: {TRAINING}, static_training: {TRAINING}, passages: 2, lora: {{rank: 2}}}}",
        *("reader.hypernetwork.rank=2", "reader.hypernetwork.width=16", "cluster={cpus_per_worker: 1}"),
        "evaluate={shots: 2, passages: [1], max_answer_tokens: 3, bootstrap_samples: 50, case_questions: 3, batch: 8}",
    ]
    return [sys.executable, str(ROOT / "jobs" / "run_locally.py"), str(ROOT / "jobs" / "train_aag.py"), *settings]


def kill_head(process: subprocess.Popen[str]) -> None:
    """SIGKILL for the process that a head node is (its GCS), as when its machine is lost."""
    for child in psutil.Process(process.pid).children(recursive=True):
        if "gcs_server" in child.name():
            os.kill(child.pid, signal.SIGKILL)
            return
    raise AssertionError("no GCS below the process that started Ray")


def run_until(stage: str | None, model: Path, root: Path) -> tuple[int, str]:
    """Run the job, kill the head as soon as `stage` has begun, and give the exit status with all that was printed."""
    environment = os.environ | {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}  # rather than a minute of waiting for it
    process = subprocess.Popen(
        command(model, root), cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    assert process.stdout is not None
    printed = []
    try:
        for line in process.stdout:
            printed.append(line)
            if stage is not None and line.rstrip().endswith(f"{stage}: started"):
                kill_head(process)
                stage = None
        return process.wait(), "".join(printed)
    finally:
        process.kill()
        process.wait()


def test_a_killed_head_loses_nothing(tiny_model_folder: Path, tmp_path: Path):
    created: dict[str, str] = {}
    for stage in KILLED:
        status, printed = run_until(stage, tiny_model_folder, tmp_path)
        assert status == 1, printed
        assert "the same command goes on from there" in printed
        assert not (tmp_path / "tiny" / stage / "manifest.json").exists()
        for before in STAGES[: STAGES.index(stage)]:
            manifest = json.loads((tmp_path / "tiny" / before / "manifest.json").read_text())
            assert created.setdefault(before, manifest["created"]) == manifest["created"], f"{before} was done twice"
    status, printed = run_until(None, tiny_model_folder, tmp_path)
    assert status == 0, printed
    line = json.loads(printed.splitlines()[-1])
    assert line["status"] == "ok"
    assert set(line["metrics"]["test"]["em"]) >= {"zero_shot", "aag", "static_lora"}
    for before, when in created.items():
        assert json.loads((tmp_path / "tiny" / before / "manifest.json").read_text())["created"] == when
