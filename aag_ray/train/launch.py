"""Start a training on the cluster: `train(job)` returns its metrics, resumes what was interrupted, repeats nothing."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
import torch
from ray.train import ControllerError, FailureConfig, LoggingConfig, Result, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchTrainer, get_device

from aag_ray.artifacts import file_hash, fingerprint, write_json
from aag_ray.config import ClusterSection, TrainingSection
from aag_ray.llm.objective import Objective
from aag_ray.llm.recompute import recompute_activations
from aag_ray.train.engine import TrainingError
from aag_ray.train.log import ProgressLines, follow_log
from aag_ray.train.loop import METRICS, read_examples, run
from aag_ray.train.meters import TrainingMeters

IDENTITY = "training.json"
# Ray Train finds a free port for its workers to meet at; until they listen there another process may take it.
PORT_TAKEN = "EADDRINUSE"


@dataclass(frozen=True)
class TrainingJob:
    """What to train, on what, how and where.

    Every worker calls `build(**build_arguments, device=...)`, so `build` is a module-level function and its arguments
    are small (absolute paths, sections). `train` and `dev` are files of examples (JSON lines or parquet); they, `folder` and
    `cluster.storage`, where checkpoints go if it is set, must be visible to all workers under the same path.
    """

    build: Callable[..., Objective]
    build_arguments: dict[str, Any]
    train: Path
    dev: Path
    training: TrainingSection
    cluster: ClusterSection
    seed: int
    folder: Path

    @property
    def fingerprint(self) -> str:
        """Equal for jobs that would train the same thing; what a resume must agree on."""
        name = f"{self.build.__module__}.{self.build.__qualname__}"
        data = [file_hash(path) if path.is_file() else str(path) for path in (self.train, self.dev)]
        shape = [self.cluster.workers, self.cluster.zero_stage, self.cluster.offload, self.cluster.use_gpu]
        return fingerprint(name, self.build_arguments, data, self.training.model_dump(), shape, self.seed)


def train(job: TrainingJob) -> dict[str, Any]:
    """Train on the Ray cluster and return the metrics (also in folder/metrics.json, which makes a repeat a no-op).

    A killed worker is replaced up to `cluster.max_failures` times; after a killed driver, call again. Raises
    TrainingError for an unusable job, a loss that is not finite or too many failures, RunError for a folder that
    cannot be written.
    """
    # Workers have another current folder.
    job = replace(job, train=job.train.resolve(), dev=job.dev.resolve(), folder=job.folder.resolve())
    identity = _identify(job)
    if (job.folder / METRICS).exists():
        return json.loads((job.folder / METRICS).read_text())
    cluster = job.cluster
    checkpoints = cluster.storage.resolve() / identity if cluster.storage else job.folder / "checkpoints"
    # Ray looks at its workers this often: two seconds by default, which each training would lose at its end.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
    # It would start one more process to foresee what a resume survives anyway: a node that is taken away.
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    records = job.folder / "ray"
    _warn_if_too_small(cluster)
    with _progress(job):
        result = _fit(job, checkpoints, records)
    shutil.rmtree(records, ignore_errors=True)
    metrics = result.return_value or {"error": "Ray Train returned no result"}
    if "error" in metrics:
        raise TrainingError(metrics["error"])
    return metrics


def _fit(job: TrainingJob, checkpoints: Path, records: Path) -> Result:
    cluster, failed = job.cluster, ""
    for _ in range(1 + cluster.max_failures):
        trainer = TorchTrainer(
            worker_loop,
            train_loop_config={"job": job, "checkpoints": checkpoints},
            scaling_config=ScalingConfig(
                num_workers=cluster.workers,
                use_gpu=cluster.use_gpu,
                resources_per_worker={"CPU": cluster.cpus_per_worker} | ({"GPU": 1} if cluster.use_gpu else {}),
            ),
            run_config=RunConfig(
                name=f"{job.folder.name}-{uuid.uuid4().hex[:8]}",
                storage_path=str(records),
                failure_config=FailureConfig(max_failures=cluster.max_failures),
                logging_config=LoggingConfig(log_level="WARNING"),
            ),
        )
        try:
            return trainer.fit()
        except ControllerError as error:
            failed = str(error)
            if PORT_TAKEN not in failed:
                break
        except TrainingFailedError as error:
            many = f"training {job.folder} failed more than {cluster.max_failures} times"
            raise TrainingError(f"{many}: {_causes(error)}") from error
    raise TrainingError(f"training {job.folder} cannot go on: {failed}")


def worker_loop(config: dict[str, Any]) -> dict[str, Any]:
    """What Ray Train runs on each worker: build the objective, train. {"error": message} says why a retry is useless."""
    job: TrainingJob = config["job"]
    if job.cluster.use_gpu:
        torch.cuda.set_device(get_device())
    # Ray exports OMP_NUM_THREADS for the process; the worker owns this many cores, so PyTorch uses them.
    torch.set_num_threads(job.cluster.cpus_per_worker)
    torch.manual_seed(job.seed)
    try:
        objective = job.build(**job.build_arguments, device=get_device() if job.cluster.use_gpu else torch.device("cpu"))
        if job.cluster.gradient_checkpointing:
            _save_memory(objective)
        return run(
            objective,
            read_examples(job.train),
            read_examples(job.dev),
            job.training,
            seed=job.seed,
            folder=job.folder,
            engine="deepspeed",
            zero_stage=job.cluster.zero_stage,
            offload=job.cluster.offload,
            checkpoints=config["checkpoints"],
            show=TrainingMeters(job.folder.name),  # the driver prints: it follows the log, and its last line comes last
        )
    except TrainingError as error:
        return {"error": str(error)}


def _save_memory(objective: Objective) -> None:
    if objective.loaded is None:
        raise TrainingError(f"gradient_checkpointing=true is for language models; {type(objective).__name__} trains none")
    try:
        recompute_activations(objective.loaded.model)
    except ValueError as error:
        raise TrainingError(str(error)) from error


def _identify(job: TrainingJob) -> str:
    """The id of the training in the folder, made if there is none. Refuses missing data and a folder of another job."""
    for path in (job.train, job.dev):
        if not path.exists():
            raise TrainingError(f"no file of examples {path}")
    file = job.folder / IDENTITY
    if not file.exists():
        write_json(file, {"id": uuid.uuid4().hex, "fingerprint": job.fingerprint})
    identity = json.loads(file.read_text())
    if identity["fingerprint"] != job.fingerprint:
        raise TrainingError(f"{job.folder} holds a training with other data or settings; delete it or train elsewhere")
    return identity["id"]


def _warn_if_too_small(cluster: ClusterSection) -> None:
    needed = {"CPU": cluster.workers * cluster.cpus_per_worker, "GPU": cluster.workers if cluster.use_gpu else 0}
    present = ray.cluster_resources()
    for name, amount in needed.items():
        if amount > present.get(name, 0):
            text = f"training needs {amount} {name}s ({cluster.workers} workers), the cluster has {present.get(name, 0):g}"
            print(f"{text}; waiting for more to join", file=sys.stderr, flush=True)


def _causes(error: TrainingFailedError) -> str:
    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    return "; ".join(f"worker {rank}: {failure}" for rank, failure in sorted(failures.items())) or str(error)


@contextmanager
def _progress(job: TrainingJob) -> Iterator[None]:
    """Print progress in this process, from the log that a worker writes."""
    show, done = ProgressLines(job.folder.name, job.training.steps), threading.Event()

    def follow() -> None:
        new_records = follow_log(job.folder / "log.jsonl")
        while not done.wait(1.0):
            show(next(new_records))
        show(next(new_records))

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        done.set()
        follower.join()
