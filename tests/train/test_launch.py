"""Ray Train and DeepSpeed for real: two workers on CPU, killed workers, killed drivers, repeats."""

import json
import logging
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ray.train import ControllerError, Result
from ray.train.torch import TorchTrainer

from aag_ray.artifacts import RunError
from aag_ray.config import ClusterSection
from aag_ray.train import launch
from aag_ray.train.engine import TrainingError
from aag_ray.train.launch import TrainingJob, train
from aag_ray.train.log import read_log
from aag_ray.train.loop import run


def losses(folder):
    lines = read_log(folder / "log.jsonl")
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


@pytest.fixture
def job(tmp_path, regression, rows, dev_rows, training):
    for name, examples in (("train", rows), ("dev", dev_rows)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(example) + "\n" for example in examples))
    return TrainingJob(
        build=regression,
        build_arguments={},
        train=tmp_path / "train.jsonl",
        dev=tmp_path / "dev.jsonl",
        training=training,
        cluster=ClusterSection(workers=2, cpus_per_worker=1, zero_stage=1),
        seed=1,
        folder=tmp_path / "stage",
    )


@pytest.fixture
def undisturbed(tmp_path, regression, rows, dev_rows, training):
    """What one process with plain PyTorch makes of the same job."""
    metrics = run(regression(), rows, dev_rows, training, seed=1, folder=tmp_path / "undisturbed", show=lambda _: None)
    return metrics, losses(tmp_path / "undisturbed")


@pytest.fixture(scope="module")
def cluster(regression):
    import ray
    from ray import cloudpickle

    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:
        ray.init(
            "local", num_cpus=2, include_dashboard=False, _temp_dir=folder, log_to_driver=False, logging_level=logging.ERROR
        )
        # The objectives live in a conftest, which workers cannot import by name.
        cloudpickle.register_pickle_by_value(sys.modules[regression.__module__])
        yield ray
        ray.shutdown()


@pytest.mark.cluster
@pytest.mark.parametrize("zero_stage", [1, 3])
def test_a_killed_worker_is_replaced_and_the_curve_is_the_undisturbed_one(
    cluster, job, undisturbed, tmp_path, capfd, zero_stage
):
    section = job.cluster.model_copy(update={"zero_stage": zero_stage, "storage": tmp_path / "storage"})
    # Both workers count 2 micro-batches a step, so the first to reach the 13th kills itself in step 7.
    job = replace(job, cluster=section, build_arguments={"die_at": 13, "marker": str(tmp_path / "died")})
    metrics = train(job)
    expected, curve = undisturbed
    assert (tmp_path / "died").exists()
    assert losses(job.folder) == pytest.approx(curve, abs=1e-4)
    assert (metrics["restarts"], metrics["workers"], metrics["steps"]) == (1, 2, 12)
    for key in ("dev_score", "dev_step", "tokens", "loss_last", "trained_parameters"):
        assert metrics[key] == pytest.approx(expected[key], abs=1e-4)
    assert "step 12/12" in capfd.readouterr().err
    assert {path.name for path in job.folder.iterdir()} >= {"best", "last", "log.jsonl", "tensorboard", "metrics.json"}
    # Finished: the checkpoints are gone, and the same job again only reads its metrics.
    assert not list((tmp_path / "storage").glob("*/step-*"))
    began = (job.folder / "metrics.json").stat().st_mtime_ns
    assert train(job) == metrics
    assert (job.folder / "metrics.json").stat().st_mtime_ns == began
    with pytest.raises(TrainingError, match="holds a training with other data or settings"):
        train(replace(job, seed=2))


@pytest.mark.cluster
def test_a_loss_that_is_not_a_number_stops_at_once_with_its_examples(cluster, job):
    rows = [json.loads(line) for line in job.train.read_text().splitlines()]
    rows[7]["y"] = float("nan")
    job.train.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(TrainingError, match=r"loss is nan at step \d+; its batch holds examples .*'row-0-7'"):
        train(job)
    assert json.loads((job.folder / "starts.json").read_text()) == 1


@pytest.mark.cluster
def test_a_port_that_another_process_has_taken_is_no_reason_to_stop(cluster, job, monkeypatch):
    fit, tries = TorchTrainer.fit, []

    def taken_once(trainer: TorchTrainer) -> Result:
        tries.append(trainer)
        if len(tries) == 1:
            raise ControllerError(RuntimeError("The server socket has failed to bind. port: 35433, name: EADDRINUSE"))
        return fit(trainer)

    monkeypatch.setattr(TorchTrainer, "fit", taken_once)
    assert train(job)["steps"] == job.training.steps
    assert len(tries) == 2


@pytest.mark.parametrize(("reason", "tries"), [("EADDRINUSE", 3), ("no backend", 1)])
def test_a_training_that_ray_cannot_run_says_why(job, monkeypatch, reason, tries):
    begun = []

    def fails(trainer: TorchTrainer) -> Result:
        begun.append(trainer)
        raise ControllerError(RuntimeError(reason))

    monkeypatch.setattr(TorchTrainer, "fit", fails)
    monkeypatch.setattr(launch, "_warn_if_too_small", lambda _: None)  # it looks at Ray
    with pytest.raises(TrainingError, match=f"stage cannot go on: .*\n?{reason}"):
        train(job)
    assert len(begun) == tries


DRIVER = """
import sys, json, ray, pathlib
from importlib.util import module_from_spec, spec_from_file_location
from aag_ray.config import ClusterSection, TrainingSection
from aag_ray.train.launch import TrainingJob, train
name, file, root, training, address = sys.argv[1:]
spec = spec_from_file_location(name, file)
small = sys.modules[name] = module_from_spec(spec)
spec.loader.exec_module(small)
ray.init(address, log_to_driver=False)
ray.cloudpickle.register_pickle_by_value(small)
root, training = pathlib.Path(root), TrainingSection(**json.loads(training))
cluster = ClusterSection(workers=1, cpus_per_worker=1)
train(TrainingJob(small.Regression, {}, root / "train.jsonl", root / "dev.jsonl", training, cluster, 1, root / "stage"))
"""


@pytest.mark.cluster
def test_after_a_killed_driver_the_same_call_continues(cluster, job, regression, rows, dev_rows, tmp_path):
    training = job.training.model_copy(update={"steps": 300, "checkpoint_every": 20, "dev_every": 100})
    job = replace(job, training=training, cluster=ClusterSection(workers=1, cpus_per_worker=1))
    source = [regression.__module__, str(Path(__file__).with_name("conftest.py"))]
    address = cluster.get_runtime_context().gcs_address
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, *source, str(tmp_path), training.model_dump_json(), address])
    while not (job.folder / "checkpoints" / "latest").exists():
        assert driver.poll() is None, "the driver ended before its first checkpoint"
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    metrics = train(job)
    assert (metrics["restarts"], metrics["steps"]) == (1, 300)
    run(regression(), rows, dev_rows, training, seed=1, folder=tmp_path / "long", show=lambda _: None)
    assert losses(job.folder) == pytest.approx(losses(tmp_path / "long"), abs=1e-4)


def test_an_unusable_job_is_refused_before_ray_is_asked(job, tmp_path):
    with pytest.raises(TrainingError, match="no file of examples"):
        train(replace(job, dev=tmp_path / "absent.jsonl"))
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        train(replace(job, folder=tmp_path / "file" / "stage"))
