"""Stages of a run: done once, in order, and again when what decides them changes."""

from pathlib import Path
from typing import Any

import pytest

from aag_ray.artifacts import Run, RunError
from aag_ray.config import JobConfig, RunSection
from aag_ray.train.staged import run_stages, stage_fingerprints

DECIDES = {"sow": ("seeds", "soil"), "water": ("litres",), "harvest": ("seeds", "litres")}


class GardenConfig(JobConfig):
    seeds: int = 3
    litres: int = 2
    colour: str = "green"
    soil: Path | None = None


class Garden:
    """Counts what was done, and can fail."""

    def __init__(self, broken: str = "") -> None:
        self.done: list[str] = []
        self.broken = broken

    def work(self, name: str) -> Any:
        def doing(config: GardenConfig, run: Run, folder: Path) -> dict[str, Any]:
            self.done.append(name)
            if name == self.broken:
                raise RuntimeError("frost")
            (folder / "log.txt").write_text(name)
            return {"seeds": config.seeds}

        return doing

    def grow(self, folder: Path, wanted: tuple[str, ...] = tuple(DECIDES), **settings: Any) -> list[list[str]]:
        told: list[list[str]] = []
        config = GardenConfig(run=RunSection(root=folder, name="garden"), **settings)
        with Run.open(folder / "garden", fresh=False) as run:
            run_stages(config, run, {name: self.work(name) for name in DECIDES}, DECIDES, wanted, told.append)
        return told


def test_each_stage_is_done_once_and_in_order(tmp_path: Path):
    garden = Garden()
    told = garden.grow(tmp_path)
    assert garden.done == ["sow", "water", "harvest"]
    assert told == [["sow", "water", "harvest"], ["water", "harvest"], ["harvest"]]
    garden.grow(tmp_path)
    assert len(garden.done) == 3


def test_a_changed_setting_redoes_its_stage_and_all_after_it(tmp_path: Path):
    garden = Garden()
    garden.grow(tmp_path)
    garden.grow(tmp_path, litres=5)
    assert garden.done[3:] == ["water", "harvest"]
    garden.grow(tmp_path, litres=5, colour="red")
    assert len(garden.done) == 5


def test_a_file_that_changed_redoes_the_stage_that_reads_it(tmp_path: Path):
    garden, soil = Garden(), tmp_path / "soil.txt"
    soil.write_text("clay")
    garden.grow(tmp_path, soil=soil)
    garden.grow(tmp_path, soil=soil)
    assert len(garden.done) == 3
    soil.write_text("sand")
    garden.grow(tmp_path, soil=soil)
    assert len(garden.done) == 6


def test_a_failed_stage_is_done_again_and_those_before_it_are_not(tmp_path: Path):
    garden = Garden(broken="water")
    with pytest.raises(RuntimeError, match="frost"):
        garden.grow(tmp_path)
    garden.broken = ""
    garden.grow(tmp_path)
    assert garden.done == ["sow", "water", "water", "harvest"]


def test_a_stage_before_its_time_names_what_is_missing(tmp_path: Path):
    with pytest.raises(RunError, match="stage=harvest needs sow, which is not finished"):
        Garden().grow(tmp_path, wanted=("harvest",))


def test_fingerprints_depend_on_what_decides_and_on_the_stages_before():
    one, other = (stage_fingerprints(GardenConfig(litres=litres), DECIDES) for litres in (1, 2))
    assert one["sow"] == other["sow"]
    assert one["water"] != other["water"]
    assert one["harvest"] != other["harvest"]
