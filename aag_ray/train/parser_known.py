"""What a model knows, asked closed book on a pool of actors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aag_ray.answer.parsing.examples import ParserExample, Recalled
from aag_ray.artifacts import fingerprint
from aag_ray.config import KnownSection, ModelSection
from aag_ray.pipelines.rows import ActorPool, Row, run_rows


class ClosedBookWorker:
    """Rows of questions in, rows of answers out. The model is loaded once, in the actor."""

    def __init__(self, model: ModelSection, section: KnownSection) -> None:
        from aag_ray.answer.parsing.recall import ClosedBook

        self._model = ClosedBook.load(model, section.awakening, section.answer_tokens, section.batch)

    def __call__(self, rows: list[Row]) -> list[Row]:
        recalled = self._model.recall([row["id"] for row in rows], [row["question"] for row in rows])
        return [each.to_row() for each in recalled]


def recall_all(
    examples: Sequence[ParserExample], model: ModelSection, section: KnownSection, folder: Path
) -> dict[str, Recalled]:
    """What the model answers to the question of each example, by its text, also as `folder/recalled.parquet`.

    Every question is asked once; a call that was interrupted goes on. Ray must be initialised.
    """
    texts = {fingerprint(example.question): example.question for example in examples}
    rows = [{"id": key, "question": text} for key, text in texts.items()]
    if section.awakening is not None:  # actors have another current folder
        section = section.model_copy(update={"awakening": section.awakening.absolute()})
    pool = ActorPool(section.batch, section.actors, section.cpus_per_actor, section.gpus_per_actor)
    arguments = {"model": model, "section": section}
    results = run_rows(rows, ClosedBookWorker, arguments, folder, failed=_failed, pool=pool, name="recalled")
    return {texts[row["id"]]: Recalled(**row) for row in results}


def _failed(row: Row, detail: str) -> Row:
    return Recalled(row["id"], "", 0.0, detail).to_row()
