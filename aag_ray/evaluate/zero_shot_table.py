"""The zero-shot settings as a Markdown table, with what was published for a model without training on the task beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aag_ray.evaluate.markdown import MISSING, interval_text, number_text

SOURCE = "Published for Llama2-7B, EM in % (AAG, arXiv 2403.15268v5, Table 9)"
DATA_SETS = {"nq": "NQ", "tqa": "TriviaQA", "wq": "WebQuestions"}
# One figure for each of DATA_SETS. For imagined documents alone the paper has no row: its text puts them about one point above
# the model without any.
PUBLISHED = {
    "Llama2-7B": (8.6, 14.5, 2.6),
    "DPR + ICL": (18.3, 32.5, 15.6),
    "DPR + RECITE": (16.8, 43.9, 24.8),
    "DPR + HICL": (25.1, 47.5, 28.1),
    "DPR + AAG": (33.7, 44.5, 31.9),
}
BESIDE = {"open_qa/closed_book": "Llama2-7B", "open_qa/retrieval": "DPR + ICL"}
COLUMNS = ("Setting", "Rows", "EM, % (95 % interval)", "Subspan EM", "F1", "The task's own score")
OWN = {
    "rouge_l": "ROUGE-L",
    "character_f1": "F1 of characters",
    "accuracy": "accuracy",
    "edit_similarity": "edit similarity",
    "numbers": "right numbers",
}
COSTS = ("Not asked", "Cut", "Prompt tokens", "s/question", "Published EM")


def table(result: Mapping[str, Any], data_set: str | None = None) -> str:
    """A line for each setting of a result; `data_set` is the one of DATA_SETS that the questions are of, if they are."""
    place = list(DATA_SETS).index(data_set) if data_set else None
    lines: list[tuple[str, ...]] = [COLUMNS + COSTS]
    for name, row in result["settings"].items():
        rows = next(row[key] for key in ("em", *OWN) if key in row)["n"]
        own = next((f"{label} {interval_text(row[key])}" for key, label in OWN.items() if key in row), MISSING)
        scores = [interval_text(row.get("em")), *(number_text(row.get(key), ".1f") for key in ("subspan", "f1"))]
        counts = (f"{rows - row['asked']}", f"{row['cut']}")
        costs = (f"{row['prompt_tokens']:,.0f}", f"{row['seconds_per_question']:.3f}")
        beside = MISSING if place is None or name not in BESIDE else f"{PUBLISHED[BESIDE[name]][place]}"
        lines.append((name.replace("|", "\\|"), f"{rows}", *scores, own, *counts, *costs, beside))
    published = [("", *DATA_SETS.values()), *((name, *map(str, figures)) for name, figures in PUBLISHED.items())]
    return f"{_markdown(lines)}\n{SOURCE}:\n\n{_markdown(published)}"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    header, *rows = (f"| {' | '.join(line)} |\n" for line in lines)
    return "".join([header, f"| --- |{' ---: |' * (len(lines[0]) - 1)}\n", *rows])
