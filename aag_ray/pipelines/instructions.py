"""Instruction sets at scale: every request and page labelled by a teacher on a pool of actors, checked, and put together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aag_ray.artifacts import Manifest, Run, fingerprint
from aag_ray.config import BuildInstructionsConfig, InstructionsSection
from aag_ray.extract.instructions import InstructionRow, RowOutcome
from aag_ray.job import JobResult
from aag_ray.pipelines.ray_connection import connected
from aag_ray.pipelines.rows import ActorPool, Row, run_rows


def build_instructions(config: BuildInstructionsConfig) -> JobResult:
    """Build the set into the run's stage `instructions`, going on where a killed job stopped: no call is made twice."""
    section = config.instructions
    with Run.open((config.run.root / config.run.name).absolute(), fresh=config.run.fresh) as run, connected():
        stage, expected = run.stage("instructions"), fingerprint(config.model_dump(mode="json", exclude={"run"}))
        if not stage.is_complete(expected):
            folder = stage.start(expected)
            stage.commit(Manifest(stage.name, expected, config.model_dump(mode="json"), _build(config, section, folder)))
        manifest = stage.manifest
        return JobResult(manifest.metrics if manifest else {}, {stage.name: str(stage.folder)})


def _build(config: BuildInstructionsConfig, section: InstructionsSection, folder: Path) -> dict[str, Any]:
    from aag_ray.extract.instruction_files import write_set
    from aag_ray.extract.instruction_set import construct

    rows, refused = requests(config)
    print(f"{len(rows)} windows of pages to label, teacher {section.teacher}", flush=True)
    pool = ActorPool(section.batch, section.actors, section.cpus_per_actor, section.gpus_per_actor)
    done = run_rows(
        [row.to_row() for row in rows],
        TeacherWorker,
        {"section": section},
        folder,
        failed=_failed,
        pool=pool,
        name="rows",
        stage="instructions",
    )
    labelled = [InstructionRow.from_row(row) for row in done]
    made = construct(labelled, negatives=section.negatives, seed=config.seed, similarity=section.similarity)
    write_set(folder, made)
    outcomes = dict(Counter(row.outcome.value for row in labelled))
    print(f"{len(made.instructions)} instructions of {made.counts['positives']} positive rows, {outcomes}", flush=True)
    return {**made.counts, "refused_rows": refused}


def requests(config: BuildInstructionsConfig) -> tuple[list[InstructionRow], int]:
    """A row for each window of each page: labelled already by gold, else waiting for a teacher. And how many were refused."""
    from aag_ray.extract.instructions import from_example, split_and_tag
    from aag_ray.extract.labelled import label_pages
    from aag_ray.extract.rows import read_rows
    from aag_ray.world.questions import load_splits

    section, count = config.instructions, _counter(config.instructions)
    refused = 0
    rows: list[InstructionRow] = []
    if section.rows is not None:
        for each in read_rows(section.rows):
            if each.detail:
                print(f"  refused: {each.detail}", flush=True)
                refused += 1
            for place, page in enumerate(each.pages):
                rows += split_and_tag(f"{each.id}/{place}", each.question, page.tagged.page, count, section.window_tokens)
        return rows, refused
    for split, questions in load_splits(config.data, config.seed)[0].items():
        for example in label_pages(questions, config.data, split, config.seed)[0]:
            if section.teacher == "gold":
                rows += from_example(example, count, section.window_tokens)
            else:
                rows += split_and_tag(example.id, example.question, example.page, count, section.window_tokens)
    return rows, refused


def _counter(section: InstructionsSection) -> Callable[[str], int]:
    from transformers import AutoTokenizer

    from aag_ray.llm.resolve import resolve_model

    tokenizer: Any = AutoTokenizer.from_pretrained(resolve_model(section.model.name))
    return lambda text: len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


class TeacherWorker:
    """Rows that wait in, rows that are labelled and checked out. Rows that are confirmed already pass."""

    def __init__(self, section: InstructionsSection) -> None:
        self._section = section
        self._local: Any = None
        if section.teacher == "local":
            from aag_ray.extract.teachers import LocalTeacher
            from aag_ray.llm.engine import TransformersEngine
            from aag_ray.llm.load import load_model

            self._local = LocalTeacher(TransformersEngine(load_model(section.model)), section.max_new_tokens)

    def __call__(self, rows: list[Row]) -> list[Row]:
        read = [InstructionRow.from_row(row) for row in rows]
        return [row.to_row() for row in asyncio.run(self._labelled(read))]

    async def _labelled(self, rows: list[InstructionRow]) -> list[InstructionRow]:
        if self._section.teacher == "gold":
            return rows
        if self._local is not None:
            return [await _taught(row, self._local) for row in rows]
        from aag_ray.extract.endpoint_teacher import Endpoint, EndpointTeacher

        assert self._section.endpoint is not None
        async with EndpointTeacher(Endpoint.of(self._section.endpoint)) as teacher:
            return list(await asyncio.gather(*(_taught(row, teacher) for row in rows)))


async def _taught(row: InstructionRow, teacher: Any) -> InstructionRow:
    from aag_ray.extract.instructions import double_check, extract_info

    return await double_check(await extract_info(row, teacher), teacher)


def _failed(row: Row, detail: str) -> Row:
    return row | {"outcome": RowOutcome.TEACHER_FAILED.value, "detail": detail}
