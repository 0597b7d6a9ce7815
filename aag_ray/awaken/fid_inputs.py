"""What a Fusion-in-Decoder reader is shown: FiD's wording, and examples of every way to read a question.

The wording is that of the released FiD readers (Izacard and Grave 2021, arXiv 2007.01282), so that they can be read with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aag_ray import prompts
from aag_ray.config import FidReaderSection, HypernetworkSection
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
    section says; questions whose document failed are left out where one is needed, and so are questions without passages
    where adapters are made from the best one. The teacher, if it is asked, reads `teacher_passages`. Elsewhere a question
    without passages is read closed book beside others that have some.

    Raises ValueError if no question has what the section or the teacher needs, saying what that is.
    """
    network = section.hypernetwork
    taught = section.distill.asks_teacher and teacher_passages > 0
    condition = network.condition if network is not None else "question"
    texts = {key: document.text for key, document in (documents or {}).items() if document.outcome is Outcome.OK}
    needs: dict[str, Callable[[Question], bool]] = {}
    if "document" in (section.reads, condition):
        needs["a document"] = lambda question: question.id in texts
    if section.reads == "gold":
        needs["a passage that holds an answer"] = lambda question: any(passage.has_answer for passage in question.contexts)
    if condition == "passage":
        needs["a passage"] = lambda question: bool(question.contexts)
    reading = f"reads={section.reads!r}" + (f" with hypernetwork.condition={condition!r}" if condition != "question" else "")
    readable = list(questions)
    for wanted, has in needs.items():
        readable = [question for question in readable if has(question)]
        if not readable:
            raise ValueError(f"none of {len(questions)} questions has {wanted}, which {reading} needs")
    if (section.reads == "passages" or taught) and not any(question.contexts for question in readable):
        needing = reading if section.reads == "passages" else "the teacher of distill"
        raise ValueError(f"none of {len(readable)} questions has a passage, which {needing} needs")
    passages = teacher_passages if taught else 0
    return [_example(question, section, texts.get(question.id), passages) for question in readable]


def _example(question: Question, section: FidReaderSection, document: str | None, teacher_passages: int) -> dict[str, Any]:
    taught = question.contexts[:teacher_passages]
    return {
        "id": question.id,
        "inputs": reader_inputs(question, section, document),
        "target": question.training_answer,
        "condition": _condition(question, section.hypernetwork, document) if section.hypernetwork is not None else None,
        "teacher_inputs": with_passages(question.question, taught) if taught else None,
    }


def _condition(question: Question, network: HypernetworkSection, document: str | None) -> str:
    """The text an adapter is made from: the reference's features context-0 (question), 1 (passage) and n (document)."""
    if network.condition == "question":
        return prompts.condition_prompt(question.question, None)
    best = prompts.passage_text(question.contexts[0]) if network.condition == "passage" else document
    return prompts.condition_prompt(question.question, best)
