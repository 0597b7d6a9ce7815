"""A line for each setting, and the published figures beside what they can be compared with."""

from __future__ import annotations

from typing import Any

from aag_ray.evaluate.zero_shot_table import BESIDE, DATA_SETS, PUBLISHED, table


def row(**scores: float) -> dict[str, Any]:
    intervals = {name: {"value": value, "low": value - 1, "high": value + 1, "n": 40} for name, value in scores.items()}
    return intervals | {"asked": 38, "cut": 3, "prompt_tokens": 1234.4, "seconds_per_question": 0.25}


RESULT = {
    "settings": {
        "open_qa/closed_book": row(em=2.5, subspan=5, f1=7.25),
        "long_text/gov|report": row(rouge_l=20),
        "long_text/trec": row(accuracy=20),
    }
}


def test_every_setting_shows_its_scores_and_costs():
    lines = table(RESULT).splitlines()
    assert lines[2] == "| open_qa/closed_book | 40 | 2.5 (1.5 to 3.5) | 5.0 | 7.2 | - | 2 | 3 | 1,234 | 0.250 | - |"
    assert lines[3] == "| long_text/gov\\|report | 40 | - | - | - | ROUGE-L 20.0 (19.0 to 21.0) | 2 | 3 | 1,234 | 0.250 | - |"
    assert "| 40 | - | - | - | accuracy 20.0 (19.0 to 21.0) | 2 |" in lines[4]


def test_a_published_figure_stands_beside_on_the_same_data_set_only():
    assert "| 8.6 |" in table(RESULT, "nq").splitlines()[2]
    assert "| 14.5 |" in table(RESULT, "tqa").splitlines()[2]
    assert table(RESULT, "nq").splitlines()[3].endswith("| - |")


def test_all_published_figures_follow_with_their_source():
    lines = table(RESULT).splitlines()
    assert any("2403.15268v5, Table 9" in line for line in lines)
    assert "| DPR + AAG | 33.7 | 44.5 | 31.9 |" in lines
    assert set(BESIDE.values()) <= set(PUBLISHED)
    assert {len(figures) for figures in PUBLISHED.values()} == {len(DATA_SETS)}
