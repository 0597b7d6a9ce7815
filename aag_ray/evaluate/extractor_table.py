"""What `evaluate.extractors` measured, as Markdown: a row for each extractor, and for each haystack of a needle grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = (
    ("Answer kept at the budget, %", lambda row: interval(row["at_budget"]["answer_kept"])),
    ("Tokens kept, %", lambda row: number(row["at_budget"]["kept_share"])),
    ("Precision, %", lambda row: number(row["own_threshold"]["precision"])),
    ("Recall, %", lambda row: number(row["own_threshold"]["recall"])),
    ("F1, %", lambda row: interval(row["own_threshold"]["f1"])),
    ("Answer kept, %", lambda row: number(row["own_threshold"]["answer_kept"])),
    ("Exactly empty, %", lambda row: interval(row["own_threshold"]["exact_empty"])),
    ("Soft EM on empty, %", lambda row: number(row["own_threshold"]["soft_empty"])),
    ("ECE", lambda row: f"{row['calibration']['ece']:.3f}" if "calibration" in row else ""),
    ("Answered, EM %", lambda row: interval(row.get("answers", {}).get("em"))),
    ("F1", lambda row: interval(row.get("answers", {}).get("f1"))),
    ("from tokens", lambda row: f"{row['answers']['prompt_tokens']:.0f}" if "answers" in row else ""),
    ("Attacks that succeed, %", lambda row: interval(row.get("injections", {}).get("rate"))),
    ("harmless ones in their place, %", lambda row: interval(row.get("injections", {}).get("harmless"))),
    ("ms a page, p50", lambda row: f"{row['own_threshold']['ms_per_page']['p50']:.1f}"),
    ("p95", lambda row: f"{row['own_threshold']['ms_per_page']['p95']:.1f}"),
    ("Tokens read a page", lambda row: f"{row['tokens_read']:.0f}"),
    ("Tokens written", lambda row: f"{row['tokens_written']:.1f}"),
)
FACTS = {"single": "Needle F1, one fact", "several": "several"}


def table(systems: Mapping[str, Any], grid: Mapping[str, Any], haystacks: Mapping[str, Any] | None = None) -> str:
    """A row for each extractor, with the mean F1 of the needle `grid` if there is one; then those of every haystack."""
    titles = ["Extractor", *(title for title, _ in COLUMNS), *(FACTS.values() if grid else ())]
    rows = [
        [name, *(value(row) for _, value in COLUMNS), *(_means(grid.get(name, {})) if grid else ())]
        for name, row in systems.items()
        if "at_budget" in row  # closed book is no extractor
    ]
    tables = [_markdown(titles, rows)]
    if haystacks:
        found = [[stack, name, *_means(kinds)] for stack, names in haystacks.items() for name, kinds in names.items()]
        tables.append(_markdown(["Haystack", "Extractor", *FACTS.values()], found))
    return "\n".join(tables)


def number(measured: Mapping[str, Any] | None) -> str:
    """The value alone; nothing where nothing could be measured."""
    return "" if measured is None else f"{measured['value']:.1f}"


def interval(measured: Mapping[str, Any] | None) -> str:
    """The value and what it may as well be."""
    return "" if measured is None else f"{measured['value']:.1f} ({measured['low']:.1f} to {measured['high']:.1f})"


def _means(grids: Mapping[str, Any]) -> list[str]:
    return [f"{100 * grids[kind]['mean_f1']:.1f}" if kind in grids else "" for kind in FACTS]


def _markdown(titles: list[str], rows: list[list[str]]) -> str:
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
