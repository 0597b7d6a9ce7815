"""Instruction sets at scale: every request and page labelled by a teacher on a pool of actors, checked, and put together.

Two stages: `labels`, which may be paid for and depends on nothing but what decides a label, and `instructions`, the set. The
labels are finished when no row waits any more; until then each call asks again for what failed for a reason that passes, and
makes the set of what there is.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aag_ray.artifacts import (
    Manifest,
    Run,
    RunError,
    Stage,
    content_fingerprint,
    file_hash,
    fingerprint,
    read_table,
    write_table,
)
from aag_ray.config import BuildInstructionsConfig, InstructionsSection
from aag_ray.extract.instruction_files import ROWS
from aag_ray.extract.instructions import InstructionRow, RowOutcome, reopened
from aag_ray.job import JobResult
from aag_ray.pipelines.instruction_requests import requests
from aag_ray.pipelines.ray_connection import connected
from aag_ray.pipelines.rows import ActorPool, run_rows
from aag_ray.pipelines.teacher_worker import TeacherWorker, failed

# Of the settings what changes no label: how fast, by how many, for how much, and what the set takes of them.
_HOW = {"batch", "actors", "cpus_per_actor", "gpus_per_actor", "negatives", "similarity"}
_HOW_ASKED = {"key_env", "timeout_seconds", "retries", "concurrency", "requests_per_minute", "price_in", "price_out"}


def build_instructions(config: BuildInstructionsConfig) -> JobResult:
    """Build the set in the run, going on where a killed job stopped: no call that was answered is made twice.

    Raises TeacherError for a teacher that cannot be asked, RunError if no row at all was confirmed.
    """
    with Run.open((config.run.root / config.run.name).absolute(), fresh=config.run.fresh) as run:
        labels, made = run.stage("labels"), run.stage("instructions")
        decides = labels_fingerprint(config)
        counts = _labelled(config, labels, decides)
        section = config.instructions
        kept = file_hash(labels.folder / ROWS)
        expected = fingerprint(decides, kept, config.seed, section.negatives, section.similarity)
        if not made.is_complete(expected):
            metrics = _built(config, labels.folder, made.start(expected), counts)
            made.commit(Manifest(made.name, expected, config.model_dump(mode="json"), metrics))
        manifest = made.manifest
        return JobResult(manifest.metrics if manifest else {}, {each.name: str(each.folder) for each in (labels, made)})


def labels_fingerprint(config: BuildInstructionsConfig) -> str:
    """Equal for settings and files that give the same labels, however fast and dear they are and whatever is made of them."""
    section = config.instructions
    settings = {"instructions": section.model_dump(exclude=dict.fromkeys(_HOW, True) | {"endpoint": _HOW_ASKED})}
    if section.rows is None and section.log is None:
        settings |= config.model_dump(include={"seed", "data"})
    if section.log is not None:
        settings |= {"guard": config.fetch.guard.model_dump()}
    return content_fingerprint(settings)


def _labelled(config: BuildInstructionsConfig, stage: Stage, decides: str) -> dict[str, Any]:
    """Put every row as it is now into the stage, and commit it if none waits any more. Returns counts of what was read."""
    if stage.is_complete(decides):
        manifest = stage.manifest
        return dict(manifest.metrics) if manifest else {}
    if config.instructions.endpoint is not None and config.instructions.teacher == "endpoint":
        from aag_ray.extract.endpoint_teacher import Endpoint, check_endpoint

        asyncio.run(check_endpoint(Endpoint.of(config.instructions.endpoint)))
    folder = stage.start(decides)
    fresh, counts = requests(config, folder)
    rows = _asked(config.instructions, fresh, folder)
    outcomes = dict(Counter(row.outcome.value for row in rows))
    counts["unanswered"] = sum(reopened(row).waits for row in rows)
    left = f"{counts['unanswered']} are asked again by the same command, what was answered is kept in {folder}"
    if RowOutcome.CONFIRMED.value not in outcomes:
        why = next((row.detail for row in rows if row.detail), "there is nothing to ask about")
        raise RunError(f"none of {len(rows)} rows was confirmed ({outcomes}), for example: {why}. {left}")
    print(f"{len(rows)} rows: {outcomes}; {left}", flush=True)
    if not counts["unanswered"]:
        stage.commit(Manifest(stage.name, decides, config.model_dump(mode="json"), counts))
    return counts


def _asked(section: InstructionsSection, rows: Sequence[InstructionRow], folder: Path) -> list[InstructionRow]:
    """The rows after one more round of asking for all that wait, which a killed call began or this one does."""
    table, begun = folder / ROWS, folder / "round"
    known = {row["id"]: row for row in (read_table(table) if table.exists() else [])}
    current = [InstructionRow.from_row(known[row.id]) if row.id in known else row for row in rows]
    waiting = [row for row in map(reopened, current) if row.waits]
    if waiting:
        print(f"{len(waiting)} of {len(rows)} windows of pages to label, teacher {section.teacher}", flush=True)
        pool = ActorPool(section.batch, section.actors, section.cpus_per_actor, section.gpus_per_actor)
        given, told = [row.to_row() for row in waiting], {"failed": failed, "pool": pool, "stage": "instructions"}
        with connected():
            done = run_rows(given, TeacherWorker, {"section": section}, begun, name="rows", **told)
        answered = {row["id"]: InstructionRow.from_row(row) for row in done}
        current = [answered.get(row.id, row) for row in current]
    write_table(table, [row.to_row() for row in current])
    shutil.rmtree(begun, ignore_errors=True)
    return current


def _built(config: BuildInstructionsConfig, labels: Path, folder: Path, counts: dict[str, Any]) -> dict[str, Any]:
    from aag_ray.extract.instruction_files import write_set
    from aag_ray.extract.instruction_set import construct

    section = config.instructions
    rows = [InstructionRow.from_row(row) for row in read_table(labels / ROWS)]
    made = construct(rows, negatives=section.negatives, seed=config.seed, similarity=section.similarity)
    made = made._replace(counts={**made.counts, **counts})
    write_set(folder, made)
    print(f"{len(made.instructions)} instructions of {made.counts['positives']} positive rows", flush=True)
    return dict(made.counts)
