"""Rows of an instruction set through a teacher, on an actor that asks one teacher as long as it lives."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext

from aag_ray.config import InstructionsSection
from aag_ray.extract.instructions import InstructionRow, RowOutcome, double_check, extract_info
from aag_ray.extract.teachers import Teacher
from aag_ray.pipelines.rows import Row


class TeacherWorker:
    """Rows that wait in, rows that are labelled and checked out. All workers together keep to the endpoint's limits."""

    def __init__(self, section: InstructionsSection) -> None:
        # One loop and one teacher for all batches: the teacher remembers when it may ask again.
        self._runner = asyncio.Runner()
        self._teacher = _teacher(section)

    def __call__(self, rows: list[Row]) -> list[Row]:
        read = [InstructionRow.from_row(row) for row in rows]
        return [row.to_row() for row in self._runner.run(self._labelled(read))]

    async def _labelled(self, rows: list[InstructionRow]) -> list[InstructionRow]:
        teacher = self._teacher
        opened = teacher if isinstance(teacher, AbstractAsyncContextManager) else nullcontext()
        async with opened:
            return list(await asyncio.gather(*(_taught(row, teacher) for row in rows)))


def failed(row: Row, detail: str) -> Row:
    """The row of which a worker died: what it waited for was not done."""
    extracted = row["outcome"] == RowOutcome.EXTRACTED.value
    outcome = RowOutcome.CHECK_FAILED if extracted else RowOutcome.TEACHER_FAILED
    return row | {"outcome": outcome.value, "detail": detail}


def _teacher(section: InstructionsSection) -> Teacher:
    if section.endpoint is not None and section.teacher == "endpoint":
        from aag_ray.extract.endpoint_teacher import Endpoint, EndpointTeacher

        return EndpointTeacher(Endpoint.of(section.endpoint).shared_by(section.actors))
    from aag_ray.extract.teachers import LocalTeacher
    from aag_ray.llm.engine import TransformersEngine
    from aag_ray.llm.load import load_model

    return LocalTeacher(TransformersEngine(load_model(section.model)), section.max_new_tokens)


async def _taught(row: InstructionRow, teacher: Teacher) -> InstructionRow:
    return await double_check(await extract_info(row, teacher), teacher)
