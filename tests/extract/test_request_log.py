"""Requests are mined out of a log by time, and every line that is none is told with file and row."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from aag_ray.extract.request_log import RequestLogError, mine_requests

START, END = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC)


def log(folder: Path, *lines: Any) -> Path:
    path = folder / "requests.jsonl"
    encoded = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    path.write_bytes(b"\n".join(encoded))
    return path


def at(time: Any, request: Any = "How deep is it?", **more: Any) -> dict[str, Any]:
    return {"timestamp": time, "request": request, **more}


def test_the_window_includes_its_start_and_not_its_end(tmp_path: Path):
    path = log(
        tmp_path,
        at("2026-04-30T23:59:59.999Z", "before"),
        at("2026-05-01T00:00:00Z", "first"),
        at("2026-05-02T07:59:59+08:00", "last"),
        at("2026-05-02T00:00:00Z", "after"),
        at(START.timestamp() + 60.5, "in seconds"),
    )
    mined = mine_requests(path, START, END)
    assert [(each.row, each.request) for each in mined.requests] == [(2, "first"), (3, "last"), (5, "in seconds")]
    assert mined.requests[1].time == END - timedelta(seconds=1)
    assert (mined.outside, mined.refused, mined.path) == (2, (), str(path))


def test_a_window_in_another_zone_is_the_same_window(tmp_path: Path):
    path = log(tmp_path, at("2026-05-01T12:00:00Z"))
    east = timezone(timedelta(hours=8))
    assert mine_requests(path, START.astimezone(east), END.astimezone(east)).requests


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{broken", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        ([1], "not a list"),
        ({"request": "x"}, "timestamp must be ISO 8601 or seconds since 1970: it is missing"),
        (at("yesterday"), "timestamp must be"),
        (at("2026-05-01T00:00:00"), "no offset"),
        (at(True), "it is a bool"),
        (at(1e300), "timestamp must be"),
        (at("2026-05-01T00:00:00Z", ""), "request must be text"),
        (at("2026-05-01T00:00:00Z", None), "request must be text, not null"),
        (at("2026-05-01T00:00:00Z", ["x"]), "request must be text"),
        (at("2026-05-01T00:00:00Z", "\ud800"), "request must be text"),
        (at("2026-05-01T00:00:00Z", pages="https://a.example/"), "pages must be a list"),
        (at("2026-05-01T00:00:00Z", pages=["https://a.example/", 7]), r"pages[1] must be a URL"),
        (at("2026-05-01T00:00:00Z", pages=[{"url": "u", "text": "a", "html": "b"}]), r"pages[0] must be a URL"),
        (at("2026-05-01T00:00:00Z", pages=[{"url": "u", "text": "\udfff"}]), r"pages[0] must be a URL"),
    ],
)
def test_a_bad_line_is_refused_with_its_row_and_the_rest_is_kept(tmp_path: Path, line: Any, reason: str):
    mined = mine_requests(log(tmp_path, at("2026-05-01T01:00:00Z", "good"), b"", line), START, END, pages="pages")
    assert [each.request for each in mined.requests] == ["good"]
    assert [each.row for each in mined.refused] == [3]
    assert reason in mined.refused[0].reason


def test_only_requests_that_led_to_a_search_count_where_that_is_asked(tmp_path: Path):
    path = log(
        tmp_path,
        at("2026-05-01T01:00:00Z", "yes", rag_triggered=True),
        at("2026-05-01T01:00:00Z", "no", rag_triggered=False),
        at("2026-05-01T01:00:00Z", "unknown"),
    )
    mined = mine_requests(path, START, END, searched="rag_triggered")
    assert [each.request for each in mined.requests] == ["yes"]
    assert (mined.without_search, [each.row for each in mined.refused]) == (1, [3])
    assert len(mine_requests(path, START, END).requests) == 3


def test_pages_are_named_or_held_by_the_line(tmp_path: Path):
    pages = ["https://a.example/", "kept/b.html", {"url": "https://c.example/", "html": "<p>C"}, {"url": "d", "text": "D"}]
    path = log(tmp_path, at("2026-05-01T01:00:00Z", "with", pages=pages), at("2026-05-01T01:00:00Z", "without"))
    with_pages, without = mine_requests(path, START, END, pages="pages").requests
    assert [tuple(page) for page in with_pages.pages] == [
        ("https://a.example/", None, "text"),
        ("kept/b.html", None, "text"),
        ("https://c.example/", "<p>C", "html"),
        ("d", "D", "text"),
    ]
    assert without.pages == ()
    assert mine_requests(path, START, END).requests[0].pages == ()


def test_repeated_requests_are_taken_once_and_keys_can_be_named(tmp_path: Path):
    path = log(tmp_path, {"t": START.timestamp(), "q": " Why? "}, {"t": START.timestamp(), "q": "Why?"})
    mined = mine_requests(path, START, END, request="q", time="t")
    assert ([each.request for each in mined.requests], mined.repeated) == (["Why?"], 1)


def test_a_missing_log_and_an_empty_window_are_errors(tmp_path: Path):
    with pytest.raises(RequestLogError, match=r"nothing\.jsonl"):
        mine_requests(tmp_path / "nothing.jsonl", START, END)
    with pytest.raises(ValueError, match="must be before"):
        mine_requests(tmp_path / "x", END, START)
    with pytest.raises(ValueError, match="offset"):
        mine_requests(tmp_path / "x", datetime(2026, 5, 1), END)
