"""The table of an evaluation: a row for each extractor, with everything that was measured and nothing that was not."""

from __future__ import annotations

from typing import Any

from aag_ray.evaluate.extractor_table import table


def measured(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 1, "high": value + 1, "n": 9}


def row(**more: Any) -> dict[str, Any]:
    names = ("answer_kept", "kept_share", "precision", "recall", "f1", "exact_empty", "soft_empty")
    summary = {name: measured(10.0 + at) for at, name in enumerate(names)} | {"ms_per_page": {"p50": 1.5, "p95": 2.5}}
    return {"at_budget": summary, "own_threshold": summary, "tokens_read": 612.0, "tokens_written": 0.0} | more


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|\n").split("|")]


def test_a_row_has_precision_recall_both_empties_the_calibration_and_the_tokens():
    title, rule, scorer, bm25 = table({"scorer": row(calibration={"ece": 0.0123}), "bm25": row()}, {}).splitlines()
    found = dict(zip(cells(title), cells(scorer), strict=True))
    assert len(cells(rule)) == len(cells(title))
    assert found["Precision, %"] == "12.0"
    assert found["Recall, %"] == "13.0"
    assert found["Exactly empty, %"] == "15.0 (14.0 to 16.0)"
    assert found["Soft EM on empty, %"] == "16.0"
    assert found["ECE"] == "0.012"
    assert found["Tokens read a page"] == "612"
    assert dict(zip(cells(title), cells(bm25), strict=True))["ECE"] == ""


def test_what_is_no_extractor_and_what_was_not_measured_leave_no_trace():
    found = table({"bm25": row() | {"own_threshold": row()["own_threshold"] | {"soft_empty": None}}, "closed_book": {}}, {})
    title, _, bm25 = found.splitlines()
    assert dict(zip(cells(title), cells(bm25), strict=True))["Soft EM on empty, %"] == ""


def test_every_haystack_has_a_row_for_each_extractor():
    one = {"single": {"mean_f1": 0.5}}
    both = table({"bm25": row()}, {}, {"essays": {"bm25": one, "scorer": one}, "news": {"bm25": {"several": {"mean_f1": 1.0}}}})
    rows = [cells(line) for line in both.partition("\n\n")[2].splitlines()]
    assert rows[0] == ["Haystack", "Extractor", "Needle F1, one fact", "several"]
    assert rows[2:] == [["essays", "bm25", "50.0", ""], ["essays", "scorer", "50.0", ""], ["news", "bm25", "", "100.0"]]
    assert cells(table({"bm25": row()}, {"bm25": one}).splitlines()[2])[-2:] == ["50.0", ""]
