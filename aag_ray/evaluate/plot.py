"""The result as one plot: a bar of exact match for each system, with its interval."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from aag_ray.evaluate.systems import Group, group_of, in_order, long_name

# Okabe and Ito's colours, told apart by colour-blind readers and, by their lightness, in grey print.
COLOURS: dict[Group, tuple[str, str]] = {
    "baseline": ("#999999", "without AAG"),
    "aag": ("#0072B2", "AAG and its parts"),
    "control": ("#E69F00", "AAG with a wrong adapter"),
    "retrieval": ("#009E73", "with retrieved passages"),
    "other": ("#CC79A7", "other"),
}
WIDTH, DPI = 9.0, 200


def render_plot(result: Mapping[str, Any]) -> bytes:
    """A PNG, 1800 pixels wide: exact match in percent by system in table order; the adapter gate's rows are shaded."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    scores = {name: score for name in in_order(result["systems"]) if (score := result["systems"][name].get("em")) is not None}
    rows = [score if isinstance(score, Mapping) else {"value": score, "low": score, "high": score} for score in scores.values()]
    names = [long_name(name, result.get("shots", 4)) for name in scores]
    groups: list[Group] = [group_of(name) for name in scores]
    places = range(len(rows))

    figure = Figure(figsize=(WIDTH, 1.5 + 0.34 * max(len(rows), 3)), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    values = [row["value"] for row in rows]
    errors = [[row["value"] - row["low"] for row in rows], [row["high"] - row["value"] for row in rows]]
    axes.barh(places, values, color=[COLOURS[group][0] for group in groups], height=0.72, zorder=2)
    axes.errorbar(values, places, xerr=errors, fmt="none", ecolor="#222222", elinewidth=1.1, capsize=2.5, zorder=3)
    for place, row in zip(places, rows, strict=True):
        axes.text(row["high"] + 1.2, place, f"{row['value']:.1f}", va="center", fontsize=9, zorder=4)
    gated = [place for place, name in enumerate(scores) if name == "aag" or group_of(name) == "control"]
    if gated:
        axes.axhspan(min(gated) - 0.5, max(gated) + 0.5, color="#0072B2", alpha=0.09, zorder=0, linewidth=0)
        axes.text(107.2, (min(gated) + max(gated)) / 2, "adapter gate", rotation=270, va="center", ha="center", fontsize=9)
    axes.set_yticks(places, names, fontsize=10, parse_math=False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 110)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("Exact match on test questions, % (bars: mean, whiskers: 95 % interval)", fontsize=9.5)
    axes.grid(axis="x", color="#cccccc", linewidth=0.6, zorder=1)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    shown: list[Group] = [group for group in COLOURS if group in groups]
    handles = [Patch(color=COLOURS[group][0], label=COLOURS[group][1]) for group in shown]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(shown) or 1, frameon=False, fontsize=9.5)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
