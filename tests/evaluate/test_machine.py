"""What a figure was measured on can be told on any machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from aag_ray.evaluate import machine
from aag_ray.evaluate.machine import describe_machine


def test_the_machine_is_described_in_plain_json() -> None:
    described = describe_machine()
    assert json.loads(json.dumps(described)) == described
    assert described["cpu"]
    assert 0 < described["cores"] <= (os.cpu_count() or 1)
    assert described["memory_gb"] > 0
    assert described["python"] == platform.python_version()
    assert described["torch"] == version("torch")
    assert described["ray"] == version("ray")


def test_limits_of_a_container_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text("500000000\n")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    described = describe_machine()
    assert described["cores"] == 0.5
    assert described["memory_gb"] == 0.5


def test_no_limit_is_no_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    free = describe_machine()
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert describe_machine() == free


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the module's file in it, in place of this one."""
    module = tmp_path / "machine.py"
    module.write_text("first\n")
    monkeypatch.setattr(machine, "__file__", str(module))
    git(tmp_path, "init", "-q")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_told_and_changes_are_marked(checkout: Path) -> None:
    git(checkout, "add", "machine.py")
    git(checkout, "commit", "-qm", "first")
    commit = git(checkout, "rev-parse", "HEAD")
    assert describe_machine()["commit"] == commit
    (checkout / "machine.py").write_text("second\n")
    assert describe_machine()["commit"] == f"{commit}+"


def test_a_strangers_checkout_gives_no_commit(checkout: Path) -> None:
    assert describe_machine()["commit"] is None
