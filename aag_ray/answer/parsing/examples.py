"""What one training or test request is, and what a parser should make of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from aag_ray.answer.request import AnswerRequest, Role, Turn
from aag_ray.evaluate.metrics import has_answer


class Need(StrEnum):
    """Where the label of a request comes from: MEASURED on the model's own answer, or in what is asked for.

    TIMELY and AFTER_CUTOFF always need the web, an ERRAND never does.
    """

    MEASURED = "measured"
    TIMELY = "timely"
    AFTER_CUTOFF = "after_cutoff"
    ERRAND = "errand"


@dataclass(frozen=True, slots=True)
class ParserExample:
    """A conversation (user and assistant in turn, the last is the user's), the question it comes to, and its keywords.

    `answers` are those accepted where the need is measured, else (). `new_wording` marks wordings that are kept out of
    training. `freshness` is "none" or a value of `Freshness`; `today` is the day of the request.
    """

    id: str
    need: Need
    language: str
    conversation: tuple[str, ...]
    question: str
    query: str
    today: date
    freshness: str = "none"
    answers: tuple[str, ...] = ()
    new_wording: bool = False

    @property
    def follow_up(self) -> bool:
        return len(self.conversation) > 1

    @property
    def searchable(self) -> bool:
        """Whether a search for it makes sense at all, needed or not."""
        return self.need is not Need.ERRAND

    @property
    def request(self) -> AnswerRequest:
        roles = (Role.USER, Role.ASSISTANT)
        return AnswerRequest(tuple(Turn(roles[number % 2], text) for number, text in enumerate(self.conversation)))

    @property
    def queries(self) -> list[dict[str, Any]]:
        return [{"q": self.query, "lang": self.language, "freshness": self.freshness}]

    def needs_web(self, answer: str) -> bool:
        """The label, from what the model answered without help: it needs the web for what it got wrong."""
        if self.need is Need.MEASURED:
            return not has_answer(answer, self.answers)
        return self.need is not Need.ERRAND

    def to_row(self) -> dict[str, Any]:
        """A plain mapping for a parquet table; the inverse of `from_row`."""
        conversation = json.dumps(self.conversation, ensure_ascii=False)
        changed = {"need": self.need.value, "conversation": conversation, "today": self.today.isoformat()}
        return asdict(self) | changed | {"answers": list(self.answers)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> ParserExample:
        known: dict[str, Any] = {name: row[name] for name in cls.__slots__}
        known["need"], known["today"] = Need(row["need"]), date.fromisoformat(row["today"])
        known["conversation"], known["answers"] = tuple(json.loads(row["conversation"])), tuple(row["answers"])
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Recalled:
    """What a model answered to a question without any source. `likelihood` (0..1) is the geometric mean of its tokens'
    probabilities, 0 where it answered nothing. `detail` says why there is no answer."""

    id: str
    answer: str
    likelihood: float
    detail: str = ""

    def to_row(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Labelled:
    """An example with its measured label. Where the model failed, nothing is known of what it knows: such rows are left out."""

    example: ParserExample
    needed: bool
    likelihood: float


def labelled(examples: Sequence[ParserExample], recalled: Mapping[str, Recalled]) -> list[Labelled]:
    """Examples with labels, in order. `recalled` holds what was answered, by the text of the question."""
    found = ((example, recalled[example.question]) for example in examples)
    return [
        Labelled(example, example.needs_web(recall.answer), recall.likelihood) for example, recall in found if not recall.detail
    ]
