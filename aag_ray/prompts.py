"""What is said to models. Every prompt of the project is built here, from plain strings.

The reader's prompts end in "Answer:" and its answers start with one space and end with a newline, so that one adapter
serves every mode and a base model can be prompted with the same lines. The generator's prompt follows AAG (B.2, paper).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aag_ray.records import Passage

ANSWER_END = "\n"
COMPRESSION_INSTRUCTION = (
    "Answer the question from the given search results alone. Some of them may not be relevant. Reply with the answer only."
)


def passage_text(passage: Passage) -> str:
    """A passage as it is compressed. Without FiD's "title:" and "context:" labels, which a perplexity filter keeps."""
    return f"{passage.title}: {passage.text}" if passage.title else passage.text


def reader_prompt(question: str, *, document: str | None = None, passages: Sequence[Passage] = ()) -> str:
    """Question with an optional document and any number of passages in front."""
    shown = passage_lines(passages) + (f"{document_line(document)}\n" if document is not None else "")
    return f"{shown}Question: {question}\nAnswer:"


def recital_question(begun: str, title: str) -> str:
    """Asks how a sentence goes on that a passage holds."""
    return f'What comes after "{begun}"{f" in the text about {title}" if title else ""}?'


def passage_lines(passages: Sequence[Passage]) -> str:
    """Passages with their numbers, a line each."""
    return "".join(f"[{number}] {passage_text(passage)}\n" for number, passage in enumerate(passages, start=1))


def document_line(document: str) -> str:
    """A document in one line, so that compressed text of several passages looks like what the generator writes."""
    return f"Document: {' '.join(document.split())}"


def answer_text(answer: str) -> str:
    """The text a reader is trained to continue its prompt with."""
    return f" {answer}{ANSWER_END}"


def answered(question: str, answer: str) -> str:
    """A question with its answer, as a reader's prompt and its continuation put them."""
    return f"Question: {question}\nAnswer: {answer}"


def few_shot_prompt(question: str, examples: Sequence[tuple[str, str]]) -> str:
    shots = "".join(f"{answered(asked, answer)}\n\n" for asked, answer in examples)
    return f"{shots}{reader_prompt(question)}"


def zero_shot_prompt(tokenizer: Any, question: str, document: str | None = None) -> str:
    """For a model that has seen no example: in its chat template where the tokenizer has one, else as plain text."""
    shown = f"{document_line(document)}\n" if document is not None else ""
    content = f"Answer with a word or a short phrase only.\n{shown}Question: {question}"
    if not tokenizer.chat_template:
        return f"{content}\nAnswer:"
    messages = [{"role": "user", "content": content}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def generator_prompt(question: str) -> str:
    return f"Imagine contexts based on the question.\nQuestion: {question}\nContexts:"


def document_text(document: str) -> str:
    """The text a generator is trained to continue its prompt with: one line."""
    return f" {' '.join(document.split())}{ANSWER_END}"


def condition_prompt(question: str | None, document: str | None) -> str:
    """What an adapter is made from. A document alone is what `internalize` reads."""
    lines = [document_line(document)] if document is not None else []
    if question is not None:
        lines.append(f"Question: {question}")
    return "\n".join(lines)
