"""Long documents are cut between sentences, and nothing of them is lost."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.awaken.document_parts import document_parts


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_what_fits_is_one_part_as_it_is() -> None:
    document = "  One\n\n two.  "
    assert document_parts(document, 2, words) == [document]


def test_parts_are_whole_sentences_of_at_most_so_many_tokens() -> None:
    document = "Lima is a city. It lies in Peru. Cusco is old.\n\nPeru has a coast."
    assert document_parts(document, 7, words) == ["Lima is a city.", "It lies in Peru. Cusco is old.", "Peru has a coast."]


def test_a_sentence_that_is_too_long_is_a_part_of_its_own() -> None:
    long = "One two three four five six seven eight."
    assert document_parts(f"Lima grows. {long} Cusco stays.", 4, words) == ["Lima grows.", long, "Cusco stays."]


@pytest.mark.parametrize("document", ["", "   ", "\n\n"])
def test_nothing_is_one_part(document: str) -> None:
    assert document_parts(document, 5, words) == [document]


@given(
    st.lists(st.from_regex(r"[a-z]{5,9}( [a-z]{1,6}){0,9} [a-z]{5,9}\.", fullmatch=True), min_size=1, max_size=12),
    st.integers(1, 20),
)
def test_every_word_is_in_a_part_once_and_in_order(sentences: list[str], most: int) -> None:
    document = " ".join(sentence.capitalize() for sentence in sentences)
    parts = document_parts(document, most, words)
    assert [word for part in parts for word in part.split()] == document.split()
    assert all(words([part])[0] <= most or not re.search(r"\. ", part) for part in parts)
