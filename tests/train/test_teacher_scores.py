"""A teacher's scores become labels: mixed with gold, alone where gold is silent, and refused where they do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aag_ray.artifacts import RunError
from aag_ray.config import ModelSection, ScorerSection
from aag_ray.extract.build import tag_page
from aag_ray.extract.examples import ExtractionExample, example
from aag_ray.extract.scorer import SpanScorer
from aag_ray.extract.scorer_objective import UNKNOWN
from aag_ray.train.extractor import windows
from aag_ray.train.teacher_scores import distilled, softer

PAGE = tag_page("Lima is the capital.\n\nIt rains.\n\nThe river is long.", "u", kind="text").tagged.page
PERU = example("peru#1", "Which capital?", PAGE, (1,), "test", answers=("Lima",))
WEIGHED = ScorerSection.model_validate({"teacher_weight": 0.25})


@pytest.fixture
def student(tiny_encoder_folder: Path) -> SpanScorer:
    return SpanScorer.new(ModelSection(name=str(tiny_encoder_folder), dtype="float32"), window=24, width=8, device="cpu")


def from_file(path: Path, rows: list[Any], student: SpanScorer, asked: ExtractionExample = PERU) -> tuple[list[Any], int]:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return distilled(list(windows(student, [asked])), [asked], WEIGHED.model_copy(update={"teacher_scores": path}))


def test_a_label_is_gold_and_teacher_by_weight_and_the_teacher_alone_where_gold_is_silent():
    row = {"first": 1, "labels": [1.0, UNKNOWN, 0.0]}
    assert softer(row, [0.9, 0.6, 0.7, 0.4], 0.25)["labels"] == pytest.approx([0.9, 0.7, 0.1])
    assert softer(row, [0.9, 0.6, 0.7, 0.4], 1.0)["labels"] == pytest.approx([0.6, 0.7, 0.4])
    assert row["labels"] == [1.0, UNKNOWN, 0.0]


def test_the_scores_of_a_page_reach_all_of_its_windows(student: SpanScorer, tmp_path: Path):
    rows, unscored = from_file(
        tmp_path / "s", [{"id": "peru#1", "scores": [0.8, 0.4, 0.2]}, {"id": "x", "scores": []}], student
    )
    assert len(rows) > 1
    assert [label for row in rows for label in row["labels"]] == pytest.approx([0.95, 0.1, 0.05])
    assert unscored == 0


def test_pages_that_the_file_leaves_out_keep_gold_and_are_counted(student: SpanScorer, tmp_path: Path):
    other = example("other", "Is there rain?", PAGE, (2,), "test")
    (tmp_path / "s").write_text('{"id": "other", "scores": [0, 1, 0]}\n')
    rows = [row for each in (PERU, other) for row in windows(student, [each])]
    softened, unscored = distilled(rows, [PERU, other], WEIGHED.model_copy(update={"teacher_scores": tmp_path / "s"}))
    assert unscored == len(rows) // 2
    assert softened == rows


def test_without_a_teacher_labels_are_gold(student: SpanScorer):
    rows = list(windows(student, [PERU]))
    assert distilled(rows, [PERU], WEIGHED) == (rows, 0)


def test_a_trained_scorer_teaches_by_its_calibrated_scores(student: SpanScorer, tmp_path: Path, tiny_encoder_folder: Path):
    model = ModelSection(name=str(tiny_encoder_folder), dtype="float32")
    teacher = SpanScorer.new(model, window=96, width=8, device="cpu")  # its windows are others than the student's
    teacher.save_pretrained(tmp_path)
    section = WEIGHED.model_copy(update={"teacher": tmp_path, "teacher_weight": 1.0})
    rows, unscored = distilled(list(windows(student, [PERU])), [PERU], section)
    [(scores, _)] = teacher.score(teacher.windows(PERU.question, [PERU.tagged]))
    assert [label for row in rows for label in row["labels"]] == pytest.approx(scores, abs=1e-6)
    assert unscored == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"id": "peru#1", "scores": [0.5]}', "1 scores for the 3 spans of peru#1"),
        ('{"id": "peru#1", "scores": [0, 1, 2]}', "scores must be from 0 to 1, got 0.0 to 2.0"),
        ('{"id": "peru#1"}', "wanted is"),
        ("[1, 2]", "wanted is"),
        ("nonsense", "wanted is"),
    ],
)
def test_a_line_that_does_not_fit_is_named(student: SpanScorer, tmp_path: Path, line: str, told: str):
    with pytest.raises(RunError, match=rf"scores\.jsonl:2: .*{told}"):
        from_file(tmp_path / "scores.jsonl", [{"id": "x", "scores": [1]}, line], student)


def test_a_teacher_that_cannot_be_used_is_named(student: SpanScorer, tmp_path: Path):
    with pytest.raises(RunError, match=r"scores none of the 1 pages that are trained on, such as 'peru#1'"):
        from_file(tmp_path / "s", [{"id": "x", "scores": [1]}], student)
    for section in ({"teacher": tmp_path / "nowhere"}, {"teacher": tmp_path}, {"teacher_scores": tmp_path / "nowhere"}):
        with pytest.raises(RunError, match=r"scorer\.teacher.*(no folder|no span scorer|cannot be read)"):
            distilled(list(windows(student, [PERU])), [PERU], WEIGHED.model_copy(update=section))
    with pytest.raises(ValueError, match="set one of them"):
        ScorerSection(teacher=tmp_path, teacher_scores=tmp_path)
