"""Many questions with their pages in a file of JSON lines, checked line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aag_ray.extract.build import CleanedPage, tag_page
from aag_ray.extract.scoring import check_question

FORM = '{"id", "question", "pages": [{"url", "html" or "text"}]}'


class RowsError(ValueError):
    """The file cannot be read. The message names it."""


class _InvalidRow(ValueError):
    pass


@dataclass(frozen=True)
class Row:
    """One line of the input. `detail` says why it cannot be used; then there is no question."""

    id: str
    question: str = ""
    pages: tuple[CleanedPage, ...] = ()
    detail: str = ""


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSON-lines file, one after another. A line that cannot be used is a row with its reason.

    Ids default to the number of the line. Raises RowsError, before the first row, for a file that cannot be read.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise RowsError(f"cannot read {path}: {error.strerror or error}") from error

    def rows() -> Iterator[Row]:
        with file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _row(line.removeprefix(b"\xef\xbb\xbf"), f"{path}, row {number}", str(number))

    return rows()


def _row(line: bytes, place: str, default: str) -> Row:
    name = default
    try:
        value = json.loads(line.decode())
        if not isinstance(value, dict):
            raise _InvalidRow(f"expected {FORM}, found {type(value).__name__}")
        if isinstance(value.get("id"), int | str):
            name = _text(str(value["id"]), "id")
        elif "id" in value:
            raise _InvalidRow(f"id must be text or a whole number, not {type(value['id']).__name__}")
        question = _text(value.get("question"), "question")
        check_question(question)
        if not isinstance(value.get("pages"), list):
            raise _InvalidRow(f"pages must be a list; a row is {FORM}")
        return Row(name, question, tuple(_page(page, f"pages[{at}]") for at, page in enumerate(value["pages"])))
    except RecursionError:
        return Row(name, detail=f"{place}: not JSON that can be read: nested too deep")
    except UnicodeDecodeError as error:
        return Row(name, detail=f"{place}: not UTF-8: byte {error.start} of the line is {line[error.start]:#04x}")
    except json.JSONDecodeError as error:
        return Row(name, detail=f"{place}: not JSON ({error})")
    except ValueError as error:
        return Row(name, detail=f"{place}: {error}")


def _page(value: Any, place: str) -> CleanedPage:
    kinds = [kind for kind in ("html", "text") if isinstance(value, dict) and value.get(kind) is not None]
    if len(kinds) != 1:
        raise _InvalidRow(f'{place} must hold either "html" or "text"; a page is {{"url", "html" or "text"}}')
    url = _text(value.get("url", ""), f"{place}.url")
    text = value[kinds[0]]
    if not isinstance(text, str):
        raise _InvalidRow(f"{place}.{kinds[0]} must be text, not {type(text).__name__}")
    return tag_page(text, url, kind="html" if kinds == ["html"] else "text")


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise _InvalidRow(f"{name} must be text, not {'missing' if value is None else type(value).__name__}")
    if any("\ud800" <= sign <= "\udfff" for sign in value):
        raise _InvalidRow(f"{name} holds half of a surrogate pair, which no file can store")
    return value
