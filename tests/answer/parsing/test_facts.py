"""Facts in several languages and the keywords that find them."""

from __future__ import annotations

import random

import pytest

from aag_ray.answer.parsing.facts import Fact, facts_of, foreign_facts
from aag_ray.records import Question
from aag_ray.world.facts import Entity, load_places

CAPITAL = Question("q1", "What is the capital of the Netherlands?", ("Amsterdam",), entity="Netherlands", relation="capital")


@pytest.fixture(scope="module")
def countries() -> dict[str, Entity]:
    return {country.name: country for country in load_places(1_000_000)[0]}


def test_a_known_wording_gives_subject_and_label_as_keywords():
    [fact] = facts_of([CAPITAL])
    assert (fact.subject, fact.query) == ("the Netherlands", "Netherlands capital")


def test_a_question_from_a_file_is_searched_for_by_its_content():
    [fact] = facts_of([Question("q", "who wrote the theme for the Office?", ("Jay Ferguson",))])
    assert (fact.relation, fact.query) == ("", "wrote theme office")
    [only] = facts_of([Question("q", "who is it?", ("me",))])
    assert only.query == "who is it?"


@pytest.mark.parametrize(
    ("language", "name", "words"),
    [("de", "Niederlande", "Hauptstadt"), ("es", "Países Bajos", "capital"), ("it", "Paesi Bassi", "")],
)
def test_the_same_fact_is_asked_with_the_names_of_another_language(
    countries: dict[str, Entity], language: str, name: str, words: str
):
    [fact] = foreign_facts(facts_of([CAPITAL]), countries, language, 5, random.Random(1))
    assert name in fact.question
    assert fact.query.startswith(name)
    assert words in fact.query
    assert "Amsterdam" in fact.answers
    assert (fact.language, fact.entity) == (language, "Netherlands")


def test_values_with_a_name_of_their_own_are_accepted_in_both_languages(countries: dict[str, Entity]):
    row = Question("q", "On which continent is Peru?", ("South America",), entity="Peru", relation="continent")
    [fact] = foreign_facts(facts_of([row]), countries, "de", 1, random.Random(1))
    assert set(fact.answers) >= {"Südamerika", "South America"}


def test_cities_and_unknown_relations_are_not_translated(countries: dict[str, Entity]):
    rows = [
        Question("q", "In which country is Cusco?", ("Peru",), entity="Cusco", relation="city_country"),
        Question("r", "What is the three-letter ISO code of Peru?", ("PER",), entity="Peru", relation="iso_code"),
    ]
    assert foreign_facts(facts_of(rows), countries, "fr", 9, random.Random(1)) == []


def test_another_subject_is_asked_about_in_the_first_ones_wording():
    one, other = facts_of(
        [
            Question("a", "Name the capital of Peru.", ("Lima",), entity="Peru", relation="capital"),
            Question("b", "Which city is the capital of Chile?", ("Santiago",), entity="Chile", relation="capital"),
        ]
    )
    changed = one.about(other)
    assert isinstance(changed, Fact)
    assert (changed.question, changed.answers, changed.entity) == ("Name the capital of Chile.", ("Santiago",), "Chile")
