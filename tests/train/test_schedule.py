"""The time left follows from the work of the stages and the speed of those that are done."""

import pytest

from aag_ray.config import STAGES, TrainAagConfig
from aag_ray.settings import load_config
from aag_ray.train.schedule import minutes_left, planned_work


def work(*overrides: str, train: int = 2000, dev: int = 60, test: int = 300) -> dict[str, float]:
    return planned_work(load_config(TrainAagConfig, None, overrides), train, dev, test)


def test_every_stage_has_work():
    planned = work()
    assert set(planned) == set(STAGES)
    assert all(amount > 0 for amount in planned.values())


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("compress.passages=10", {"compress"}),
        ("generator.max_document_tokens=160", {"generator", "predict", "hypernetwork", "evaluate"}),
        ("teacher.training.steps=2000", {"hypernetwork"}),
        ("evaluate.passages=[50]", {"evaluate"}),
    ],
)
def test_a_larger_setting_is_more_work_in_its_stages_only(override: str, stages: set[str]):
    before, after = work(), work(override)
    assert {name for name in STAGES if after[name] > before[name]} == stages


def test_more_questions_are_more_work():
    assert work(test=600)["evaluate"] == pytest.approx(2 * work(test=300)["evaluate"])


def test_minutes_left_scale_with_the_speed_so_far():
    planned = {"data": 1.0, "compress": 100.0, "generator": 300.0, "evaluate": 200.0}
    assert minutes_left(planned, {"compress": 60.0}, ["generator", "evaluate"]) == pytest.approx(5.0)
    assert minutes_left(planned, {"compress": 120.0}, ["generator", "evaluate"]) == pytest.approx(10.0)


def test_nothing_is_said_before_a_stage_has_shown_the_speed():
    assert minutes_left(work(), {}, list(STAGES)) is None
    assert minutes_left(work(), {"data": 3.0}, list(STAGES)) is None


def test_the_static_baseline_sees_as_many_examples_as_all_parts_of_aag():
    parts = (
        *("generator.training.steps=10", "generator.training.batch=16", "teacher.training.steps=5", "teacher.training.batch=8"),
        *("reader.reading.steps=20", "reader.reading.batch=4", "reader.training.steps=7", "reader.training.batch=16"),
    )
    assert load_config(TrainAagConfig, None, parts).static_steps == 25  # (160 + 40 + 80 + 112) / 16 = 24.5
    alone = load_config(TrainAagConfig, None, (*parts, "reader.distill.kd=false"))
    assert alone.static_steps == 22, "without distillation no teacher is trained"
