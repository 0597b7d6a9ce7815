"""Question files in the public formats, checked row by row.

Read are a JSON list or JSON lines, plain or gzipped, told apart by content: DPR and FiD (`answers`, `ctxs`), NQ-open
(`answer`), WebQuestions (`answers`) and TriviaQA (`target`). Contexts come out best first whatever order the file has.
The same rows may stand in a parquet or Arrow file, or in a folder that `datasets` saved to disk (one split of it).
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from aag_ray.qa_tables import is_table, table_rows
from aag_ray.records import Passage, Question

SHOWN = 5
FORM = (
    'a row is {"question": text, "answers" (or "answer"): [text, ...], "id"?, "target"?, '
    '"ctxs"?: [{"text": text, "title"?, "id"?, "score"?: number, "hasanswer"?: true or false}, ...]}'
)


class QaFileError(ValueError):
    """A question file that cannot be used. The message names the file, the rows, the reasons and what is allowed."""


class _BadRow(ValueError):
    pass


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that was left out. `row` counts from 1: the line of a JSON-lines file, the item of a JSON list."""

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class QaFile:
    questions: list[Question]
    refused: list[Refused]


def read_questions(path: Path, *, skip_bad: bool = False) -> QaFile:
    """Read and check every row of a question file.

    A row without `id` gets "<file name>-<row index from 0>", a context without `score` 1 / (its index + 1).
    Raises QaFileError for a file that is missing, empty, damaged or of another kind, and for refused rows; with
    `skip_bad` those are left out and returned as `refused`, and only a file without one good row is an error.
    """
    questions: list[Question] = []
    refused: list[Refused] = []
    rows_by_id: dict[str, int] = {}
    for number, row in file_rows(path):
        try:
            question = _question(row, default_id(path, number))
            if question.id in rows_by_id:
                raise _BadRow(f"id {question.id!r} is the id of row {rows_by_id[question.id]} already")
        except _BadRow as error:
            refused.append(Refused(number, str(error)))
        else:
            rows_by_id[question.id] = number
            questions.append(question)
    if refused and not (skip_bad and questions):
        raise QaFileError(_explain(path, refused, len(questions)))
    if not questions:
        raise QaFileError(f"{path} holds no rows; {FORM}")
    return QaFile(questions, refused)


def default_id(path: Path, number: int) -> str:
    """The id of row `number`, counted from 1, that brings none."""
    return f"{path.name.removesuffix('.gz').rsplit('.', 1)[0]}-{number - 1}"


def read_passages(path: Path) -> list[Passage]:
    """A pool of passages, `{"text", "title"?, "id"?}` a row (DPR). Raises QaFileError naming the first row that is not one."""
    passages = []
    for number, row in file_rows(path):
        try:
            if isinstance(row, _BadRow):
                raise row
            passages.append(_passage(row, number - 1, path.name))
        except _BadRow as error:
            raise QaFileError(f'{path}, row {number}: {error}; allowed: {{"text": text, "title"?, "id"?}}') from None
    return passages


def _explain(path: Path, refused: list[Refused], good: int) -> str:
    lines = [f"{path}, row {bad.row}: {bad.reason}" for bad in refused[:SHOWN]]
    if len(refused) > SHOWN:
        lines.append(f"... and {len(refused) - SHOWN} more")
    lines.append(f"allowed: {FORM}")
    if good:
        lines.append(f"skip_bad=true goes on with the {good} good rows and without these {len(refused)}")
    return "\n".join(lines)


