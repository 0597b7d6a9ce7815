"""The result of an evaluation for programs (JSON), for people (Markdown, the terminal), as a plot and as a page of cases.

A result is a JSON-able mapping: `systems` {name: {em, f1, subspan, trained_parameters, prompt_tokens,
seconds_per_question}}, and, where measured, their token_accuracy and perplexity (see `token_scores`), `differences`
{"a-b": interval}, `by_kind` {kind: {system: em}}, `gate` (see `gate_verdict`; with
`adapter_variance` and `eta_squared` {label: share} of 0..1), `documents` (see `document_report`), `machine`,
`shots` and `cases`; `without_passages` counts questions that have none, `left_out` names the systems that were not asked
because of that, and `also` holds the results of other question sets, with their `file`, by name.
Scores are in percent, as intervals {value, low, high, n} or as plain numbers. What a result lacks is shown as not measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aag_ray.artifacts import write_atomically, write_json
from aag_ray.evaluate.cases import render_cases
from aag_ray.evaluate.markdown import (
    COLUMNS,
    gate_sentence,
    passages_sentence,
    render_markdown,
    set_name,
    system_rows,
)
from aag_ray.evaluate.systems import in_order

if TYPE_CHECKING:
    from rich.console import Console

_FILES = {"result": "result.json", "table": "table.md", "plot": "plot.png", "cases": "cases.html"}
_PERCENT_PER_BLOCK = 5
_WIDE = 120  # columns of a terminal from which on everything fits
_WIDE_ONLY = (3, 4)  # subspan EM and trained parameters


def write_report(result: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Write result.json, table.md, plot.png and cases.html, each atomically; paths by name, for a job's `artifacts`.

    Raises RunError if the folder cannot be written and ValueError if the result holds no system.
    """
    from aag_ray.evaluate.plot import render_plot

    if not result.get("systems"):
        raise ValueError("a result without systems cannot be reported")
    paths = {name: folder / file for name, file in _FILES.items()}
    write_json(paths["result"], result)
    write_atomically(paths["table"], render_markdown(result))
    write_atomically(paths["plot"], render_plot(result))
    write_atomically(paths["cases"], render_cases(result))
    return {name: str(path) for name, path in paths.items()}


def render_terminal(result: Mapping[str, Any], console: Console | None = None, asked: str = "the test questions") -> None:
    """Print the systems and the gate's verdict, then those of other sets. 80 columns are enough; a wider terminal gets bars
    and every column. `asked` says what was asked."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = console if console is not None else Console()
    wide = out.width >= _WIDE
    table = Table(title=Text(f"Exact match on {asked}", "table.title"), title_justify="left", box=None, padding=(0, 2, 0, 0))
    shown = [position for position in range(len(COLUMNS)) if wide or position not in _WIDE_ONLY]
    for position in shown:
        longest_word = max(map(len, COLUMNS[position].split()))
        table.add_column(
            COLUMNS[position], justify="right" if position else "left", no_wrap=position < 2, min_width=longest_word
        )
    if wide:
        table.add_column("0 to 100 %", no_wrap=True)
    for name, row in zip(in_order(result["systems"]), system_rows(result), strict=True):
        cells = [row[position] for position in shown] + ([_bar(result["systems"][name].get("em"))] if wide else [])
        table.add_row(*map(Text, cells), style="bold" if name == "aag" else "")
    out.print(table)
    if told := passages_sentence(result):
        out.print(Text(told))
    if gate := result.get("gate"):
        out.print(Text(gate_sentence(gate), style="green" if gate["passed"] else "yellow"))
    for name, other in result.get("also", {}).items():
        out.print()
        render_terminal(other, out, set_name(name, other))


def _bar(score: Mapping[str, float] | float | None) -> str:
    value = score["value"] if isinstance(score, Mapping) else score
    return "█" * round((value or 0.0) / _PERCENT_PER_BLOCK)
