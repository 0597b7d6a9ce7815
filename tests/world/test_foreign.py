"""Facts in German, French and Spanish."""

from __future__ import annotations

import pytest

from aag_ray.world.facts import Entity, load_places
from aag_ray.world.foreign import HEADINGS, LABELS, PROSE, SENTENCES, foreign_name, foreign_value


@pytest.fixture(scope="module")
def countries() -> dict[str, Entity]:
    return {country.name: country for country in load_places(100_000)[0]}


@pytest.mark.parametrize(
    ("name", "german", "french", "spanish"),
    [
        ("Germany", "Deutschland", "Allemagne", "Alemania"),
        ("Spain", "Spanien", "Espagne", "España"),
        ("United States", "Vereinigte Staaten", "États-Unis", "Estados Unidos"),
    ],
)
def test_countries_have_names_in_every_language(
    countries: dict[str, Entity], name: str, german: str, french: str, spanish: str
):
    assert [foreign_name(countries[name], language) for language in ("de", "fr", "es")] == [german, french, spanish]


def test_nearly_every_country_has_a_name_of_its_own_somewhere(countries: dict[str, Entity]):
    same = [name for name, country in countries.items() if all(foreign_name(country, to) == name for to in ("de", "fr", "es"))]
    assert len(same) < 0.3 * len(countries)


@pytest.mark.parametrize(
    ("fact", "value", "language", "shown"),
    [
        ("continent", ("Europe",), "de", "Europa"),
        ("continent", ("South America",), "fr", "Amérique du Sud"),
        ("language", ("Persian", "Farsi"), "es", "persa"),
        ("currency", ("Swiss franc", "franc", "CHF"), "de", "Schweizer Franken"),
        ("population", ("470 thousand", "470,000", "470000"), "de", "470.000"),
        ("latitude", ("6 degrees south", "6° S"), "fr", "6° S"),
        ("neighbour", ("Austria",), "es", "Austria"),
        ("country", ("Austria",), "de", "Österreich"),
        ("capital", ("Vienna",), "de", "Vienna"),
        ("language", ("a language without a code",), "de", "a language without a code"),
    ],
)
def test_values_are_translated_where_the_tables_have_names(fact: str, value: tuple[str, ...], language: str, shown: str):
    assert foreign_value(fact, value, language) == shown


def test_every_language_has_every_word():
    assert set(LABELS) == set(SENTENCES) == set(HEADINGS) == set(PROSE) == {"de", "fr", "es"}
    assert len({frozenset(labels) for labels in LABELS.values()}) == 1
