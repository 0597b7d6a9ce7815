"""Numbers of a text that is read off sources: none that is not there, none cut short."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.llm.numbers import SourceNumbers

SOURCE = SourceNumbers(["Population: 9,043 thousand", "It lies at 23 degrees north.", "Version 2.5, 1.000.000 sold"])
TEXTS = st.text(alphabet="0192345., ab", max_size=12)


def test_numbers_are_taken_as_they_are_written() -> None:
    assert SOURCE.numbers == {"9,043", "23", "2.5", "1.000.000"}


WHOLE = ["9,043 thousand", "9,043,", "It is 23.", "no number", "", "2.5", "2.5.", "23, 9,043", "23 or 2.5"]
OTHER = ["9 thousand", "9,", "9,04", "2", "90", "9043", "24 degrees", "0.5", "2.5.1", "23,9,043", "1.000"]
BEGUN = {"9": True, "9,": True, "9,04": True, "2.": True, "23": True, "23.": True, "23,": True}
BEGUN |= {"9,5": False, "8": False, "9 ": False, "23,9": False}


@pytest.mark.parametrize("text", WHOLE)
def test_whole_numbers_of_the_sources_are_allowed(text: str) -> None:
    assert SOURCE.allow(text, ended=True)
    assert SOURCE.allow(text, ended=False)


@pytest.mark.parametrize("text", OTHER)
def test_other_numbers_and_parts_of_numbers_are_not(text: str) -> None:
    assert not SOURCE.allow(text, ended=True)


@pytest.mark.parametrize(("text", "begun"), BEGUN.items())
def test_a_number_may_be_begun_if_one_of_the_sources_begins_so(text: str, begun: bool) -> None:
    assert SOURCE.allow(f"about {text}", ended=False) is begun


def test_sources_without_numbers_allow_none() -> None:
    source = SourceNumbers(["nothing here"])

    assert source.allow("Paris", ended=True)
    assert not source.allow("1", ended=False)
    assert regex.fullmatch(source.expression, "Paris")
    assert not regex.fullmatch(source.expression, "1")


@given(sources=st.lists(TEXTS, max_size=3), text=TEXTS)
def test_the_expression_matches_exactly_what_is_allowed(sources: list[str], text: str) -> None:
    source = SourceNumbers(sources)

    assert bool(regex.fullmatch(source.expression, text)) is source.allow(text, ended=True)


@given(sources=st.lists(TEXTS, max_size=3), text=TEXTS)
def test_every_beginning_of_an_allowed_text_is_allowed(sources: list[str], text: str) -> None:
    source = SourceNumbers(sources)

    if source.allow(text, ended=True):
        assert all(source.allow(text[:end], ended=False) for end in range(len(text) + 1))


@given(sources=st.lists(TEXTS, min_size=1, max_size=3))
def test_a_source_may_say_what_it_says(sources: list[str]) -> None:
    assert all(SourceNumbers(sources).allow(text, ended=True) for text in sources)
