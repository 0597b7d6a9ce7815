"""The reader's training examples: which questions, read in which modes, distilled from which passages."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from heapq import heapify, heappop, heappush, heappushpop
from itertools import accumulate
from typing import Any

from aag_ray import prompts
from aag_ray.config import DistillSection, MixtureSection
from aag_ray.records import Document, Outcome, Question

CONDITION = "condition"


def split_by_entity(questions: Sequence[Question], first: int, seed: int) -> tuple[list[Question], list[Question]]:
    """About `first` questions and the rest, with no entity in both; both in the order given.

    The generator learns from the first part and writes documents for the second, so that the reader learns to trust
    dummy documents as much as they deserve on entities that the generator has never seen.
    """
    by_entity: dict[str, list[Question]] = {}
    for question in questions:
        by_entity.setdefault(question.entity or question.id, []).append(question)
    entities = sorted(by_entity)
    random.Random(f"{seed}-entities").shuffle(entities)
    chosen: set[str] = set()
    for entity in entities:
        if len(chosen) >= first:
            break
        chosen.update(question.id for question in by_entity[entity])
    return [q for q in questions if q.id in chosen], [q for q in questions if q.id not in chosen]


def mode_prompt(question: Question, mode: str, document: str | None, passages: int = 0) -> tuple[str, str | None]:
    """The prompt and the condition text (None: no adapter of its own) of a question read in one mode of the mixture."""
    asked = question.question
    in_parameters = prompts.condition_prompt(asked, document)
    modes: dict[str, tuple[str, str | None]] = {
        "nothing": (prompts.reader_prompt(asked), None),
        "document": (prompts.reader_prompt(asked, document=document), None),
        "passages": (prompts.reader_prompt(asked, passages=question.contexts[:passages]), None),
        "adapter_question": (prompts.reader_prompt(asked), prompts.condition_prompt(asked, None)),
        "adapter_document": (prompts.reader_prompt(asked), in_parameters),
        "adapter_both": (prompts.reader_prompt(asked, document=document), in_parameters),
    }
    return modes[mode]


def reader_examples(
    questions: Sequence[Question],
    documents: Mapping[str, Document],
    mixture: MixtureSection,
    distill: DistillSection,
    count: int,
    passages: int,
    seed: int,
) -> list[dict[str, Any]]:
    """`count` examples in the shares of the mixture. No question is used again while one that fits was used less often.

    Modes with a document draw from the questions that have one; a row with passages shows 1 to `passages` of them. A share
    `distill.share` of the rows without passages carries the teacher's prompt. Raises ValueError if no question fits a mode.
    """
    rng = random.Random(f"{seed}-mixture")
    readable = {key: document for key, document in documents.items() if document.outcome is Outcome.OK}
    deck = _Deck(questions, lambda question: question.id in readable, rng)
    shares = {mode: share for mode, share in mixture.model_dump().items() if share > 0}
    modes = [mode for mode, share in _exact_counts(shares, count).items() for _ in range(share)]
    rng.shuffle(modes)
    examples = []
    for number, mode in enumerate(modes):
        needs_document = mode in {"document", "adapter_document", "adapter_both"}
        question = deck.draw(documented=needs_document)
        text = readable[question.id].text if needs_document else None
        prompt, condition = mode_prompt(question, mode, text, rng.randint(1, passages))
        if mode == "adapter_document" and rng.random() < 0.5:  # so that a document alone can be internalised, too
            condition = prompts.condition_prompt(None, text)
        taught = distill.asks_teacher and mode != "passages" and bool(question.contexts) and rng.random() < distill.share
        teacher_prompt = prompts.reader_prompt(question.question, passages=question.contexts[:passages]) if taught else None
        examples.append(
            {
                "id": f"{question.id}#{number}",
                "mode": mode,
                "prompt": prompt,
                "target": prompts.answer_text(question.training_answer),
                CONDITION: condition,
                "teacher_prompt": teacher_prompt,
            }
        )
    return examples


def answer_examples(questions: Sequence[Question], passages: int = 0, seed: int = 0) -> list[dict[str, Any]]:
    """Question -> answer without a document: closed book, or with 1 to `passages` retrieved passages (the teacher)."""
    rng = random.Random(f"{seed}-answers")
    return [
        {
            "id": question.id,
            "prompt": prompts.reader_prompt(
                question.question, passages=question.contexts[: rng.randint(1, passages)] if passages else ()
            ),
            "target": prompts.answer_text(question.training_answer),
        }
        for question in questions
    ]


def generator_examples(questions: Sequence[Question], documents: Mapping[str, Document]) -> list[dict[str, Any]]:
    """Question -> compressed document (AAG, B.2), for the questions whose compression went well."""
    return [
        {
            "id": question.id,
            "prompt": prompts.generator_prompt(question.question),
            "target": prompts.document_text(documents[question.id].text),
        }
        for question in questions
        if question.id in documents and documents[question.id].outcome is Outcome.OK
    ]


class _Deck:
    """Questions to draw from at random: the least used first, among all or among those with a document."""

    def __init__(self, questions: Sequence[Question], documented: Callable[[Question], bool], rng: random.Random) -> None:
        self.questions, self.rng = questions, rng
        self.uses = [0] * len(questions)
        everyone = [(0, rng.random(), number) for number in range(len(questions))]
        self.piles = {False: everyone, True: [card for card in everyone if documented(questions[card[2]])]}
        for pile in self.piles.values():
            heapify(pile)

    def draw(self, *, documented: bool) -> Question:
        pile = self.piles[documented]
        if not pile:
            raise ValueError(f"the mixture asks for questions{' with a document' * documented}, but there is none")
        uses, _, number = heappop(pile)
        while uses < self.uses[number]:  # drawn from the other pile in the meantime
            uses, _, number = heappushpop(pile, (self.uses[number], self.rng.random(), number))
        self.uses[number] += 1
        heappush(pile, (self.uses[number], self.rng.random(), number))
        return self.questions[number]


def _exact_counts(shares: Mapping[str, float], count: int) -> dict[str, int]:
    """`count` divided in these shares: every part within one of its exact value, and all of them together `count`."""
    ends = [round(count * end / sum(shares.values())) for end in accumulate(shares.values())]
    return {mode: end - start for mode, start, end in zip(shares, [0, *ends], ends, strict=False)}
