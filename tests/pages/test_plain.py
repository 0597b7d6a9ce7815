"""Plain text to a page."""

from hypothesis import given
from hypothesis import strategies as st

from aag_ray.config import PagesSection
from aag_ray.pages.characters import visible
from aag_ray.pages.page import BlockKind, PageOutcome
from aag_ray.pages.plain import read_text


def blocks(text: str) -> list[tuple[str, str]]:
    page = read_text(text, "file:///a.txt").page
    return [] if page is None else [(block.kind.value, page.text_of(block)) for block in page.blocks]


@given(st.text())
def test_no_character_that_can_be_seen_is_lost(text: str):
    page = read_text(text).page
    assert "".join((page.text if page else "").split()) == "".join(visible(text).split())


def test_empty_lines_part_paragraphs():
    assert blocks("One.\r\n\r\n \nTwo.") == [("paragraph", "One."), ("paragraph", "Two.")]


def test_wrapped_lines_are_joined_and_short_ones_stay_lines():
    wrapped = "A line that an author wrapped where the margin of the paper was,\nand its continuation."
    assert blocks(wrapped) == [("paragraph", wrapped.replace("\n", " "))]
    assert blocks("Street 1\nTown") == [("paragraph", "Street 1\nTown")]


def test_list_items_and_code():
    assert blocks("- one\n- two\n  more\n\n1. three") == [
        ("list_item", "- one"),
        ("list_item", "- two more"),
        ("list_item", "1. three"),
    ]
    assert blocks("Look:\n\n    x = 1\n      y\n") == [("paragraph", "Look:"), ("code", "    x = 1\n      y")]


def test_no_text_and_too_much_text():
    assert read_text(" \n\n").outcome is PageOutcome.EMPTY
    refused = read_text("x" * 11, "file:///a.txt", PagesSection(max_characters=10))
    assert refused.outcome is PageOutcome.TOO_LARGE
    assert "file:///a.txt" in refused.detail


def test_a_number_in_a_sentence_is_no_list():
    assert blocks("In\n2020. x") != []
    assert blocks("2020 was a year")[0][0] == BlockKind.PARAGRAPH
