"""Passages are short plain prose that tells every fact of an entity, in wordings chosen by seed."""

from __future__ import annotations

from collections import Counter

import pytest

from aag_ray.world.facts import Entity, load_elements
from aag_ray.world.relations import RELATIONS, ask, slug, spoken
from aag_ray.world.retrieval import has_answer
from aag_ray.world.telling import tell

NETHERLANDS = Entity(
    "country",
    "Netherlands",
    ("Holland",),
    {
        "capital": (("Amsterdam",),),
        "continent": (("Europe",),),
        "currency": (("euro",),),
        "language": (("Dutch",), ("Frisian",)),
        "domain": ((".nl",),),
        "calling_code": (("+31",),),
        "iso_code": (("NLD",),),
        "neighbour": (("Germany",), ("Belgium",)),
    },
)


def test_three_passages_tell_every_fact_and_name_the_entity() -> None:
    passages = tell(NETHERLANDS, 29)
    assert len({passage.id for passage in passages}) == 3
    together = " ".join(passage.text for passage in passages)
    for values in NETHERLANDS.facts.values():
        assert has_answer(together, values[0])
    for passage in passages:
        assert passage.title == "Netherlands"
        assert "the Netherlands" in passage.text.replace("The ", "the ")


def test_a_seed_chooses_the_wording_for_good() -> None:
    assert tell(NETHERLANDS, 1) == tell(NETHERLANDS, 1)
    assert tell(NETHERLANDS, 1) != tell(NETHERLANDS, 2)


def test_elements_without_group_or_category_are_told_too() -> None:
    for element in load_elements():
        together = " ".join(passage.text for passage in tell(element, 29))
        assert all(
            has_answer(together, values[0]) for fact, values in element.facts.items() if fact not in ("weight", "discovery")
        )
        assert "{" not in together


def test_every_relation_has_four_different_wordings_with_one_place_for_the_subject() -> None:
    assert Counter(relation.kind for relation in RELATIONS)["country"] >= 7
    for relation in RELATIONS:
        assert len(set(relation.wordings)) >= 4
        assert all(wording.count("{}") == 1 for wording in relation.wordings)
    assert len({relation.name for relation in RELATIONS}) == len(RELATIONS)


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("country", "Netherlands", "the Netherlands"),
        ("country", "Peru", "Peru"),
        ("element", "Iron", "iron"),
        ("city", "Cusco", "Cusco"),
    ],
)
def test_names_stand_in_a_sentence_as_people_write_them(kind, name: str, said: str) -> None:
    assert spoken(kind, name) == said


def test_a_question_can_call_its_entity_by_a_fact() -> None:
    relation = next(relation for relation in RELATIONS if relation.name == "currency_by_capital")
    assert ask(relation, NETHERLANDS, 0) == "Which currency is used in the country whose capital is Amsterdam?"
    assert ask(relation, NETHERLANDS, 3) == "Amsterdam is the capital of a country with which currency?"


def test_ids_are_plain() -> None:
    assert slug("Côte d'Ivoire") == "cote-d-ivoire"
