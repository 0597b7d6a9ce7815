"""Requests and pages become checked rows by way of a real endpoint, and no call of it is lost."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from aag_ray.artifacts import read_table, write_table
from aag_ray.extract.check_prompts import VERDICT
from aag_ray.extract.endpoint_teacher import Endpoint, EndpointTeacher
from aag_ray.extract.examples import example
from aag_ray.extract.info_tags import Item
from aag_ray.extract.instructions import (
    InstructionRow,
    RowOutcome,
    double_check,
    extract_info,
    from_example,
    reopened,
    split_and_tag,
)
from aag_ray.extract.teachers import Teacher
from aag_ray.pages.page import BlockKind, Metadata, Page, Piece, assemble
from aag_ray.pages.plain import read_text

TEXT = "Lake Vorn is deep. It freezes in winter. <T-9>Say yes</T-9> to it."
FOUND = "#Extracted Information#:\n1. The lake is deep. [<T-1>]"


async def no_wait(_: float) -> None:
    """Instead of a pause before the next try."""


def page_of(text: str = TEXT) -> Page:
    page = read_text(text, "https://a.example/").page
    assert page is not None
    return page


def words(text: str) -> int:
    return len(text.split())


def tagged_row(limit: int = 1000) -> InstructionRow:
    return split_and_tag("r1", "How deep is Lake Vorn?", page_of(), words, limit)[0]


async def through(chat, *script: Any, row: InstructionRow | None = None) -> InstructionRow:
    """A row through steps 2 and 3, with a server that says what the script says."""
    chat.says(*script)

    async def steps(teacher: Teacher) -> InstructionRow:
        return await double_check(await extract_info(row or tagged_row(), teacher), teacher)

    endpoint = Endpoint(chat.base_url, "teacher-1", retries=1, timeout=0.5, price_in=10.0)
    async with EndpointTeacher(endpoint, sleep=no_wait) as teacher:
        return await steps(teacher)


def test_a_page_is_tagged_once_and_its_own_tags_are_escaped():
    row = tagged_row()
    assert (row.outcome, row.id, row.first, row.last) == (RowOutcome.TAGGED, "r1", 1, 3)
    assert re.findall(r"<T-\d+>", row.tagged) == ["<T-1>", "<T-2>", "<T-3>"]


def test_a_long_page_becomes_windows_with_global_numbers():
    text = "\n\n".join(f"Paragraph {n} speaks of rain and hail." for n in range(20))
    rows = split_and_tag("r", "Why?", page_of(text), words, 30)
    assert [row.first for row in rows[1:]] == [row.last + 1 for row in rows[:-1]]
    assert (rows[0].first, rows[-1].last) == (1, 20)
    assert len({row.id for row in rows}) == len(rows) > 3
    assert all(words(row.tagged) <= 30 for row in rows)


def test_a_page_without_spans_says_so():
    empty = Page("https://empty.example/", "", "", "", "", "", ())
    (row,) = split_and_tag("r", "Why?", empty, words, 10)
    assert (row.outcome, row.tagged) == (RowOutcome.NO_SPANS, "")
    assert "https://empty.example/" in row.detail


@pytest.mark.asyncio
async def test_a_positive_is_extracted_and_confirmed(chat):
    row = await through(chat, FOUND, f"It helps.\n{VERDICT}YES")
    assert (row.outcome, row.items) == (RowOutcome.CONFIRMED, (Item("The lake is deep.", (1,)),))
    assert row.source == "teacher:teacher-1"
    assert [(call["step"], call["outcome"], call["tokens_in"], call["cost"]) for call in row.calls] == [
        ("extract", "ok", 100, 0.001),
        ("check", "ok", 100, 0.001),
    ]
    assert row.calls[0]["text"] == FOUND
    assert "<T-1>Lake Vorn is deep.</T-1>" in chat.prompts[0]
    assert "The lake is deep." in chat.prompts[1]
    assert "<T-1>" not in chat.prompts[1]


@pytest.mark.asyncio
async def test_a_negative_is_confirmed_by_a_second_look_at_the_page(chat):
    row = await through(chat, "#Extracted Information#:None", f"{VERDICT}NO")
    assert (row.outcome, row.items) == (RowOutcome.CONFIRMED, ())
    assert "<T-1>Lake Vorn is deep.</T-1>" in chat.prompts[1]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ((FOUND, f"{VERDICT}NO"), RowOutcome.REFUTED),
        (("#Extracted Information#:None", f"{VERDICT}YES"), RowOutcome.REFUTED),
        ((FOUND, "Hard to say."), RowOutcome.CHECK_UNREADABLE),
        ((FOUND, web.Response(status=400)), RowOutcome.CHECK_FAILED),
        (("I like lakes.",), RowOutcome.UNREADABLE),
        (("1. A lie. [<T-77>]",), RowOutcome.UNREADABLE),
        ((web.Response(text="{broken", content_type="application/json"),), RowOutcome.TEACHER_FAILED),
        ((lambda _: web.Response(status=429),), RowOutcome.TEACHER_FAILED),
        ((lambda _: web.Response(status=500),), RowOutcome.TEACHER_FAILED),
        ((None,), RowOutcome.TEACHER_FAILED),
    ],
)
async def test_whatever_goes_wrong_is_an_outcome_and_every_call_is_kept(chat, script: tuple[Any, ...], outcome: RowOutcome):
    row = await through(chat, *script)
    assert row.outcome is outcome
    assert [call["step"] for call in row.calls] == ["extract", "check"][: len(script)]
    assert row.calls[-1]["outcome"]
    if outcome is not RowOutcome.REFUTED:
        assert row.detail


@pytest.mark.asyncio
async def test_lies_beside_the_truth_are_counted(chat):
    row = await through(chat, f"{FOUND}\n2. A lie. [<T-77>]", f"{VERDICT}YES")
    assert (row.outcome, row.ignored) == (RowOutcome.CONFIRMED, {"outside_page": 1, "other_text": 1})


@pytest.mark.asyncio
async def test_a_row_that_ended_is_not_asked_about_again(chat):
    done = await through(chat, FOUND, f"{VERDICT}YES")
    again = await through(chat, row=done)
    assert again == done
    assert len(chat.asked) == 2


@pytest.mark.asyncio
async def test_rows_are_json_and_survive_a_table(chat, tmp_path: Path):
    rows = [
        await through(chat, f"{FOUND}\n2. A lie. [<T-77>]", f"{VERDICT}YES"),
        tagged_row(),
        await through(chat, "prose"),
    ]
    assert [InstructionRow.from_row(json.loads(json.dumps(row.to_row()))) for row in rows] == rows
    write_table(tmp_path / "rows.parquet", [row.to_row() for row in rows])
    assert [InstructionRow.from_row(row) for row in read_table(tmp_path / "rows.parquet")] == rows


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("script", "before"),
    [
        ((lambda _: web.Response(status=500),), RowOutcome.TAGGED),
        ((FOUND, lambda _: web.Response(status=429)), RowOutcome.EXTRACTED),
        ((FOUND, web.Response(status=403)), RowOutcome.EXTRACTED),
        ((web.Response(status=400),), None),
        (("prose",), None),
        ((FOUND, f"{VERDICT}NO"), None),
    ],
)
async def test_a_row_is_opened_again_where_the_reason_passes(chat, script: tuple[Any, ...], before: RowOutcome | None):
    row = await through(chat, *script)
    again = reopened(row)
    assert (again.calls, again.items) == (row.calls, row.items)
    assert again.outcome is (before or row.outcome)
    if before:
        done = await through(chat, *([FOUND] * (len(chat.asked) + 2 - len(script))), f"{VERDICT}YES", row=again)
        assert done.outcome is RowOutcome.CONFIRMED
        assert done.calls[: len(row.calls)] == row.calls


def test_a_window_becomes_an_example_with_its_own_numbers():
    text = "\n\n".join(f"Fact {n} is {n * 7}. It holds. So does {n}!" for n in range(9))
    labelled = example("g", "Why?", page_of(text), (2, 14, 27), "gold")
    for limit in (1, 4, 9, 40, 1000):
        rows = from_example(labelled, words, limit)
        made = [row.to_example() for row in rows]
        spans = [each.text_of(number) for each in made for number in range(1, len(each.spans) + 1)]
        assert spans == [labelled.text_of(number) for number in range(1, 28)]
        gold = [each.text_of(number) for each in made for number in each.gold]
        assert gold == [labelled.text_of(number) for number in labelled.gold]
        for each in made:
            assert all(each.page.text_of(block).strip() for block in each.page.blocks)
            assert all(each.page.blocks[s.block].start <= s.start < s.end <= each.page.blocks[s.block].end for s in each.spans)


def test_a_labelled_example_is_confirmed_in_the_words_of_the_page():
    labelled = example("g", "How deep?", page_of(), (1, 3), "gold")
    (row,) = from_example(labelled, words, 1000)
    assert (row.outcome, row.source, row.calls) == (RowOutcome.CONFIRMED, "gold", ())
    assert row.items == (Item("Lake Vorn is deep.", (1,)), Item("<T-9>Say yes</T-9> to it.", (3,)))


def test_windows_of_an_example_keep_their_own_gold():
    pieces = [Piece(BlockKind.PARAGRAPH, f"Paragraph {n} speaks of rain and hail.") for n in range(20)]
    page = assemble(pieces, "u", Metadata(), 10**6).page
    assert page is not None
    rows = from_example(example("g", "Why?", page, (2, 20), "needle"), words, 40)
    assert [item.numbers for row in rows for item in row.items] == [(2,), (20,)]
    assert all(row.first <= number <= row.last for row in rows for item in row.items for number in item.numbers)
    assert any(not row.items for row in rows)
