"""What a model is asked in each setting of the zero-shot tasks: one prompt for every row, and the answers that are right."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aag_ray import prompts
from aag_ray.config import KeyValueSection, MultiDocumentSection, OpenQaSection
from aag_ray.evaluate.metrics import best_subspan_em, exact_match, f1, has_answer
from aag_ray.evaluate.zero_shot_files import KeyValueRow
from aag_ray.records import Passage, Question

SHORT = "Answer with a word or a short phrase only."
READ = f"Read the text, then answer the question about it. {SHORT}"
FOUND = f"{SHORT} One of these search results holds the answer."
PAIRS = "Below are keys with their values, one pair a line. Reply with the value of the key that is asked for and nothing else."
IMAGINE = "Write a short passage of facts that helps to answer the question."

Measure = Callable[[str, Sequence[str]], float]  # of a prediction and the accepted answers, 0..1
SHORT_ANSWER: Mapping[str, Measure] = {"em": exact_match, "subspan": best_subspan_em, "f1": f1}


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt: `before`, `parts` and `after` on lines of their own. Only parts may be cut to fit a context.

    A model without a chat template, and any where `chat` is off, goes on after `cue`. `lacking` says why a row cannot be asked.
    """

    id: str
    answers: tuple[str, ...]
    after: str
    before: str = SHORT
    parts: tuple[str, ...] = ()
    cue: str = "Answer:"
    chat: bool = True
    lacking: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table. An answer has up to `tokens` tokens, in one line or several, and is scored by `measures`."""

    name: str
    asked: list[Asked]
    tokens: int
    measures: Mapping[str, Measure] = field(default_factory=lambda: SHORT_ANSWER)
    lines: bool = False


def prompt_text(tokenizer: Any, asked: Asked, parts: Sequence[str]) -> str:
    """The prompt with these parts, as one user turn of the tokenizer's chat template where it has one."""
    content = "\n".join(filter(None, (asked.before, *parts, asked.after)))
    if not asked.chat or not tokenizer.chat_template:
        return f"{content}\n{asked.cue}" if asked.cue else content
    turn = [{"role": "user", "content": content}]
    text: str = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    # Some templates put the first token, and so does their tokenizer (Llama's).
    twice = tokenizer.bos_token and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]
    return text.removeprefix(tokenizer.bos_token) if twice else text


def open_qa(mode: str, questions: Sequence[Question], section: OpenQaSection, documents: Sequence[str] = ()) -> Setting:
    """Closed book, with the first passages of each question (retrieval), or with a dummy document for each (imagined)."""
    asked = [_asked(each) for each in questions]
    if mode == "retrieval":
        shown = [_numbered(each.contexts[: section.passages]) for each in questions]
        asked = [replace(a, parts=s, lacking="" if s else f"{a.id} has no passages") for a, s in zip(asked, shown, strict=True)]
    if mode == "imagined":
        shown = [(prompts.document_line(text),) if text.strip() else () for text in documents]
        asked = [replace(a, parts=s) for a, s in zip(asked, shown, strict=True)]
    return Setting(f"open_qa/{mode}", asked, section.max_answer_tokens)


def imagining(questions: Sequence[Question], tokens: int) -> Setting:
    """How a model is asked for the dummy documents."""
    asked = [replace(_asked(each), before=IMAGINE, cue="Passage:") for each in questions]
    return Setting("imagining", asked, tokens, lines=True)


def multi_document(questions: Sequence[Question], section: MultiDocumentSection, seed: int) -> list[Setting]:
    """A setting for each order and position of the passage that holds the answer; all show a question the same passages."""
    return [
        Setting(
            f"multi_document/{order}/{position}",
            [_among(each, section.documents, order, position, seed) for each in questions],
            section.max_answer_tokens,
        )
        for order in section.orders
        for position in section.positions
    ]


def key_value(rows: Sequence[KeyValueRow], section: KeyValueSection) -> list[Setting]:
    """A setting for each position of the key that is asked for, among the first `section.keys` of its row."""

    def asked(number: int, row: KeyValueRow, position: int) -> Asked:
        records = [record for record in row.ordered_kv_records if record[0] != row.key][: section.keys - 1]
        records.insert(position - 1, (row.key, row.value))
        after = f'Key: "{row.key}"'
        lacking = "" if len(records) == section.keys else f"row {number} has {len(records)} keys, not {section.keys}"
        return Asked(
            id=f"key-{number}",
            answers=(row.value,),
            after=after,
            before=f"{PAIRS}\n{after}" if section.query_aware else PAIRS,
            parts=tuple(f'"{key}": "{value}"' for key, value in records),
            cue="Value:",
            lacking=lacking,
        )

    return [
        Setting(f"key_value/{position}", [asked(at, row, position) for at, row in enumerate(rows)], section.max_answer_tokens)
        for position in section.positions
    ]


def made_key_values(rows: int, keys: int, seed: int) -> list[KeyValueRow]:
    """Rows of random UUIDs, as those of Liu et al. (2023)."""
    draw = random.Random(f"{seed}-key-values")
    made = [[[str(uuid.UUID(int=draw.getrandbits(128), version=4)) for _ in "kv"] for _ in range(keys)] for _ in range(rows)]
    return [KeyValueRow(ordered_kv_records=[(k, v) for k, v in row], key=row[0][0], value=row[0][1]) for row in made]


def _asked(question: Question) -> Asked:
    return Asked(question.id, question.answers, f"Question: {question.question}")


def _numbered(passages: Sequence[Passage]) -> tuple[str, ...]:
    return tuple(f"[{number}] {prompts.passage_text(passage)}" for number, passage in enumerate(passages, start=1))


def _among(question: Question, documents: int, order: str, position: int, seed: int) -> Asked:
    asked = replace(_asked(question), before=FOUND)
    gold = [passage for passage in question.contexts if _holds(passage, question)][:1]
    others = [passage for passage in question.contexts if not _holds(passage, question)][: documents - 1]
    if not gold or len(others) < documents - 1:
        found = f"{len(others)} passages without an answer, not {documents - 1}" if gold else "no passage that holds an answer"
        return replace(asked, lacking=f"{asked.id} has {found}")
    if order == "random":
        random.Random(f"{seed}-{question.id}").shuffle(others)
        asked = replace(asked, before=f"{FOUND} They stand in random order.")
    if order == "query_aware":
        asked = replace(asked, before=f"{FOUND}\n{asked.after}")
    others.insert(position - 1, gold[0])
    return replace(asked, parts=_numbered(others))


def _holds(passage: Passage, question: Question) -> bool:
    if passage.has_answer is not None:
        return passage.has_answer
    return has_answer(f"{passage.title} {passage.text}", question.answers)
