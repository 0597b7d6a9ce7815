"""Requests out of a log of what was asked: JSON lines, a window of time, and every line that could not be used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from aag_ray.qa_files import Refused


class RequestLogError(ValueError):
    """A log that cannot be read. The message names it."""


class LoggedPage(NamedTuple):
    """A page of a request: by its `place` alone, a URL or a file, or with its `text` of the `kind` html or text."""

    place: str
    text: str | None = None
    kind: Literal["html", "text"] = "text"


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A request with the number of its line, from 1, when it was made, and the pages that were read for it."""

    row: int
    time: datetime
    request: str
    pages: tuple[LoggedPage, ...] = ()


@dataclass(frozen=True, slots=True)
class MinedRequests:
    """The requests of a window, each text once, in the order of the log. `refused` lines tell why they are none.

    `outside` were made at another time, `without_search` did not lead to a search, `repeated` had been asked before.
    """

    path: str
    requests: tuple[LoggedRequest, ...]
    refused: tuple[Refused, ...]
    outside: int
    without_search: int
    repeated: int


def mine_requests(
    path: Path,
    start: datetime,
    end: datetime,
    *,
    request: str = "request",
    time: str = "timestamp",
    searched: str | None = None,
    pages: str | None = None,
) -> MinedRequests:
    """Requests made at `start` or later and before `end`, from the keys `request` and `time` of each line.

    Times are ISO 8601 with an offset, or seconds since 1970. If `searched` names a key, only lines where it is true count.
    If `pages` names one, its list of URLs, files and {"url", "html" or "text"} is kept; a line without it has no pages.
    Raises ValueError for a window without an offset or without length, RequestLogError for a file that cannot be read.
    """
    if start.tzinfo is None or end.tzinfo is None or start >= end:
        raise ValueError(f"start={start.isoformat()} must be before end={end.isoformat()}, both with an offset from UTC")
    found: dict[str, LoggedRequest] = {}
    refused: list[Refused] = []
    outside = without_search = repeated = 0
    for number, line in _lines(path):
        try:
            row = _object(line)
            made = _time(row, time)
            text = _text(row, request)
            wanted = searched is None or _flag(row, searched)
            read = () if pages is None else _pages(row, pages)
        except ValueError as error:
            refused.append(Refused(number, str(error)))
            continue
        if not start <= made < end:
            outside += 1
        elif not wanted:
            without_search += 1
        elif text in found:
            repeated += 1
        else:
            found[text] = LoggedRequest(number, made, text, read)
    return MinedRequests(str(path), tuple(found.values()), tuple(refused), outside, without_search, repeated)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())
    except OSError as error:
        raise RequestLogError(f"cannot read the request log {path}: {error.strerror or error}") from error


def _object(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON: {str(error)[:100]}") from None
    if not isinstance(row, dict):
        raise ValueError(f"a line must be a JSON object, not a {type(row).__name__}")
    return row


def _time(row: dict[str, Any], key: str) -> datetime:
    value = row.get(key)
    try:
        if isinstance(value, str):
            made = datetime.fromisoformat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            made = datetime.fromtimestamp(value, UTC)
        else:
            raise ValueError("it is missing" if value is None else f"it is a {type(value).__name__}")
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{key} must be ISO 8601 or seconds since 1970: {error}") from None
    if made.tzinfo is None:
        raise ValueError(f"{key}={value} has no offset from UTC")
    return made


def _text(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip() or not _storable(value):
        raise ValueError(f"{key} must be text, not {json.dumps(value, ensure_ascii=False)[:40]}")
    return value.strip()


def _pages(row: dict[str, Any], key: str) -> tuple[LoggedPage, ...]:
    value = row.get(key)
    if not isinstance(value, list | None):
        raise ValueError(f"{key} must be a list, not {json.dumps(value, ensure_ascii=False)[:40]}")
    return tuple(_page(each, f"{key}[{at}]") for at, each in enumerate(value or ()))


def _page(value: Any, name: str) -> LoggedPage:
    if isinstance(value, str) and value.strip():
        return LoggedPage(value.strip())
    given = value if isinstance(value, dict) else {}
    for kind in ("html", "text"):
        url, text = given.get("url"), given.get(kind)
        if set(given) == {"url", kind} and isinstance(url, str) and isinstance(text, str) and _storable(url + text):
            return LoggedPage(url, text, kind)
    raise ValueError(f'{name} must be a URL, a file or {{"url", "html" or "text"}}, all of them text')


def _storable(text: str) -> bool:
    """Without halves of surrogate pairs, which no file can hold."""
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def _flag(row: dict[str, Any], key: str) -> bool:
    value = row.get(key)
    if not isinstance(value, bool):
        raise ValueError(f"{key} must be true or false, not {json.dumps(value, ensure_ascii=False)[:40]}")
    return value
