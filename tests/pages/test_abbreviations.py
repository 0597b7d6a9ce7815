"""Full stops that end a word and no sentence."""

import pytest

from aag_ray.pages.abbreviations import ends_with_abbreviation


@pytest.mark.parametrize(
    ("before", "next_word", "language"),
    [
        ("He met Dr", "Smith", ""),
        ("(vgl", "Kant", "de"),
        ("J", "Rowling", ""),
        ("J. K", "Rowling", ""),
        ("the U.S", "Army", ""),
        ("at 5 p.m", "today", ""),
        ("on 3", "May", "en"),
        ("am 19", "Jahrhundert", "de-DE"),
        ("Acme Inc", "Headquarters", ""),
        ("z.B", "Rom", "de"),
    ],
)
def test_belongs_to_the_word(before: str, next_word: str, language: str):
    assert ends_with_abbreviation(before, next_word, language, offset=40)


@pytest.mark.parametrize(
    ("before", "next_word", "language"),
    [
        ("in 2020", "Next", "de"),
        ("He is 42", "She", "en"),
        ("the house", "A", ""),
        ("and so on etc", "The", ""),
        ("made by Acme Inc", "It", ""),
        ("in the U.S", "He", ""),
        ("at 5 p.m", "Everybody", ""),
        ("", "x", ""),
    ],
)
def test_ends_the_sentence(before: str, next_word: str, language: str):
    assert not ends_with_abbreviation(before, next_word, language, offset=40)


def test_a_number_at_the_start_of_a_block_numbers_it():
    assert ends_with_abbreviation("1", "First", "", offset=1)
    assert not ends_with_abbreviation("It was 1", "First", "", offset=8)
