"""The result of an evaluation as GitHub Markdown: what was measured, in tables that can be read in a README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aag_ray.evaluate.systems import in_order, long_name

Score = Mapping[str, float] | float | None
MISSING = "-"
COLUMNS = ("System", "EM, % (95 % interval)", "F1", "Subspan EM", "Trained parameters", "Prompt tokens", "s/question")
TOKEN_COLUMNS = {"token_accuracy": "Token accuracy, %", "perplexity": "Perplexity"}
_DOCUMENT_ROWS = {
    "has_answer": "Holds an accepted answer, %",
    "repeated_trigrams": "Repeated 3-grams, %",
    "looping": "Looping documents, %",
    "empty": "Empty, %",
    "meaningless": "Meaningless, %",
    "distinct": "Different texts, %",
    "words": "Words",
    "tokens": "Tokens",
}


def render_markdown(result: Mapping[str, Any]) -> str:
    """The whole result (see `report`): systems, differences, kinds of question, gate, documents, machine; the same of other
    sets that were asked, under a heading each."""
    shots = result.get("shots", 4)
    measured = [name for name in TOKEN_COLUMNS if any(name in row for row in result["systems"].values())]
    rows = [
        [*row, *(interval_text(result["systems"][system].get(name)) for name in measured)]
        for system, row in zip(in_order(result["systems"]), system_rows(result), strict=True)
    ]
    parts = [_table([*COLUMNS, *(TOKEN_COLUMNS[name] for name in measured)], rows)]
    if told := passages_sentence(result):
        parts.append(told)
    if differences := result.get("differences"):
        parts.append("### Paired differences\n\n" + _differences_table(differences, shots))
    if by_kind := result.get("by_kind"):
        parts.append("### Exact match by kind of question, %\n\n" + _kinds_table(by_kind, shots))
    if gate := result.get("gate"):
        parts.append(gate_sentence(gate, bold="**"))
    if documents := result.get("documents"):
        parts.append("### Dummy documents\n\n" + _documents_table(documents))
    if machine := result.get("machine"):
        known = (f"{name.replace('_', ' ')} {value}" for name, value in machine.items() if value is not None)
        parts.append(f"Measured on: {_cell('; '.join(known))}.")
    for name, other in result.get("also", {}).items():
        parts.append(f"## Out of domain: {_cell(set_name(name, other))}\n\n{render_markdown(other).rstrip()}")
    return "\n\n".join(parts) + "\n"


def system_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """One row of texts for each system, in the order of every table, under COLUMNS."""
    systems, shots = result["systems"], result.get("shots", 4)
    return [
        [
            long_name(name, shots),
            interval_text(systems[name].get("em")),
            number_text(systems[name].get("f1"), ".1f"),
            number_text(systems[name].get("subspan"), ".1f"),
            number_text(systems[name].get("trained_parameters"), ",.0f"),
            number_text(systems[name].get("prompt_tokens"), ",.0f"),
            number_text(systems[name].get("seconds_per_question"), ".3f"),
        ]
        for name in in_order(systems)
    ]


def set_name(name: str, result: Mapping[str, Any]) -> str:
    """A set of questions besides the test set, as in "webq (2,032 questions of webq-test.jsonl)"."""
    asked = max((int(em["n"]) for row in result["systems"].values() if isinstance(em := row.get("em"), Mapping)), default=0)
    return f"{name} ({asked:,} questions of {result.get('file', name)})"


def passages_sentence(result: Mapping[str, Any]) -> str:
    """Which systems are missing, and how many questions are asked without passages; "" where every question has some."""
    if left_out := result.get("left_out"):
        names = ", ".join(long_name(name, result.get("shots", 4)) for name in left_out)
        return f"Left out, because none of these questions has passages: {names}."
    if count := result.get("without_passages"):
        return f"{count:,} of these questions have no passages; systems that read passages were asked them without."
    return ""


def gate_sentence(gate: Mapping[str, Any], bold: str = "") -> str:
    """The verdict in words, with the share of adapter variance between questions (0..1 in `gate`) where it was measured."""
    sentence = f"{bold}Adapter gate: {'passed' if gate['passed'] else 'not passed'}.{bold} {gate['reason']}"
    if (share := gate.get("adapter_variance")) is None:
        return sentence
    shares = (f"{name} {100 * value:.1f} %" for name, value in gate.get("eta_squared", {}).items())
    explained = ", ".join(shares)
    sentence += f" {100 * share:.1f} % of the adapters' squared size differs between questions"
    return f"{sentence}; of that, explained by: {explained}." if explained else f"{sentence}."


def interval_text(score: Score, *, signed: bool = False) -> str:
    """As in "72.1 (67.5 to 76.4)", or the number alone where no interval is known."""
    form = "+.1f" if signed else ".1f"
    if not isinstance(score, Mapping):
        return number_text(score, form)
    return f"{score['value']:{form}} ({score['low']:{form}} to {score['high']:{form}})"


def number_text(score: Score, form: str) -> str:
    value = score["value"] if isinstance(score, Mapping) else score
    return MISSING if value is None else format(value, form)


def _differences_table(differences: Mapping[str, Mapping[str, float]], shots: int) -> str:
    rows = []
    for name, difference in differences.items():
        first, _, second = name.partition("-")
        label = f"{long_name(first, shots)} vs {long_name(second, shots)}" if second else name
        sign = "above zero" if difference["low"] > 0 else "below zero" if difference["high"] < 0 else "holds zero"
        rows.append([label, interval_text(difference, signed=True), sign])
    return _table(("Difference", "EM points (95 % interval)", "Interval"), rows)


def _kinds_table(by_kind: Mapping[str, Mapping[str, Score]], shots: int) -> str:
    systems = in_order({system for scores in by_kind.values() for system in scores})
    rows = [
        [long_name(name, shots), *(number_text(scores.get(name), ".1f") for scores in by_kind.values())] for name in systems
    ]
    return _table(["System", *(_kind_header(kind, scores) for kind, scores in by_kind.items())], rows)


def _kind_header(kind: str, scores: Mapping[str, Score]) -> str:
    sizes = [int(score["n"]) for score in scores.values() if isinstance(score, Mapping)]
    return f"{kind} (n = {max(sizes)})" if sizes else kind


def _documents_table(documents: Mapping[str, Any]) -> str:
    sides = (documents["generated"], documents["static"])
    rows = [[label, *(interval_text(side.get(key)) for side in sides)] for key, label in _DOCUMENT_ROWS.items()]
    return _table(("", "Generated", "Static baseline"), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    """Text that cannot end a table cell or turn into HTML."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
