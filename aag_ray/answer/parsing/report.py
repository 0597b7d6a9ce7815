"""The parser's result as Markdown: the systems side by side, then the parser by kind of request, then what it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aag_ray.evaluate.markdown import interval_text, number_text

NAMES = {
    "parser": "Trained parser and memory's likelihood",
    "question": "Trained parser, by the question alone",
    "likelihood": "Likelihood threshold",
    "always": "Always search",
    "never": "Never search",
}
COLUMNS = ("Decides by", "Right, % (95 % interval)", "Missed, %", "Needless, %", "Cost per 100", "ECE, %", "Threshold")
_FIELDS = {
    "in_grammar": "In the grammar",
    "keywords_exact": "Keywords, exact",
    "keywords_f1": "Keywords, F1",
    "language": "Language",
    "freshness": "Freshness",
    "rewritten_exact": "Follow-up rewritten, exact",
    "rewritten_f1": "Follow-up rewritten, F1",
}


def render(result: Mapping[str, Any]) -> str:
    """The whole result of the evaluation stage."""
    systems, costs = result["systems"], result["costs"]
    parts = [
        f"{result['examples']} requests, {100 * result['needed']:.1f} % of them need the web. A missed search costs "
        f"{costs['missed']:g}, a needless one {costs['needless']:g}.",
        _table(COLUMNS, [_row(name, systems[name]) for name in NAMES if name in systems]),
        "### The trained parser against the others\n\n" + _differences(result["differences"]),
        "### Right decisions by kind of request, %\n\n" + _kinds(systems),
    ]
    if writing := result.get("writing"):
        rows = [
            [label, interval_text(writing[name]), str(writing[name]["n"])] for name, label in _FIELDS.items() if name in writing
        ]
        parts.append("### What the parser writes, %\n\n" + _table(("Field", "% (95 % interval)", "n"), rows))
    return "\n\n".join(parts) + "\n"


def _row(name: str, scored: Mapping[str, Any]) -> list[str]:
    ece = scored["calibration"]["ece"] * 100 if "calibration" in scored else None
    return [
        NAMES[name],
        interval_text(scored["accuracy"]),
        number_text(scored["missed"], ".1f"),
        number_text(scored["needless"], ".1f"),
        interval_text(scored["cost"]),
        number_text(ece, ".1f"),
        number_text(scored["threshold"], ".2f"),
    ]


def _differences(differences: Mapping[str, Any]) -> str:
    rows = [
        [NAMES[name], interval_text(each["accuracy"], signed=True), interval_text(each["saved"], signed=True)]
        for name, each in differences.items()
    ]
    return _table(("Against", "Right decisions, points (95 % interval)", "Cost saved per 100"), rows)


def _kinds(systems: Mapping[str, Any]) -> str:
    present = [name for name in NAMES if name in systems]
    kinds = systems["parser"]["by_kind"]
    rows = [
        [kind, str(kinds[kind]["n"]), *(number_text(systems[name]["by_kind"][kind], ".1f") for name in present)]
        for kind in kinds
    ]
    return _table(("Kind", "n", *(NAMES[name] for name in present)), rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
