"""What an evaluation leaves in its folder and on the terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from aag_ray.artifacts import RunError
from aag_ray.evaluate.report import render_terminal, write_report


def test_a_report_is_four_files(result: dict[str, Any], tmp_path: Path) -> None:
    paths = write_report(result, tmp_path / "evaluate")
    assert set(paths) == {"result", "table", "plot", "cases"}
    assert sorted(path.name for path in (tmp_path / "evaluate").iterdir()) == [
        "cases.html",
        "plot.png",
        "result.json",
        "table.md",
    ]
    assert json.loads(Path(paths["result"]).read_text()) == result
    assert Path(paths["table"]).read_text().startswith("| System |")


def test_a_second_report_takes_the_place_of_the_first(result: dict[str, Any], tmp_path: Path) -> None:
    write_report(result, tmp_path)
    paths = write_report({"systems": {"aag": {"em": 50.0}}}, tmp_path)
    assert "Oracle" not in Path(paths["table"]).read_text()


def test_a_folder_that_cannot_be_made_is_named(result: dict[str, Any], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.symlink_to(tmp_path / "not mounted")
    with pytest.raises(RunError, match=r"cannot write .*disk/result\.json"):
        write_report(result, disk)


def test_a_result_without_systems_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without systems"):
        write_report({"systems": {}}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def printed(result: dict[str, Any], width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    render_terminal(result, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_eighty_columns_show_the_systems_whole(result: dict[str, Any]) -> None:
    text = printed(result, 80)
    assert "AAG: document + adapter" in text
    assert "75.0 (62.5 to 87.5)" in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "Adapter gate: not passed. It is not above." in " ".join(text.split())


def test_a_wide_terminal_shows_bars_and_every_column(result: dict[str, Any]) -> None:
    text = printed(result, 140)
    assert "830,000" in text
    assert "█" * 18 in text
    assert "█" * 19 not in text


def test_other_sets_are_printed_after_the_test_questions(result: dict[str, Any]) -> None:
    other = {"systems": {"aag": {"em": {"value": 5.0, "low": 4.0, "high": 6.0, "n": 9}}}, "file": "[b]webq[/b].jsonl"}
    text = printed(result | {"also": {"webq": other | {"left_out": ["oracle"]}}}, 80)
    first, second = text.split("Exact match on webq (9 questions of [b]webq[/b].jsonl)")
    assert first.startswith("Exact match on the test questions")
    assert "5.0 (4.0 to 6.0)" in second
    assert "has passages: Oracle compressed document." in " ".join(second.split())


def test_a_result_without_a_gate_is_a_table_alone() -> None:
    assert "gate" not in printed({"systems": {"made [up]": {"em": 1.0}}}, 80)
    assert "made [up]" in printed({"systems": {"made [up]": {"em": 1.0}}}, 80)
