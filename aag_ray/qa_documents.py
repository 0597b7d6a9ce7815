"""Documents that question files bring along: what a generator wrote (`pred`) and compressed passages (`compressed_ctxs_5`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aag_ray.qa_files import QaFileError, default_id, file_rows
from aag_ray.records import Document, Outcome

# Characters of the instruction in front of the reference's compressed prompts, alone and with the label "Question: "
# (github.com/Xnhyacinth/IAG, data/data_interface.py): the reader is to see the passages only.
INSTRUCTION = (192, 202)


def read_documents(path: Path, column: str) -> dict[str, Document]:
    """The documents in a column of a question file, by the ids that `read_questions` gives the questions.

    A value is a text, or what llmlingua gives, {"compressed_prompt", "origin_tokens"?, "compressed_tokens"?}, of which
    instruction and question are left out. Rows without one are left out, and so are rows that are no questions' rows.
    Raises QaFileError for a file that cannot be read, a value that is neither, and a column without any document.
    """
    documents: dict[str, Document] = {}
    for number, row in file_rows(path):
        if not isinstance(row, dict) or (value := row.get(column)) is None:
            continue
        key = default_id(path, number) if row.get("id") is None else str(row["id"])
        held = value if isinstance(value, dict) else {"compressed_prompt": value}
        text = held.get("compressed_prompt")
        if not isinstance(text, str):
            told = 'allowed: text, or {"compressed_prompt": text, "origin_tokens"?, "compressed_tokens"?}'
            raise QaFileError(f"{path}, row {number}: {column} must be a document, not {value!r:.40}; {told}")
        text = _passages_of(text, str(row.get("question"))) if held is value else text.strip()
        outcome = Outcome.OK if text else Outcome.EMPTY_RESULT
        documents[key] = Document(key, text, outcome, "", _count(held, "origin_tokens"), _count(held, "compressed_tokens"))
    if not documents:
        raise QaFileError(f"{path}: no row has a document in a column {column!r}")
    return documents


def _passages_of(prompt: str, question: str) -> str:
    first, _, rest = prompt.partition("\n\n")
    kept = rest if rest and len(first) in INSTRUCTION else prompt
    return kept.strip().removesuffix(question.strip()).strip()


def _count(held: Mapping[str, Any], name: str) -> int:
    value = held.get(name)
    return value if isinstance(value, int) else 0
