"""What flows through aag-ray: questions, passages, documents, and the typed outcome of every stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

SPLITS = ("train", "dev", "test")


class Outcome(StrEnum):
    """How a stage ended for one row. Everything but OK says why there is no result."""

    OK = "ok"
    NO_PASSAGES = "no_passages"
    QUESTION_TOO_LONG = "question_too_long"
    EMPTY_RESULT = "empty_result"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved text. `score` is the retriever's; `has_answer` whether an accepted answer stands in it."""

    id: str
    title: str
    text: str
    score: float = 0.0
    has_answer: bool | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A question with every accepted answer and its retrieved passages, best first.

    `target` is the answer to train on where the data set names one (TriviaQA); otherwise any of `answers`.
    `entity`, `relation` and `kind` say what a question is about where the source knows it, else they are "".
    """

    id: str
    question: str
    answers: tuple[str, ...]
    contexts: tuple[Passage, ...] = ()
    target: str | None = None
    entity: str = ""
    relation: str = ""
    kind: str = ""

    @property
    def training_answer(self) -> str:
        return self.target if self.target is not None else self.answers[0]

    def answering(self, most: int) -> list[Passage]:
        """Those of the first `most` passages that hold an answer, and name what the question is about where that is known:
        what is said of something else may hold the same word by chance."""
        entity = self.entity.casefold()
        return [each for each in self.contexts[:most] if each.has_answer and entity in f"{each.title}: {each.text}".casefold()]

    def to_row(self) -> dict[str, Any]:
        """A plain mapping for a parquet table; the inverse of `from_row`."""
        row = asdict(self)
        row["answers"] = list(self.answers)
        row["contexts"] = [asdict(passage) for passage in self.contexts]
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Question:
        known = {name: row[name] for name in cls.__slots__ if name in row}
        known["answers"] = tuple(row["answers"])
        known["contexts"] = tuple(Passage(**passage) for passage in row.get("contexts", ()))
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Document:
    """A symbolic context for one question: compressed from passages, or written by the generator (a dummy document)."""

    id: str
    text: str
    outcome: Outcome = Outcome.OK
    detail: str = ""
    origin_tokens: int = 0
    tokens: int = 0

    def to_row(self) -> dict[str, Any]:
        return asdict(self) | {"outcome": self.outcome.value}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Document:
        known: dict[str, Any] = {name: row[name] for name in cls.__slots__ if name in row}
        known["outcome"] = Outcome(row["outcome"])
        return cls(**known)
