"""The command `aag`: text for people, one JSON object for programs, exit status 0 only if it did what it says."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aag_ray.artifacts import file_hash, write_json
from aag_ray.cli import main
from aag_ray.llm.packaged import PACKAGED, cached_folder

HEAVY = ("torch", "transformers", "pyarrow", "pandas", "numpy", "pydantic", "rich", "ray", "huggingface_hub")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model cache and a hub cache of its own, wide lines, and a package index with nothing in it."""
    monkeypatch.setenv("AAG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path / "cache"


@pytest.fixture
def cached_model(tiny_model_folder: Path, cache: Path) -> Path:
    """The tiny model in the place of the packaged default."""
    folder = cached_folder(PACKAGED["smollm2-135m-instruct"], cache)
    shutil.copytree(tiny_model_folder, folder)
    files = {path.name: {"bytes": path.stat().st_size, "sha256": file_hash(path)} for path in folder.iterdir()}
    write_json(folder / "manifest.json", {"files": files})
    return folder


@pytest.mark.parametrize("arguments", [["--help"], ["models", "--help"], ["compress", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom aag_ray.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as end: assert end.code == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("usage: aag")
    assert ended.stderr == "[]\n"


def test_a_command_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "COMMAND" in capsys.readouterr().err


def test_models_lists_what_is_ready_and_what_is_not(cached_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    default, other = (line for line in capsys.readouterr().out.splitlines() if "==" in line)
    assert "smollm2-135m-instruct" in default
    assert "ready" in default
    assert str(cached_model) in default
    assert "all-minilm-l6-v2" in other
    assert "not fetched" in other


def test_models_as_json_is_one_object(cached_model: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json", "--fetch", "smollm2-135m-instruct"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["cache"] == str(cache)
    assert listed["fetched"] == str(cached_model)
    assert [(model["name"], model["cached"]) for model in listed["models"]] == [
        ("smollm2-135m-instruct", True),
        ("all-minilm-l6-v2", False),
    ]


def test_verifying_a_damaged_model_fails_and_says_what_helps(cached_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--verify"]) == 0
    os.truncate(cached_model / "model.safetensors", 100)
    assert main(["models", "--verify"]) == 1
    out = capsys.readouterr().out
    assert "damaged: model.safetensors" in out
    assert "`aag models --fetch smollm2-135m-instruct` makes it again" in out


def test_fetching_what_is_nowhere_fails_with_what_was_tried(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--fetch", "./nowhere"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("aag: model './nowhere' cannot be had; tried:\n  - folder ")
    assert captured.out == ""


@pytest.fixture
def passages(tmp_path: Path) -> list[str]:
    texts = {"gold.txt": "Gold is a metal. Its symbol is Au. " * 6, "fish.txt": "Fish live in water and they swim. " * 6}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return [str(tmp_path / name) for name in texts]


def test_compress_prints_a_shorter_text_and_its_cost(
    tiny_model_folder: Path, passages: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    ask = [
        "compress",
        "--question",
        "Which metal is Au?",
        "--target-tokens",
        "60",
        "--model",
        str(tiny_model_folder),
        *passages,
    ]
    assert main(ask) == 0
    text, cost = capsys.readouterr()
    assert main([*ask, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["text"] == text.removesuffix("\n")
    assert document["outcome"] == "ok"
    assert 0 < document["tokens"] < document["origin_tokens"]
    assert f"ok: {document['origin_tokens']} -> {document['tokens']} tokens" in cost


def test_compress_of_nothing_is_an_outcome_and_fails(
    tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(" \n"))
    assert main(["compress", "--question", "Q?", "--json", "--model", str(tiny_model_folder), "-"]) == 1
    assert json.loads(capsys.readouterr().out)["outcome"] == "no_passages"


@pytest.mark.parametrize(
    ("name", "content", "message"), [("none.txt", None, "No such file"), ("image.png", b"\x89PNG\xff", "is not UTF-8 text")]
)
def test_compress_names_a_file_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None, message: str
) -> None:
    if content:
        (tmp_path / name).write_bytes(content)
    assert main(["compress", "--question", "Q?", str(tmp_path / name)]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("tokens", ["0", "-3", "many"])
def test_compress_refuses_an_impossible_length(tokens: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["compress", "--question", "Q?", "--target-tokens", tokens, "file.txt"])
    assert f"--target-tokens: '{tokens}' is not a whole number above 0" in capsys.readouterr().err