def file_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Number from 1 and value of each row; a line that is no JSON is an exception that says so.

    Raises QaFileError for a file that is missing, empty, damaged or of another kind.
    """
    if is_table(path):
        try:
            yield from enumerate(table_rows(path), start=1)
        except (ValueError, KeyError, OSError, pa.ArrowException) as error:
            raise QaFileError(f"cannot read the table {path}: {error}") from error
        return
    content = _content(path).removeprefix(b"\xef\xbb\xbf")
    start = content.lstrip()[:1]
    if not start:
        raise QaFileError(f"{path} is empty; {FORM}")
    if start == b"[":
        yield from enumerate(_json_list(path, content), start=1)
    elif start == b"{":
        for number, line in enumerate(content.split(b"\n"), start=1):
            if line.strip():
                yield number, _json_line(line)
    else:
        raise QaFileError(f"{path} is neither a JSON list nor JSON lines: it starts with {content[:16]!r}; {FORM}")


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except FileNotFoundError:
        raise QaFileError(f"no question file {path}") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise QaFileError(f"{path} is a damaged or cut-off gzip file: {error}") from error
    except OSError as error:
        raise QaFileError(f"cannot read {path}: {error.strerror or error}") from error


def _json_list(path: Path, content: bytes) -> list[Any]:
    try:
        return json.loads(content.decode())
    except UnicodeDecodeError as error:
        raise QaFileError(f"{path} is not UTF-8: byte {error.start} is {content[error.start]:#04x}") from error
    except ValueError as error:
        raise QaFileError(f"{path} is damaged or cut off, it is no whole JSON list: {error}") from error


def _json_line(line: bytes) -> Any:
    try:
        return json.loads(line.decode())
    except UnicodeDecodeError as error:
        return _BadRow(f"not UTF-8: byte {error.start} of the line is {line[error.start]:#04x}")
    except ValueError as error:
        return _BadRow(f"no whole JSON object on the line: {error}")


def _question(row: Any, default: str) -> Question:
    if isinstance(row, _BadRow):
        raise row
    if not isinstance(row, dict):
        raise _BadRow(f"a row must be an object, not {_shown(row)}")
    identity = _identity(row, default, "id")
    contexts = [_passage(context, index, identity) for index, context in enumerate(_list(row, "ctxs"))]
    target = row.get("target")
    return Question(
        id=identity,
        question=_text(row.get("question"), "question"),
        answers=_answers(row),
        contexts=tuple(sorted(contexts, key=lambda passage: -passage.score)),
        target=None if target is None else _text(target, "target"),
        **{key: row[key] for key in ("entity", "relation", "kind") if isinstance(row.get(key), str)},
    )


def _answers(row: Mapping[str, Any]) -> tuple[str, ...]:
    key = "answers" if "answers" in row else "answer"
    value = [row[key]] if isinstance(row.get(key), str) else _list(row, key)
    if not value:
        raise _BadRow("no answers")
    return tuple(_text(answer, f"{key}[{index}]") for index, answer in enumerate(value))


def _passage(context: Any, index: int, question: str) -> Passage:
    place = f"ctxs[{index}]"
    if not isinstance(context, dict):
        raise _BadRow(f"{place} must be an object, not {_shown(context)}")
    title = context.get("title")
    untitled = title is None or (isinstance(title, str) and not title.strip())
    has_answer = context.get("has_answer", context.get("hasanswer"))
    if has_answer is not None and not isinstance(has_answer, bool):
        raise _BadRow(f"{place}.hasanswer must be true or false, not {_shown(has_answer)}")
    return Passage(
        id=_identity(context, f"{question}-{index}", f"{place}.id"),
        title="" if untitled else _text(title, f"{place}.title"),
        text=_text(context.get("text"), f"{place}.text"),
        score=_score(context.get("score"), index, place),
        has_answer=has_answer,
    )


def _score(value: Any, index: int, place: str) -> float:
    if value is None:
        return 1.0 / (index + 1)
    try:
        score = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        score = math.nan
    if not math.isfinite(score):
        raise _BadRow(f"{place}.score must be a finite number, not {_shown(value)}")
    return score


def _identity(row: Mapping[str, Any], default: str, place: str) -> str:
    value = row.get("id")
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _BadRow(f"{place} must be text or a whole number, not {_shown(value)}")
    return _text(str(value), place)


def _list(row: Mapping[str, Any], key: str) -> list[Any]:
    value = row.get(key)
    if value is not None and not isinstance(value, list):
        raise _BadRow(f"{key} must be a list, not {_shown(value)}")
    return value or []


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        found = "nothing" if value is None else "empty text" if isinstance(value, str) else _shown(value)
        raise _BadRow(f"{place} must be text, not {found}")
    if not value.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in value):
        raise _BadRow(f"{place} holds half of a surrogate pair, which no file can store")
    return value


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:40]}..."
