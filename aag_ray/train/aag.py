"""AAG from questions to a result table, stage by stage. Each stage is a folder of the run, committed by its manifest.

data -> compress -> generator -> predict -> hypernetwork -> evaluate
        (Ray Data)  (Ray Train)  (Ray Data)  (Ray Train)
"""

from __future__ import annotations

from typing import Any

from aag_ray.artifacts import Run
from aag_ray.config import STAGES, TrainAagConfig
from aag_ray.job import JobResult
from aag_ray.pipelines.ray_connection import connected
from aag_ray.records import SPLITS
from aag_ray.train import stages
from aag_ray.train.evaluation import also_questions, evaluate
from aag_ray.train.schedule import minutes_left, planned_work
from aag_ray.train.staged import Work, run_stages

WORK: dict[str, Work[TrainAagConfig]] = {
    "data": stages.data,
    "compress": stages.compress,
    "generator": stages.generator,
    "predict": stages.predict,
    "hypernetwork": stages.hypernetwork,
    "evaluate": evaluate,
}
# The sections that decide what a stage makes. A change in one redoes that stage and all that follow it.
DECIDES: dict[str, tuple[str, ...]] = {
    "data": ("seed", "data"),
    "compress": ("compress",),
    "generator": ("model", "generator"),
    "predict": ("predict",),
    "hypernetwork": ("teacher", "reader"),
    "evaluate": ("evaluate",),
}


def train_aag(config: TrainAagConfig) -> JobResult:
    """Run the stages that are not finished, on the Ray cluster this process is in, or on a Ray of its own.

    Raises RunError if a single stage is asked for and one before it is missing, QaFileError for a bad file in
    `evaluate.also`; what stages raise passes through.
    """
    also = sum(map(len, also_questions(config.evaluate).values()))  # now, not after days of training
    folder = (config.run.root / config.run.name).absolute()
    wanted = STAGES if config.stage == "all" else (config.stage,)
    with Run.open(folder, fresh=config.run.fresh) as run, connected():
        run_stages(config, run, WORK, DECIDES, wanted, lambda rest: _say_time_left(config, run, rest, also))
        return _result(run, wanted)


def _say_time_left(config: TrainAagConfig, run: Run, rest: list[str], also: int) -> None:
    data = run.stage("data").manifest
    if data is None:
        return
    sizes = [data.metrics["splits"][split]["questions"] for split in SPLITS]
    done = {name: m.seconds for name in STAGES if name not in rest and (m := run.stage(name).manifest) is not None}
    work, more = planned_work(config, *sizes), planned_work(config, 0, 0, also)
    work["evaluate"] += more["compress"] + more["predict"] + more["evaluate"]
    left = minutes_left(work, done, rest)
    if left is not None:
        print(f"about {left:.0f} min left", flush=True)


def _result(run: Run, wanted: tuple[str, ...]) -> JobResult:
    metrics: dict[str, Any] = {}
    artifacts: dict[str, str] = {}
    for name in wanted:
        manifest = run.stage(name).manifest
        if manifest is None:
            continue
        measured = dict(manifest.metrics)
        if name == "evaluate":
            also = {"also": measured.pop("also")} if "also" in measured else {}
            metrics |= {"test": measured} | also
        else:
            metrics[name] = measured
        artifacts |= {name: str(run.folder / name)}
    return JobResult(metrics, artifacts)
