"""The needle grids of an evaluation: which facts are hidden in which haystacks, and how well an extractor finds them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aag_ray.artifacts import RunError
from aag_ray.config import GridSection
from aag_ray.evaluate.needle_files import read_haystack, read_needles
from aag_ray.evaluate.needle_grid import GridCase, grid_cases, render_grid, run_grid
from aag_ray.extract.evidence import Extractor
from aag_ray.extract.examples import ExtractionExample
from aag_ray.extract.needles import Needle, NeedleKind, make_needles
from aag_ray.extract.tokens import estimated_tokens


class HiddenFacts(NamedTuple):
    """The cases of one haystack: of facts that stand in one sentence (`single`), and in `several`.

    `name` is that of the haystack's file, where the configuration lists haystacks.
    """

    name: str
    cases: dict[str, list[GridCase]]


def hide_facts(grid: GridSection, examples: Sequence[ExtractionExample], seed: int) -> list[HiddenFacts]:
    """The cases of every haystack, made before anything is measured. Raises RunError for files that will not do.

    Where no file is given, the pages of `examples` are the haystack.
    """
    if not grid.cases:
        return []
    one = {"haystacks": ()}
    listed = [
        (each.path.stem, grid.model_copy(update={**one, **each.model_dump(exclude={"path"}), "haystack": each.path}))
        for each in grid.haystacks
    ]
    return [HiddenFacts(name, _cases(each, examples, seed)) for name, each in listed or [("", grid)]]


def measure_grids(
    name: str, extractor: Extractor, hidden: Sequence[HiddenFacts], folder: Path, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """By haystack and kind of fact, what an extractor finds; a heat map of each goes into `folder`."""
    grids: dict[str, Any] = {}
    for facts in hidden:
        for kind, cases in facts.cases.items():
            measured = run_grid(extractor, cases)
            grids.setdefault(facts.name, {})[kind] = measured.to_dict()
            label = "-".join(part for part in ("needles", facts.name, kind, name) if part)
            (folder / f"{label}.png").write_bytes(render_grid(measured))
            say(f"  {name}: needle grid ({' '.join(filter(None, (facts.name, kind)))}), mean F1 {100 * measured.mean_f1:.1f} %")
    return grids


def _cases(grid: GridSection, examples: Sequence[ExtractionExample], seed: int) -> dict[str, list[GridCase]]:
    texts = list(read_haystack(grid.haystack) if grid.haystack else dict.fromkeys(each.page.text for each in examples))
    shape: dict[str, Any] = {"lengths": grid.lengths, "depths": grid.depths, "seed": seed}
    try:
        return {
            kind: list(grid_cases(needles, texts, estimated_tokens, **shape)) for kind, needles in _needles(grid, seed).items()
        }
    except ValueError as error:
        where = f"grid.haystack={grid.haystack}" if grid.haystack else f"the {len(examples)} pages of the run"
        raise RunError(f"{where}: no needle grid of grid.lengths={list(grid.lengths)}: {error}") from error


def _needles(grid: GridSection, seed: int) -> dict[str, list[Needle]]:
    """Facts that stand in one sentence, and those that stand in several; from a file, a random choice."""
    if grid.needles is None:
        kinds = {"single": [NeedleKind.SINGLE], "several": [kind for kind in NeedleKind if kind is not NeedleKind.SINGLE]}
        return {name: make_needles(grid.cases, seed + 1, kinds=each, languages=[grid.language]) for name, each in kinds.items()}
    given = read_needles(grid.needles, grid.language)
    parts = {"single": [n for n in given if len(n.sentences) == 1], "several": [n for n in given if len(n.sentences) > 1]}
    draw = random.Random(seed)
    return {name: draw.sample(part, min(grid.cases, len(part))) for name, part in parts.items() if part}
