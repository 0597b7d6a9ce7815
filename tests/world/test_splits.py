"""Entities are split once, names that contain one another stay together, and held-out names are found as whole words."""

from __future__ import annotations

from collections import Counter

import pytest

from aag_ray.world.facts import Entity, load_elements
from aag_ray.world.splits import Mentions, split_cities, split_entities, without

NAMES = ("Guinea", "Equatorial Guinea", "Guinea-Bissau", "Peru", "Chile", "Niger", "Nigeria", "Norway", "Oman", "Togo")
COUNTRIES = [Entity("country", name, (), {}) for name in NAMES]


def test_seventy_ten_twenty() -> None:
    counts = Counter(split_entities(load_elements(), 29).values())
    assert counts == pytest.approx({"train": 82.6, "dev": 11.8, "test": 23.6}, abs=1)


@pytest.mark.parametrize("seed", range(8))
def test_names_inside_other_names_share_a_split(seed: int) -> None:
    splits = split_entities(COUNTRIES, seed)
    assert splits["Guinea"] == splits["Equatorial Guinea"] == splits["Guinea-Bissau"]


def test_niger_and_nigeria_are_different_words() -> None:
    assert any(splits["Niger"] != splits["Nigeria"] for splits in (split_entities(COUNTRIES, seed) for seed in range(20)))


def test_a_city_follows_its_held_out_country_and_is_split_again_in_a_training_country() -> None:
    cities = [Entity("city", f"{home} town {number}", (), {}, home) for home in ("Peru", "Oman") for number in range(100)]
    splits = split_cities(cities, {"Peru": "train", "Oman": "test"}, 29)
    assert Counter(splits[city.name] for city in cities if city.home == "Oman") == {"test": 100}
    assert Counter(splits[city.name] for city in cities if city.home == "Peru") == {"train": 70, "dev": 10, "test": 20}


@pytest.mark.parametrize("text", ["to Norway.", "NORWAY", "Norway's coast", "Cote d'Ivoire", "Côte d’Ivoire"])  # noqa: RUF001
def test_a_name_is_found_in_any_writing(text: str) -> None:
    assert Mentions(["Norway", "Côte d'Ivoire"])(text)


@pytest.mark.parametrize("text", ["Norwegian krone", "Nor way", ""])
def test_parts_of_words_are_no_mention(text: str) -> None:
    assert not Mentions(["Norway"])(text)


def test_no_names_are_never_mentioned() -> None:
    assert not Mentions([])("anything")


def test_held_out_values_and_spellings_are_left_out_and_empty_facts_vanish() -> None:
    facts = {
        "neighbour": (("Chile",), ("Peru", "Republic of Peru")),
        "currency": (("US dollar", "United States dollar"),),
        "capital": (("Peru City", "Lima"),),
    }
    kept = without(Entity("country", "Oman", (), facts), Mentions(["Peru", "United States"]))
    assert kept.facts == {"neighbour": (("Chile",),), "currency": (("US dollar",),)}
