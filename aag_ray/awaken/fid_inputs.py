"""What a Fusion-in-Decoder reader is shown: FiD's wording, and examples of every way to read a question.

The wording is that of the released FiD readers (Izacard and Grave 2021, arXiv 2007.01282), so that they can be read with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aag_ray import prompts
from aag_ray.config import FidDistillSection, FidReaderSection
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
    `teacher_passages`.

    Raises ValueError if no question has what the section needs, saying what that is.
    """
    network = section.hypernetwork
    in_condition = network is not None and network.condition == "document"
    needs = section.reads == "document" or in_condition
    texts = {key: document.text for key, document in (documents or {}).items() if document.outcome is Outcome.OK}
    readable = [question for question in questions if question.id in texts or not needs]
    if section.reads == "gold":
        readable = [question for question in readable if any(passage.has_answer for passage in question.contexts)]
    if not readable:
        wanted = "a document" if needs else "a passage that holds an answer" if section.reads == "gold" else "anything"
        needing = f"reads={section.reads!r}" + (" with hypernetwork.condition='document'" if in_condition else "")
        raise ValueError(f"none of {len(questions)} questions has {wanted}, which {needing} needs")
    return [_example(question, section, texts.get(question.id), in_condition, teacher_passages) for question in readable]


def _example(
    question: Question, section: FidReaderSection, document: str | None, in_condition: bool, teacher_passages: int
) -> dict[str, Any]:
    distill: FidDistillSection = section.distill
    taught = distill.asks_teacher and teacher_passages > 0 and bool(question.contexts)
    condition = prompts.condition_prompt(question.question, document if in_condition else None)
    return {
        "id": question.id,
        "inputs": reader_inputs(question, section, document),
        "target": question.training_answer,
        "condition": condition if section.hypernetwork is not None else None,
        "teacher_inputs": with_passages(question.question, question.contexts[:teacher_passages]) if taught else None,
    }
