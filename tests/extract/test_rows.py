"""Questions with pages in JSON lines: a line that cannot be used names its file, its row and what is allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aag_ray.extract.rows import RowsError, read_rows
from aag_ray.pages.page import PageOutcome

GOOD: dict[str, Any] = {"id": "a", "question": "Who?", "pages": [{"url": "u", "text": "One. Two."}]}


def written(folder: Path, *lines: Any) -> Path:
    path = folder / "rows.jsonl"
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"\n".join(texts) + b"\n")
    return path


def test_rows_come_in_order_with_their_pages_tagged(tmp_path: Path) -> None:
    html = {"id": 7, "question": "Was?", "pages": [{"html": "<p>Eins."}, {"url": "v", "html": ""}]}
    first, second = read_rows(written(tmp_path, b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), b"", html))
    assert (first.id, first.question, first.detail) == ("a", "Who?", "")
    assert [len(page.tagged.spans) for page in first.pages] == [2]
    assert second.id == "7"
    assert [page.outcome for page in second.pages] == [PageOutcome.OK, PageOutcome.EMPTY]


def test_a_row_without_an_id_is_named_by_its_line(tmp_path: Path) -> None:
    assert [row.id for row in read_rows(written(tmp_path, GOOD, {**GOOD, "id": "b"}, {"question": "x", "pages": []}))] == [
        "a", "b", "3",
    ]  # fmt: skip


BAD: list[tuple[Any, str]] = [
    (b"{", "not JSON"),
    (b'{"id": "\xff"}', "not UTF-8: byte 8 of the line is 0xff"),
    (b"[" * 100_000, "nested too deep"),
    ([], 'expected {"id", "question", "pages"'),
    ({**GOOD, "id": None}, "id must be text or a whole number, not NoneType"),
    ({**GOOD, "question": None}, "question must be text, not missing"),
    ({**GOOD, "question": 3}, "question must be text, not int"),
    ({**GOOD, "question": " ? "}, "the question ' ? ' holds no word"),
    (b'{"id": "a", "question": "x\\ud800", "pages": []}', "half of a surrogate pair"),
    ({"id": "a", "question": "x"}, "pages must be a list"),
    ({**GOOD, "pages": ["text"]}, 'pages[0] must hold either "html" or "text"'),
    ({**GOOD, "pages": [{"url": "u"}]}, 'pages[0] must hold either "html" or "text"'),
    ({**GOOD, "pages": [{"text": "a", "html": "b"}]}, 'pages[0] must hold either "html" or "text"'),
    ({**GOOD, "pages": [*GOOD["pages"], {"text": 3}]}, "pages[1].text must be text, not int"),
    ({**GOOD, "pages": [{"url": 3, "text": "x"}]}, "pages[0].url must be text, not int"),
]


@pytest.mark.parametrize(("line", "reason"), BAD, ids=[reason[:30] for _, reason in BAD])
def test_a_bad_line_is_a_row_with_its_reason_and_the_others_go_on(tmp_path: Path, line: Any, reason: str) -> None:
    path = written(tmp_path, GOOD, line, {**GOOD, "id": "c"})
    first, bad, last = read_rows(path)
    assert (first.id, last.id) == ("a", "c")
    assert not first.detail
    assert not last.detail
    assert bad.detail.startswith(f"{path}, row 2: ")
    assert reason in bad.detail


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RowsError, match=r"cannot read .*gone\.jsonl"):
        read_rows(tmp_path / "gone.jsonl")
    with pytest.raises(RowsError, match="cannot read"):
        read_rows(tmp_path)
