"""What a Fusion-in-Decoder reader is shown: FiD's wording, and examples of every way to read a question.

The wording is that of the released FiD readers (Izacard and Grave 2021, arXiv 2007.01282), so that they can be read with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aag_ray import prompts
from aag_ray.config import FidReaderSection
from aag_ray.records import Document, Outcome, Passage, Question


def closed_book(question: str) -> list[str]:
    """Zero passages: the question alone."""
    return [f"question: {question}"]


def with_passages(question: str, passages: Sequence[Passage]) -> list[str]:
    """One input for each passage; closed book where there is none."""
    return [f"question: {question} title: {p.title} context: {p.text}" for p in passages] or closed_book(question)


def with_document(question: str, document: str) -> list[str]:
    """One input: the question, and a dummy or compressed document in one line."""
    return [f"question: {question}\n{' '.join(document.split())}"]


def reader_inputs(question: Question, section: FidReaderSection, document: str | None) -> list[str]:
    """The inputs of one question as `section.reads` says. `document` is needed for reading one."""
    asked = question.question
    if section.reads == "document" and document is not None:
        return with_document(asked, document)
    if section.reads == "gold":
        return with_passages(asked, [passage for passage in question.contexts if passage.has_answer][:1])
    return with_passages(asked, question.contexts[: section.passages] if section.reads == "passages" else ())


def fid_examples(
    questions: Sequence[Question],
    section: FidReaderSection,
    documents: Mapping[str, Document] | None = None,
    teacher_passages: int = 0,
) -> list[dict[str, Any]]:
    """Examples for `FidObjective`. `documents` (by question id) are read, or adapters are made from them, or both, as the
    section says; questions whose document failed are left out where one is needed. The teacher, if it is asked, reads
    `teacher_passages`. A question without passages is read closed book beside others that have some.

    Raises ValueError if no question has what the section or the teacher needs, saying what that is.
    """
    network = section.hypernetwork
    taught = section.distill.asks_teacher and teacher_passages > 0
    in_condition = network is not None and network.condition == "document"
    needs = section.reads == "document" or in_condition
    texts = {key: document.text for key, document in (documents or {}).items() if document.outcome is Outcome.OK}
    readable = [question for question in questions if question.id in texts or not needs]
    if section.reads == "gold":
        readable = [question for question in readable if any(passage.has_answer for passage in question.contexts)]
    reading = f"reads={section.reads!r}" + (" with hypernetwork.condition='document'" if in_condition else "")
    if not readable:
        wanted = "a document" if needs else "a passage that holds an answer"
        raise ValueError(f"none of {len(questions)} questions has {wanted}, which {reading} needs")
    if (section.reads == "passages" or taught) and not any(question.contexts for question in readable):
        needing = reading if section.reads == "passages" else "the teacher of distill"
        raise ValueError(f"none of {len(readable)} questions has a passage, which {needing} needs")
    passages = teacher_passages if taught else 0
    return [_example(question, section, texts.get(question.id), in_condition, passages) for question in readable]


def _example(
    question: Question, section: FidReaderSection, document: str | None, in_condition: bool, teacher_passages: int
) -> dict[str, Any]:
    condition = prompts.condition_prompt(question.question, document if in_condition else None)
    taught = question.contexts[:teacher_passages]
    return {
        "id": question.id,
        "inputs": reader_inputs(question, section, document),
        "target": question.training_answer,
        "condition": condition if section.hypernetwork is not None else None,
        "teacher_inputs": with_passages(question.question, taught) if taught else None,
    }
