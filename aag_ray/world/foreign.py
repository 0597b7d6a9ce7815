"""Facts in German, French and Spanish: names from Unicode CLDR (babel), one sentence for each fact."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from aag_ray.world.corrections import CONTINENTS
from aag_ray.world.facts import Entity

_CONTINENT_CODES = {"AF": "002", "AS": "142", "EU": "150", "NA": "003", "OC": "009", "SA": "005"}
LABELS = {
    "de": {
        "continent": "Kontinent", "capital": "Hauptstadt", "currency": "Währung", "language": "Amtssprache",
        "domain": "Internet-Domain", "calling_code": "Telefonvorwahl", "iso_code": "ISO-Code", "neighbour": "Nachbarländer",
        "largest_city": "Größte Stadt", "country": "Staat", "population": "Einwohner", "latitude": "Geographische Breite",
    },
    "fr": {
        "continent": "Continent", "capital": "Capitale", "currency": "Monnaie", "language": "Langue officielle",
        "domain": "Domaine Internet", "calling_code": "Indicatif téléphonique", "iso_code": "Code ISO",
        "neighbour": "Pays voisins", "largest_city": "Plus grande ville", "country": "Pays", "population": "Population",
        "latitude": "Latitude",
    },
    "es": {
        "continent": "Continente", "capital": "Capital", "currency": "Moneda", "language": "Idioma oficial",
        "domain": "Dominio de Internet", "calling_code": "Prefijo telefónico", "iso_code": "Código ISO",
        "neighbour": "Países vecinos", "largest_city": "Ciudad más poblada", "country": "País", "population": "Población",
        "latitude": "Latitud",
    },
}  # fmt: skip
SENTENCES = {
    "de": ("{name} im Überblick: {label} {value}.", "Unter „{label}“ führen die Tabellen zu {name} den Eintrag {value}."),
    "fr": ("{name} en bref, {label} : {value}.", "À la rubrique « {label} », les tableaux donnent pour {name} : {value}."),
    "es": ("{name} de un vistazo, {label}: {value}.", "En el apartado «{label}», las tablas indican para {name}: {value}."),
}
HEADINGS = {
    "de": ("Auf einen Blick", "Einzelheiten", "Über diese Seite"),
    "fr": ("En un coup d'œil", "Détails", "À propos de cette page"),
    "es": ("De un vistazo", "Detalles", "Acerca de esta página"),
}
PROSE = {
    "de": (
        "Alle Angaben auf dieser Seite stammen aus frei zugänglichen Tabellen und werden von Zeit zu Zeit überprüft.",
        "Wer einen Fehler findet, kann der Redaktion schreiben; Berichtigungen erscheinen meist innerhalb weniger Tage.",
        "Zahlen sind gerundet, weil amtliche Zählungen und Schätzungen selten auf die letzte Stelle übereinstimmen.",
    ),
    "fr": (
        "Toutes les indications de cette page proviennent de tableaux librement accessibles et sont vérifiées régulièrement.",
        "Les lecteurs qui relèvent une erreur peuvent écrire à la rédaction ; la correction paraît en général sous peu.",
        "Les chiffres sont arrondis, car recensements et estimations concordent rarement jusqu'à la dernière unité.",
    ),
    "es": (
        "Todos los datos de esta página proceden de tablas de libre acceso y se revisan de vez en cuando.",
        "Quien encuentre un error puede escribir a la redacción; las correcciones suelen publicarse en pocos días.",
        "Las cifras están redondeadas, porque censos y estimaciones rara vez coinciden hasta la última unidad.",
    ),
}  # fmt: skip


def foreign_name(entity: Entity, language: str) -> str:
    """A country's name in a language (`de`, `fr`, `es`); other entities keep theirs."""
    return _country(entity.names, language) if entity.kind == "country" else entity.name


@lru_cache(maxsize=8192)
def foreign_value(fact: str, value: tuple[str, ...], language: str) -> str:
    """One value of a fact in a language; what CLDR has no name for stays as it is."""
    plain = value[0]
    if fact in ("neighbour", "country"):
        return _country(value, language)
    if fact == "continent":
        code = next(code for code, name in CONTINENTS.items() if name == plain)
        return str(_locale(language).territories.get(_CONTINENT_CODES[code], plain))
    if fact == "currency" and re.fullmatch("[A-Z]{3}", value[-1]):
        from babel.numbers import get_currency_name

        return get_currency_name(value[-1], locale=language)
    if fact == "language":
        codes = _codes("languages")
        found = next((codes[name] for name in value if name in codes), "")
        return str(_locale(language).languages.get(found, plain))
    if fact == "population":
        return value[1].replace(",", " " if language == "fr" else ".")
    return value[1] if fact == "latitude" else plain


def _country(names: tuple[str, ...], language: str) -> str:
    codes = _codes("territories")
    found = next((codes[name] for name in names if name in codes), "")
    return str(_locale(language).territories.get(found, names[0]))


@lru_cache(maxsize=8)
def _locale(language: str) -> Any:
    from babel import Locale

    return Locale(language)


@lru_cache(maxsize=2)
def _codes(table: str) -> dict[str, str]:
    """English name -> code."""
    names = getattr(_locale("en"), table)
    return {re.sub(r"\s*\(.*\)", "", name).replace("&", "and"): code for code, name in names.items() if not code.isdigit()}
