"""The needle grid: how well hidden facts are found, by length of the page and depth of the fact (ZI-ISAG, needle_based).

Every cell hides the same needles, so that cells differ by place alone. A needle of several sentences begins at the cell's
depth and goes on evenly to the end of the page.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from aag_ray.evaluate.extraction import predict, span_score
from aag_ray.extract.evidence import Extractor, ExtractOutcome
from aag_ray.extract.examples import ExtractionExample
from aag_ray.extract.haystack import haystack, hide_needle, spread
from aag_ray.extract.needles import Needle
from aag_ray.extract.tokens import CountTokens

LENGTHS = (1024, 3840, 6656, 9472, 12288)
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
DPI = 200


class GridCase(NamedTuple):
    """One page of about `length` tokens with one needle, its first sentence at `depth` (0..1)."""

    length: int
    depth: float
    example: ExtractionExample


@dataclass(frozen=True, slots=True)
class Cell:
    """Mean precision, recall and F1 (0..1) of the cases of one length and depth. A failed case scores 0 and is counted."""

    length: int
    depth: float
    cases: int
    precision: float
    recall: float
    f1: float
    failed: int


@dataclass(frozen=True, slots=True)
class NeedleGrid:
    """The cells of one extractor, by length, then depth."""

    extractor: str
    cells: tuple[Cell, ...]

    @property
    def mean_f1(self) -> float:
        return sum(cell.f1 for cell in self.cells) / len(self.cells)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        mean = {name: sum(getattr(cell, name) for cell in self.cells) / len(self.cells) for name in ("precision", "recall")}
        return {"extractor": self.extractor, "mean_f1": self.mean_f1, **mean, "cells": [asdict(cell) for cell in self.cells]}


def grid_cases(
    needles: Sequence[Needle],
    texts: Sequence[str],
    count: CountTokens,
    *,
    lengths: Sequence[int] = LENGTHS,
    depths: Sequence[float] = DEPTHS,
    decoys: int = 0,
    seed: int = 0,
) -> Iterator[GridCase]:
    """Each needle in each cell. Pages with the longest needle in them stay within `length` tokens, as `count` counts them.

    Up to `decoys` decoys of a needle are hidden beside it. Raises ValueError without needles, and if the texts are too short.
    """
    if not needles:
        raise ValueError("a needle grid needs at least one needle")
    room = max(sum(count([f" {sentence}" for sentence in (*each.sentences, *each.decoys[:decoys])])) for each in needles)
    for length in lengths:
        page = haystack(texts, length - room, count, f"haystack:{length}")
        for depth in depths:
            for number, needle in enumerate(needles):
                identity = f"{length}/{depth:g}/{number}"
                places = spread(depth, len(needle.sentences))
                yield GridCase(length, depth, hide_needle(needle, page, places, identity=identity, decoys=decoys, seed=seed))


def run_grid(extractor: Extractor, cases: Iterable[GridCase]) -> NeedleGrid:
    """Ask an extractor for every case. Raises ValueError without cases, and for a case in which no needle is hidden."""
    cells: dict[tuple[int, float], list[tuple[float, float, float, bool]]] = {}
    for case in cases:
        prediction = next(predict(extractor, [case.example]))
        score = span_score(prediction.chosen, prediction.gold)
        row = (score.precision, score.recall, score.f1, prediction.outcome is ExtractOutcome.MODEL_FAILED)
        cells.setdefault((case.length, case.depth), []).append(row)
    if not cells:
        raise ValueError("a needle grid needs at least one case")
    return NeedleGrid(extractor.name, tuple(_cell(length, depth, rows) for (length, depth), rows in sorted(cells.items())))


def render_grid(grid: NeedleGrid, title: str = "") -> bytes:
    """A PNG heat map of F1 in percent: lengths from left to right, depths from top to bottom; a missing cell stays white."""
    from matplotlib.figure import Figure

    lengths = sorted({cell.length for cell in grid.cells})
    depths = sorted({cell.depth for cell in grid.cells})
    values = {(cell.length, cell.depth): 100 * cell.f1 for cell in grid.cells}
    rows = [[values.get((length, depth), float("nan")) for length in lengths] for depth in depths]
    figure = Figure(figsize=(2.2 + 0.9 * len(lengths), 1.8 + 0.55 * len(depths)), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    # cividis reads the same for colour-blind readers and darkens evenly in grey print.
    image = axes.imshow(rows, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    for y, row in enumerate(rows):
        for x, value in enumerate(row):
            if value == value:
                axes.text(x, y, f"{value:.0f}", ha="center", va="center", fontsize=9, color="black" if value > 55 else "white")
    axes.set_xticks(range(len(lengths)), [f"{length:,}" for length in lengths], fontsize=9)
    axes.set_yticks(range(len(depths)), [f"{100 * depth:g} %" for depth in depths], fontsize=9)
    axes.set_xlabel("Page length in tokens", fontsize=9.5)
    axes.set_ylabel("Depth of the first fact", fontsize=9.5)
    axes.set_title(title or f"{grid.extractor}: mean F1 {100 * grid.mean_f1:.1f} %", fontsize=10, parse_math=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure.colorbar(image, ax=axes, label="Span F1, %")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def _cell(length: int, depth: float, rows: Sequence[tuple[float, float, float, bool]]) -> Cell:
    precision, recall, f1, failed = (sum(values) for values in zip(*rows, strict=True))
    return Cell(length, depth, len(rows), precision / len(rows), recall / len(rows), f1 / len(rows), int(failed))
