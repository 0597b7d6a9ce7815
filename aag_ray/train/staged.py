"""A job of several stages: each is a folder of the run, committed by its manifest, and redone when what decides it changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from aag_ray.artifacts import Manifest, Run, RunError, Stage, content_fingerprint
from aag_ray.config import JobConfig
from aag_ray.job import JobResult
from aag_ray.pipelines.ray_connection import connected

C = TypeVar("C", bound=JobConfig)
Work = Callable[[C, Run, Path], dict[str, Any]]


def stage_fingerprints(config: JobConfig, decides: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """By stage, a hash of every setting that its result depends on and of the files they name, through all stages before it."""
    values, prints, before = config.model_dump(), {}, ""
    for name, sections in decides.items():
        before = prints[name] = content_fingerprint(before, {section: values[section] for section in sections})
    return prints


def run_job_stages(config: C, stage: str, work: Mapping[str, Work[C]], decides: Mapping[str, Sequence[str]]) -> JobResult:
    """Do `stage`, or all of them, in the run that `config` names; their metrics and folders are the job's.

    Raises RunError if a single stage is asked for and one before it is missing.
    """
    wanted = tuple(decides) if stage == "all" else (stage,)
    with Run.open((config.run.root / config.run.name).absolute(), fresh=config.run.fresh) as run, connected():
        run_stages(config, run, work, decides, wanted)
        manifests = {name: run.stage(name).manifest for name in wanted}
        metrics = {name: manifest.metrics for name, manifest in manifests.items() if manifest is not None}
        return JobResult(metrics, {name: str(run.folder / name) for name in metrics})


def run_stages(
    config: C,
    run: Run,
    work: Mapping[str, Work[C]],
    decides: Mapping[str, Sequence[str]],
    wanted: Sequence[str],
    before: Callable[[list[str]], None] = lambda rest: None,
) -> None:
    """Do the stages in `wanted` that are not finished, in order. `before` is told, at each, which are still to come.

    `decides` names, for every stage in order, the sections that decide what it makes. Raises RunError if one that is not
    wanted is missing before the first that is; what the work raises passes through.
    """
    prints = stage_fingerprints(config, decides)
    names = list(decides)
    for number, name in enumerate(names, start=1):
        stage = run.stage(name)
        if name in wanted:
            before([later for later in names[number - 1 :] if later in wanted])
            _run_stage(config, run, stage, work[name], prints[name], f"stage {number}/{len(names)} {name}")
        elif names.index(name) < names.index(wanted[0]) and not stage.is_complete(prints[name]):
            raise RunError(
                f"stage={wanted[0]} needs {name}, which is not finished in {run.folder} with these settings; "
                f"run stage={name} first, or stage=all"
            )


def _run_stage(config: C, run: Run, stage: Stage, work: Work[C], expected: str, title: str) -> None:
    if stage.is_complete(expected):
        print(f"{title}: finished before, kept", flush=True)
        return
    print(f"{title}: started", flush=True)
    began = time.monotonic()
    folder = stage.start(expected)
    metrics = work(config, run, folder)
    seconds = time.monotonic() - began
    stage.commit(Manifest(stage.name, expected, config.model_dump(mode="json"), metrics, seconds=seconds))
    print(f"{title}: done in {seconds:.0f} s", flush=True)
