"""Labels from a teacher: what a trained scorer, or a file of scores, says of each span of the training pages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aag_ray.artifacts import RunError
from aag_ray.config import ExtractSection, ScorerSection
from aag_ray.extract.examples import ExtractionExample

Scores = Mapping[str, Sequence[float]]


def distilled(
    rows: Sequence[dict[str, Any]], examples: Sequence[ExtractionExample], section: ScorerSection
) -> tuple[list[dict[str, Any]], int]:
    """Rows of `windows` with the teacher's scores in their labels, and how many rows the teacher said nothing about.

    Without a teacher rows stay as they are. Raises RunError for a teacher that cannot be used.
    """
    if section.teacher is None and section.teacher_scores is None:
        return list(rows), 0
    pages = {page_of(row) for row in rows}
    asked = [example for example in examples if example.id in pages]
    scores = read_scores(section.teacher_scores, asked) if section.teacher_scores else scored_by(section.teacher, asked)
    softened = [softer(row, scores[page_of(row)], section.teacher_weight) if page_of(row) in scores else row for row in rows]
    return softened, sum(page_of(row) not in scores for row in rows)


def softer(row: dict[str, Any], scores: Sequence[float], weight: float) -> dict[str, Any]:
    """A row whose labels are `weight` parts the teacher's `scores` of its page; an UNKNOWN one becomes the teacher's."""
    own = scores[row["first"] : row["first"] + len(row["labels"])]
    mixed = [
        said if label < 0 else (1 - weight) * label + weight * said for label, said in zip(row["labels"], own, strict=True)
    ]
    return row | {"labels": mixed}


def page_of(row: Mapping[str, Any]) -> str:
    """The id of the example that a row of `windows` is cut from."""
    return row["id"].rpartition("#")[0]


def scored_by(teacher: Path | None, examples: Sequence[ExtractionExample]) -> dict[str, list[float]]:
    """The calibrated scores that a trained scorer gives to every span. Raises RunError for a folder that holds none."""
    from aag_ray.extract.build import ExtractorError, build_extractor
    from aag_ray.extract.trained import ScorerExtractor

    try:
        extractor = build_extractor(ExtractSection(checkpoint=str(teacher)))
    except ExtractorError as error:
        raise RunError(f"scorer.teacher: {error}") from error
    assert isinstance(extractor, ScorerExtractor)
    found = {}
    for example in examples:
        [page] = extractor.score(example.question, [example.tagged])
        found[example.id] = page.spans.tolist() if page.spans is not None else []
    return found


def read_scores(path: Path, examples: Sequence[ExtractionExample]) -> dict[str, list[float]]:
    """The scores of a file, of these examples. Raises RunError naming the line that does not fit, or if none is about them."""
    spans = {example.id: len(example.spans) for example in examples}
    found: dict[str, list[float]] = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"scorer.teacher_scores={path} cannot be read: {error}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            identity, scores = str(row["id"]), [float(score) for score in row["scores"]]
        except (ValueError, KeyError, TypeError) as error:
            wanted = 'wanted is {"id": text, "scores": [numbers]}'
            raise RunError(f"{path}:{number}: {wanted} ({type(error).__name__}: {error})") from None
        if not all(0 <= score <= 1 for score in scores):
            raise RunError(f"{path}:{number}: scores must be from 0 to 1, got {min(scores)} to {max(scores)}")
        if identity in spans and len(scores) != spans[identity]:
            raise RunError(f"{path}:{number}: {len(scores)} scores for the {spans[identity]} spans of {identity}")
        if identity in spans:
            found[identity] = scores
    if not found:
        raise RunError(f"{path} scores none of the {len(spans)} pages that are trained on, such as {next(iter(spans), '')!r}")
    return found
