"""Addresses get out of an answer only if they are its sources', however the text is cut into pieces."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.answer.links import REMOVED, LinkFilter

ALLOWED = "https://source.test/page?a=1"
PIECES = st.lists(st.integers(1, 7), min_size=1, max_size=30)


def passed(text: str, sizes: list[int] | None = None) -> str:
    links, shown, place = LinkFilter({ALLOWED}), "", 0
    for size in sizes or [len(text) or 1]:
        shown += links.feed(text[place : place + size])
        place += size
    return shown + links.feed(text[place:]) + links.end()


@pytest.mark.parametrize(
    "text",
    [
        "![x](https://evil.test/?q=secret)",
        "see [a]( HTTP://evil.test/x )",
        "[a]: //evil.test/x",
        r"http:\\evil.test\x",
        "https:evil.test/secret",
        "<https://evil.test>",
        "ftp://evil.test/a",
        f"{ALLOWED}&more=secret",
        "看https://evil.test/秘密",
        "x" * 3000 + "https://evil.test/secret",
    ],
)
def test_others_are_removed(text: str):
    shown = passed(text)
    assert REMOVED in shown
    assert not re.search(r"(?:https?:|ftp:|/|\\)[/\\]*evil", shown, re.IGNORECASE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain text",
        f"see {ALLOWED}.",
        f"([1]({ALLOWED}))",
        "and/or",
        "a // b: c",
        "10:30",
        "http",
        "data: 5",
        "首都は東京です。",
    ],
)
def test_the_rest_passes_unchanged(text: str):
    assert passed(text) == text


@given(
    PIECES,
    st.sampled_from(
        ["a https://evil.test/x?y=1 b", f"a {ALLOWED}, b", "![](http://evil.test)", "首都は東京です http://evil.test/"]
    ),
)
def test_pieces_do_not_matter(sizes: list[int], text: str):
    assert passed(text, sizes) == passed(text)


@given(PIECES, st.text(alphabet="htps:/\\.evl 東\n", max_size=80))
def test_no_cut_lets_an_address_through(sizes: list[int], text: str):
    assert "http://" not in passed(text, sizes)


def test_scripts_without_spaces_are_shown_as_they_come():
    links = LinkFilter(())
    assert links.feed("首都は東") == "首都は東"


def test_words_are_shown_when_they_end_and_removals_are_counted():
    links = LinkFilter(())
    assert [links.feed("Li"), links.feed("ma "), links.feed("http://evil"), links.feed(".test")] == ["", "Lima ", "", ""]
    assert links.end() == REMOVED
    assert links.removed == 1
