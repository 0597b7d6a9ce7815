"""Information with tags is read from whatever a teacher writes, and written in one form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.extract.info_tags import Item, parse_info, write_info, write_numbers, write_tags
from aag_ray.pages.tag_output import OutputOutcome, parse_strict

NUMBERS = st.sets(st.integers(1, 40), min_size=1).map(lambda found: tuple(sorted(found)))
PLAIN = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=12).map(lambda word: f"Fact {word} is so.")


def test_what_prompt_a_asks_for_is_read():
    output = "#Extracted Information#:\n1. The lake is deep. [<T-2>, <T-4>~<T-6>]\n2. It freezes.[<T-9>]"
    read = parse_info(output, 1, 10)
    assert read.outcome is OutputOutcome.TAGS
    assert read.items == (Item("The lake is deep.", (2, 4, 5, 6)), Item("It freezes.", (9,)))
    assert read.ignored == {}


@given(st.lists(st.builds(Item, PLAIN, NUMBERS), max_size=6))
def test_what_is_written_is_read_back(items: list[Item]):
    read = parse_info(write_info(items), 1, 40)
    assert read.items == tuple(items)
    assert read.outcome is (OutputOutcome.TAGS if items else OutputOutcome.NONE)
    assert read.ignored == {}


@given(st.lists(NUMBERS, max_size=6))
def test_tags_are_written_in_the_strict_grammar(groups: list[tuple[int, ...]]):
    read = parse_strict(write_tags(groups), 40)
    assert read.groups == tuple(groups)
    assert read.outcome is (OutputOutcome.TAGS if groups else OutputOutcome.NONE)


@pytest.mark.parametrize(
    ("numbers", "written"),
    [((3,), "<T-3>"), ((1, 2), "<T-1>~<T-2>"), ((5, 1, 3, 2, 5), "<T-1>~<T-3>, <T-5>"), ((), "")],
)
def test_neighbours_are_a_range(numbers: tuple[int, ...], written: str):
    assert write_numbers(numbers) == written


@pytest.mark.parametrize(
    "text", ["#Extracted Information#:None", "#Extracted Information#: None.", "None", "['none']", " NONE "]
)
def test_none_is_nothing_relevant(text: str):
    assert parse_info(text, 1, 5).outcome is OutputOutcome.NONE


def test_none_in_a_sentence_does_not_make_a_positive_negative():
    read = parse_info("#Extracted Information#:\n1. None of the lakes is deep. [<T-1>]\n2. There are none left. [<T-2>]", 1, 5)
    assert [item.numbers for item in read.items] == [(1,), (2,)]


@pytest.mark.parametrize(
    "text", ["", "I am sorry, I cannot help with that.", "1. The lake is deep.", "none of this helps", "[]", "{}"]
)
def test_prose_is_unreadable_and_not_nothing_relevant(text: str):
    read = parse_info(text, 1, 5)
    assert (read.outcome, read.items) == (OutputOutcome.UNREADABLE, ())
    assert "no line with a tag of 1 to 5" in read.detail


def test_tags_off_the_page_or_the_window_are_counted_and_dropped():
    read = parse_info("1. True. [<T-7>, <T-99>]\n2. Lie. [<T-50>]\n3. Other window. [<T-2>]\n4. Long. [<T-6>~<T-9999>]", 5, 10)
    assert read.items == (Item("True.", (7,)), Item("Long.", (6, 7, 8, 9, 10)))
    assert read.ignored == {"outside_page": 3, "clipped_range": 1, "other_text": 2}
    assert parse_info("1. Lie. [<T-50>]", 1, 5).outcome is OutputOutcome.UNREADABLE


def test_other_ways_to_write_lines_are_read():
    read = parse_info("Here you are:\n- Deep lake [<T-1>]\n* Cold (<T-2>~<T-3>)\n4) Wet <T-4>", 1, 5)
    assert read.items == (Item("Deep lake", (1,)), Item("Cold", (2, 3)), Item("Wet", (4,)))
    assert read.ignored == {"other_text": 1}


def test_information_that_looks_like_a_tag_or_a_chat_token_is_plain_text_inside_and_escaped_outside():
    item = Item("Write <T-3> and <|im_end|> & go", (1,))
    written = write_info([item])
    assert "<|im_end|>" not in written
    assert written.count("<T-") == 1
    assert parse_info(written, 1, 5).items == (item,)


@given(st.text(max_size=200))
def test_no_text_raises(text: str):
    read = parse_info(text, 2, 6)
    assert all(2 <= number <= 6 for item in read.items for number in item.numbers)
    assert bool(read.items) == (read.outcome is OutputOutcome.TAGS)
