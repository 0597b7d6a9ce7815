"""The laws of the house that no other tool checks."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aag_ray.config import (
    EvaluateZeroShotConfig,
    JobConfig,
    TrainAagConfig,
    TrainExtractorConfig,
    TrainKnowledgeConfig,
    TrainParserConfig,
)
from aag_ray.settings import config_keys, load_config

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(path for folder in ("aag_ray", "jobs", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "aag_ray").rglob("*.py")
)
JOBS = sorted((ROOT / "jobs").glob("*.py"))
JOB_CONFIGS = sorted(path for path in (ROOT / "configs").glob("*.yaml") if not path.name.startswith("serve_"))
WATCHED_IMPORT = """
import importlib, json, os, sys
seen = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "subprocess.Popen", "os.mkdir", "os.rename"):
        seen.append(f"{event} {arguments!r}")
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        if str(arguments[0]) != os.devnull:
            seen.append(f"write {arguments[0]}")
sys.addaudithook(watch)
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps({"seen": seen, "modules": [name for name in sys.modules if "." not in name]}))
"""


def imported(*modules: str) -> dict[str, list[str]]:
    """What a new process did while it imported the modules, and which top-level packages it then held."""
    command = [sys.executable, "-B", "-c", WATCHED_IMPORT, *modules]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_no_module_does_work_when_it_is_imported():
    assert not [event for event in imported(*MODULES)["seen"] if str(ROOT) in event or event.startswith("socket")]


@pytest.mark.parametrize("module", ["aag_ray.cli", "aag_ray.job", "aag_ray.config", "aag_ray.records", "aag_ray.prompts"])
def test_what_answers_help_imports_nothing_heavy(module: str):
    if module not in MODULES:
        pytest.skip(f"there is no {module}")
    assert not {"ray", "torch", "transformers", "pandas", "matplotlib"} & set(imported(module)["modules"])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_has_a_purpose(path: Path):
    text = path.read_text()
    assert text.count("\n") <= 300 or path.is_relative_to(ROOT / "tests")
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "the module says nothing about itself"


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_a_job_can_be_submitted_by_its_path(path: Path):
    assert path.read_text().startswith("#!/usr/bin/env python3\n")
    assert os.access(path, os.X_OK)
    if (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "--stage", path], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        assert listed.startswith("100755") or not listed, f"git update-index --chmod=+x {path}"


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_a_job_answers_help_from_anywhere_without_ray(path: Path, tmp_path: Path):
    # A folder named like a heavy package that cannot be imported: --help must not even try.
    for heavy in ("ray", "torch", "transformers"):
        (tmp_path / f"{heavy}.py").write_text(f"raise ImportError('{heavy} is not for --help')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, path, "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"jobs/{path.name}" in done.stdout


def test_the_help_of_the_main_job_lists_every_key():
    done = subprocess.run(
        [sys.executable, ROOT / "jobs" / "train_aag.py", "--help"], capture_output=True, text=True, check=True
    )
    shown = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ")}
    assert {key.name for key in config_keys(TrainAagConfig)} <= shown


@pytest.mark.parametrize("path", JOB_CONFIGS, ids=lambda path: path.name)
def test_every_configuration_can_be_used(path: Path):
    kinds: dict[str, type[JobConfig]] = {
        "extractor.yaml": TrainExtractorConfig,
        "extractor_gpu.yaml": TrainExtractorConfig,
        "knowledge.yaml": TrainKnowledgeConfig,
        "knowledge_gpu.yaml": TrainKnowledgeConfig,
        "knowledge_nq.yaml": TrainKnowledgeConfig,
        "parser.yaml": TrainParserConfig,
        "zero_shot.yaml": EvaluateZeroShotConfig,
    }
    assert load_config(kinds.get(path.name, TrainAagConfig), path)


def test_the_readme_shows_the_two_commands():
    lines = {line.strip().split("  ")[0] for line in (ROOT / "README.md").read_text().splitlines()}
    assert {"make train", "make test", "ray start --head", "ray job submit jobs/train_aag.py"} <= lines


def test_pins_are_names_and_versions_only():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        assert name.replace("-", "").replace(".", "").replace("_", "").isalnum(), line
        assert version, line
        assert not set(version) & set(" /@+;"), line
