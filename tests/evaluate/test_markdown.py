"""The result as Markdown: a golden file for the whole, and what may be missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aag_ray.evaluate.markdown import COLUMNS, gate_sentence, interval_text, render_markdown

GOLDEN = Path(__file__).parent / "golden" / "table.md"


def test_the_whole_result_is_the_golden_file(result: dict[str, Any]) -> None:
    assert render_markdown(result) == GOLDEN.read_text()


def test_other_sets_follow_under_a_heading_each_and_say_what_they_lack(result: dict[str, Any]) -> None:
    own = render_markdown(result)
    other = {"systems": {"aag": {"em": {"value": 5.0, "low": 4.0, "high": 6.0, "n": 2032}}}, "file": "a|b.jsonl"}
    bare = other | {"without_passages": 2032, "left_out": ["retrieved_1", "oracle"]}
    also = {"webq": bare, "squad": other | {"without_passages": 3}}
    parts = render_markdown(result | {"also": also}).split("## Out of domain: ")
    assert parts[0].rstrip() == own.rstrip()
    assert parts[1].startswith("webq (2,032 questions of a\\|b.jsonl)\n\n| System |")
    assert "none of these questions has passages: 1 retrieved passage, Oracle compressed document." in parts[1]
    assert "| AAG: document + adapter | 5.0 (4.0 to 6.0) |" in parts[1]
    assert "3 of these questions have no passages; systems that read passages were asked them without." in parts[2]


def test_one_system_and_nothing_else_is_a_table() -> None:
    lines = render_markdown({"systems": {"aag": {}}}).splitlines()
    assert len(lines) == 3
    assert lines[2] == "| AAG: document + adapter |" + " - |" * (len(COLUMNS) - 1)


def test_every_row_has_as_many_cells_as_its_header(result: dict[str, Any]) -> None:
    for table in render_markdown(result).split("\n\n"):
        if table.startswith("|"):
            assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1


@pytest.mark.parametrize(
    ("score", "signed", "text"),
    [
        (None, False, "-"),
        (12.34, False, "12.3"),
        ({"value": 12.34, "low": 10.0, "high": 15.55}, False, "12.3 (10.0 to 15.6)"),
        ({"value": 2.0, "low": -1.0, "high": 5.0}, True, "+2.0 (-1.0 to +5.0)"),
    ],
)
def test_scores_are_shown_with_their_interval(score: Any, signed: bool, text: str) -> None:
    assert interval_text(score, signed=signed) == text


def test_the_gate_is_a_sentence_with_or_without_variance() -> None:
    gate = {"passed": True, "reason": "It is above."}
    assert gate_sentence(gate) == "Adapter gate: passed. It is above."
    assert gate_sentence(gate | {"adapter_variance": 0.125}) == (
        "Adapter gate: passed. It is above. 12.5 % of the adapters' squared size differs between questions."
    )
