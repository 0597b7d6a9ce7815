"""What a model is asked without any training: tasks, modes, and how an input that is too long for it is cut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from aag_ray.config.aag import WorldSection
from aag_ray.config.basics import JobConfig, ModelSection, Natural, Positive, RunSection
from aag_ray.settings import Section

Truncation = Literal["half", "random", "equal", "initial", "rear"]
LongTextMetric = Literal["f1", "character_f1", "rouge_l", "accuracy", "edit_similarity", "numbers"]


def _check_positions(positions: Sequence[int], most: int, name: str) -> None:
    if beyond := [position for position in positions if position > most]:
        raise ValueError(f"positions={list(positions)}: {beyond[0]} is beyond the last of {name}={most}")


class ZeroShotQuestionsSection(Section):
    """Questions in DPR/FiD, NQ-open, WebQ or TriviaQA form from `file`, or those of the embedded world's test split.

    `passages` is a pool ({"id", "title", "text"} a line) for questions that bring no passages of their own; `contexts` of them
    are retrieved. `published` says which of the paper's data sets `file` is, so that its figures stand beside.
    """

    file: Path | None = None
    passages: Path | None = None
    skip_bad: bool = False
    world: WorldSection = WorldSection(train_questions=1, dev_questions=1, test_questions=60)
    contexts: Positive = 20
    published: Literal["nq", "tqa", "wq"] | None = None


class OpenQaSection(Section):
    """The first `rows` questions in each of `modes`: nothing shown, the first `passages` passages, or a dummy document.

    The document is written by the model itself, in up to `max_document_tokens`, or by the generator of a trained run:
    `generator` is its folder (runs/embedded, or the folder of its model).
    """

    rows: Natural = 40
    modes: tuple[Literal["closed_book", "retrieval", "imagined"], ...] = ("closed_book", "retrieval", "imagined")
    passages: Positive = 5
    generator: Path | None = None
    max_document_tokens: Positive = 64
    max_answer_tokens: Positive = 32


class MultiDocumentSection(Section):
    """The first `rows` questions over `documents` passages, of which one, at each of `positions` (from 1), holds the answer.

    The others, the best without an answer, stand in the retriever's order (ranked) or in a random one, which the prompt then
    says; query_aware is ranked with the question before the passages as well (Liu et al. 2023, arXiv 2307.03172).
    """

    rows: Natural = 16
    documents: Positive = 5
    positions: tuple[Positive, ...] = (1, 3, 5)
    orders: tuple[Literal["ranked", "random", "query_aware"], ...] = ("ranked", "random", "query_aware")
    max_answer_tokens: Positive = 32

    @model_validator(mode="after")
    def positions_exist(self) -> MultiDocumentSection:
        _check_positions(self.positions, self.documents, "documents")
        return self


class KeyValueSection(Section):
    """The value of a key among `keys` random ones, the asked one at each of `positions` (from 1).

    `file` holds {"ordered_kv_records", "key", "value"} a line (arXiv 2307.03172); without one keys are made up.
    """

    rows: Natural = 8
    file: Path | None = None
    keys: Positive = 10
    positions: tuple[Positive, ...] = (1, 5, 10)
    query_aware: bool = False
    max_answer_tokens: Positive = 64

    @model_validator(mode="after")
    def positions_exist(self) -> KeyValueSection:
        _check_positions(self.positions, self.keys, "keys")
        return self


class LongTextSection(Section):
    """Rows of LongBench's form (arXiv 2308.14508) from `file`, the first `rows` of each data set in it; None is all.

    Each is asked and scored as LongBench does with its data set, those of other data sets by `metric`: short answers (f1, with
    EM), Chinese ones (character_f1), texts (rouge_l), one of the row's all_classes (accuracy), the next line of code
    (edit_similarity), or numbers. Without `metric` other data sets are refused.
    """

    file: Path | None = None
    rows: Positive | None = None
    metric: LongTextMetric | None = None


class EvaluateZeroShotConfig(JobConfig):
    """Everything `jobs/evaluate_zero_shot.py` can be told. A task with `rows=0` is left out.

    `context` is how many tokens the model reads and writes together (None: what its configuration says). Longer inputs lose
    passages' text, never the question: their middle (half), all but random pieces, what each passage has above an equal share,
    or all but the beginning (initial) or the end (rear). `batch_tokens` are the prompt tokens read at once.
    """

    run: RunSection = RunSection(name="zero_shot")
    seed: Natural = 29
    model: ModelSection = ModelSection()
    questions: ZeroShotQuestionsSection = ZeroShotQuestionsSection()
    open_qa: OpenQaSection = OpenQaSection()
    multi_document: MultiDocumentSection = MultiDocumentSection()
    key_value: KeyValueSection = KeyValueSection()
    long_text: LongTextSection = LongTextSection()
    truncation: Truncation = "half"
    context: Positive | None = None
    batch_tokens: Positive = 16384
    bootstrap_samples: Positive = 2000

    @model_validator(mode="after")
    def something_is_asked(self) -> EvaluateZeroShotConfig:
        open_qa = self.open_qa.rows and self.open_qa.modes
        if not (open_qa or self.multi_document.rows or self.key_value.rows or self.long_text.file):
            raise ValueError("nothing is asked: rows of open_qa, multi_document and key_value are 0, and long_text has no file")
        return self
