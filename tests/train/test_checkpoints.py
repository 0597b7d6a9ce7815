"""A checkpoint is complete or absent; a damaged one is passed over for the last good one."""

import multiprocessing
import os
import resource
import signal
from pathlib import Path

import pytest

from aag_ray.artifacts import RunError
from aag_ray.train.checkpoints import Checkpoints, only_writer
from aag_ray.train.engine import TorchEngine, TrainingError


class Shard(TorchEngine):
    """An engine whose state is a few bytes: what a checkpoint holds does not matter here."""

    def __init__(self, content: bytes = b"weights", die: bool = False) -> None:
        self.content, self.die = content, die

    def save(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "state.pt").write_bytes(self.content)
        if self.die:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def two(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (10, 20):
        checkpoints.save(step, {"step": step, "best_score": 0.5}, Shard())
    return checkpoints


def test_the_newest_checkpoint_comes_back_with_its_state(two):
    newest = two.newest()
    assert (newest.step, newest.state) == (20, {"step": 20, "best_score": 0.5})
    assert (newest.folder / "state.pt").read_bytes() == b"weights"
    assert (two.folder / "latest").read_text() == newest.folder.name


def test_only_the_newest_two_stay(two):
    two.save(30, {}, Shard())
    assert sorted(path.name for path in two.folder.glob("step-*")) == ["step-00000020", "step-00000030"]


@pytest.mark.parametrize("damage", ["truncated", "changed", "missing", "no manifest", "torn manifest"])
def test_a_damaged_checkpoint_is_passed_over(two, damage):
    folder = two.newest().folder
    state, manifest = folder / "state.pt", folder / "manifest.json"
    if damage == "truncated":
        state.write_bytes(b"wei")
    elif damage == "changed":
        state.write_bytes(b"Weights")
    elif damage == "missing":
        state.unlink()
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text()[:40])
    warnings = []
    assert two.newest(warnings.append).step == 10
    assert str(folder) in warnings[0]
    two.save(20, {}, Shard(b"again"))
    assert two.newest(warnings.append).step == 20


def test_without_a_good_one_there_is_none(tmp_path, two):
    assert Checkpoints(tmp_path / "nothing").newest() is None
    for manifest in two.folder.glob("*/manifest.json"):
        manifest.unlink()
    assert two.newest(lambda _: None) is None


def test_a_kill_while_saving_leaves_the_older_ones(two):
    process = multiprocessing.get_context("fork").Process(target=two.save, args=(30, {}, Shard(die=True)))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert two.newest().step == 20
    two.save(40, {}, Shard())
    assert two.newest().step == 40
    assert not list(two.folder.glob(".writing-*"))


def test_a_full_disk_is_named_and_loses_nothing(two):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(RunError, match=r"cannot write the checkpoint of step 30"):
            two.save(30, {}, Shard(b"x" * 10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert two.newest().step == 20


def test_two_trainings_cannot_write_one_folder(tmp_path):
    with (
        only_writer(tmp_path, Shard()),
        pytest.raises(TrainingError, match="another training is writing"),
        only_writer(tmp_path, Shard(), patience=0.0),
    ):
        pass
    with only_writer(tmp_path, Shard(), patience=0.0):
        pass
