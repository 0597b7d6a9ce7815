"""How facts are asked: every relation with its question wordings."""

from __future__ import annotations

from dataclasses import dataclass

from aag_ray.world.facts import Entity, EntityKind, fold

_WITH_ARTICLE = (
    "Bahamas Comoros Gambia Maldives Netherlands Philippines|Central African Republic|Democratic Republic of the Congo|"
    "Dominican Republic|Republic of the Congo|Solomon Islands|United Arab Emirates|United Kingdom|United States"
)
WITH_ARTICLE = frozenset(_WITH_ARTICLE.split("|")[1:]) | frozenset(_WITH_ARTICLE.split("|")[0].split())


@dataclass(frozen=True)
class Relation:
    """What is asked (`asks`, a fact or "name") of an entity that the question calls by `subject` (a fact or "name")."""

    name: str
    kind: str
    entity: EntityKind
    asks: str
    wordings: tuple[str, ...]
    subject: str = "name"


def _relation(name: str, kind: str, entity: EntityKind, asks: str, *wordings: str, subject: str = "name") -> Relation:
    return Relation(name, kind, entity, asks, wordings, subject)


RELATIONS = (
    _relation(
        "capital", "country", "country", "capital",
        "What is the capital of {}?", "Which city is the capital of {}?",
        "What is the capital city of {}?", "Name the capital of {}.",
    ),
    _relation(
        "continent", "country", "country", "continent",
        "On which continent is {}?", "Which continent does {} belong to?",
        "{} is located on which continent?", "What continent is {} part of?",
    ),
    _relation(
        "currency", "country", "country", "currency",
        "What is the currency of {}?", "Which currency is used in {}?",
        "What money do people use in {}?", "With which currency does one pay in {}?",
    ),
    _relation(
        "language", "country", "country", "language",
        "What is an official language of {}?", "Which language is official in {}?",
        "Name an official language of {}.", "What language does the government of {} use?",
    ),
    _relation(
        "domain", "country", "country", "domain",
        "What is the internet domain of {}?", "Which top-level domain belongs to {}?",
        "What is the country-code domain of {}?", "Web addresses of {} end in which domain?",
    ),
    _relation(
        "calling_code", "country", "country", "calling_code",
        "What is the calling code of {}?", "Which telephone country code does {} have?",
        "What international dialling code does {} use?", "Which prefix do you dial to call {}?",
    ),
    _relation(
        "iso_code", "country", "country", "iso_code",
        "What is the three-letter ISO code of {}?", "Which three-letter country code stands for {}?",
        "How is {} written as a three-letter ISO code?", "What is the ISO alpha-3 code of {}?",
    ),
    _relation(
        "neighbour", "country", "country", "neighbour",
        "Which country borders {}?", "Name a neighbouring country of {}.",
        "Which country shares a border with {}?", "What country lies next to {}?",
    ),
    _relation(
        "largest_city", "country", "country", "largest_city",
        "What is the largest city of {}?", "Which city in {} has the most inhabitants?",
        "Name the biggest city of {}.", "What is the most populous city in {}?",
    ),
    _relation(
        "country_of_capital", "country", "country", "name",
        "Which country has the capital {}?", "{} is the capital of which country?",
        "Of which country is {} the capital?", "What country is governed from its capital {}?",
        subject="capital",
    ),
    _relation(
        "currency_by_capital", "country_hop", "country", "currency",
        "Which currency is used in the country whose capital is {}?",
        "What is the currency of the country with the capital {}?",
        "What money is used in the country that has {} as its capital?", "{} is the capital of a country with which currency?",
        subject="capital",
    ),
    _relation(
        "continent_by_capital", "country_hop", "country", "continent",
        "On which continent is the country whose capital is {}?", "Which continent holds the country with the capital {}?",
        "The country governed from {} lies on which continent?", "{} is the capital of a country on which continent?",
        subject="capital",
    ),
    _relation(
        "language_by_capital", "country_hop", "country", "language",
        "What is an official language of the country whose capital is {}?",
        "Which language is official in the country with the capital {}?",
        "{} is the capital of a country with which official language?",
        "Name an official language of the country governed from {}.",
        subject="capital",
    ),
    _relation(
        "calling_code_by_capital", "country_hop", "country", "calling_code",
        "What is the calling code of the country whose capital is {}?",
        "Which telephone code has the country with the capital {}?",
        "{} is the capital of a country with which calling code?",
        "Which prefix do you dial for the country governed from {}?",
        subject="capital",
    ),
    _relation(
        "symbol", "element", "element", "symbol",
        "What is the chemical symbol of {}?", "Which symbol stands for {} in the periodic table?",
        "How is the element {} abbreviated?", "What symbol do chemists write for {}?",
    ),
    _relation(
        "atomic_number", "element", "element", "atomic_number",
        "What is the atomic number of {}?", "How many protons does an atom of {} have?",
        "Which atomic number does {} have?", "What number has {} in the periodic table?",
    ),
    _relation(
        "period", "element", "element", "period",
        "In which period of the periodic table is {}?", "Which period does {} belong to?",
        "What is the period of the element {}?", "{} stands in which period of the periodic table?",
    ),
    _relation(
        "group", "element", "element", "group",
        "In which group of the periodic table is {}?", "Which group number does {} have?",
        "What is the group of the element {}?", "{} stands in which group of the periodic table?",
    ),
    _relation(
        "block", "element", "element", "block",
        "In which block of the periodic table is {}?", "Which block does {} belong to?",
        "What is the block of the element {}?", "{} is an element of which block?",
    ),
    _relation(
        "category", "element", "element", "category",
        "What kind of element is {}?", "Which category of elements does {} belong to?",
        "To which family of elements is {} counted?", "How is the element {} classified?",
    ),
    _relation(
        "element_of_symbol", "element", "element", "name",
        "Which element has the symbol {}?", "What element does the symbol {} stand for?",
        "The chemical symbol {} belongs to which element?", "Name the element with the symbol {}.",
        subject="symbol",
    ),
    _relation(
        "period_by_symbol", "element_hop", "element", "period",
        "In which period is the element with the symbol {}?", "Which period does the element written {} belong to?",
        "The element with the symbol {} stands in which period?", "What is the period of the element abbreviated {}?",
        subject="symbol",
    ),
    _relation(
        "group_by_symbol", "element_hop", "element", "group",
        "In which group is the element with the symbol {}?", "Which group does the element written {} belong to?",
        "The element with the symbol {} stands in which group?", "What is the group of the element abbreviated {}?",
        subject="symbol",
    ),
    _relation(
        "city_country", "city_hop", "city", "country",
        "In which country is {}?", "Which country is the city of {} in?",
        "{} is a city in which country?", "To which country does the city {} belong?",
    ),
    _relation(
        "city_continent", "city_hop", "city", "continent",
        "On which continent is the city of {}?", "Which continent is {} on?",
        "{} is a city on which continent?", "On what continent would you find {}?",
    ),
    _relation(
        "city_capital", "city_hop", "city", "capital",
        "What is the capital of the country where {} is?", "Which capital governs the country of the city {}?",
        "What is the capital of the country that {} belongs to?", "{} lies in a country with which capital?",
    ),
    _relation(
        "city_currency", "city_hop", "city", "currency",
        "Which currency is used in {}?", "What is the currency in the city of {}?",
        "With which money do people pay in {}?", "Which currency do shops in {} take?",
    ),
    _relation(
        "city_language", "city_hop", "city", "language",
        "What is an official language in {}?", "Which language is official in the city of {}?",
        "Name an official language of the country where {} is.", "Officials in {} use which language?",
    ),
    _relation(
        "city_calling_code", "city_hop", "city", "calling_code",
        "Which country calling code do you dial for {}?", "What is the country calling code for {}?",
        "Phone numbers in {} start with which country code?", "Which international prefix reaches a phone in {}?",
    ),
    _relation(
        "city_population", "city_unknown", "city", "population",
        "How many people live in {}, in thousands?", "What is the population of {} in thousands?",
        "How many thousand inhabitants does {} have?", "To the nearest thousand, how many people live in {}?",
    ),
    _relation(
        "city_latitude", "city_unknown", "city", "latitude",
        "At what latitude is {}, to the nearest degree?", "What is the latitude of {} in whole degrees?",
        "On which degree of latitude does {} lie?", "How many degrees north or south is {}?",
    ),
)  # fmt: skip
KINDS = tuple(dict.fromkeys(relation.kind for relation in RELATIONS))


def spoken(kind: EntityKind, name: str) -> str:
    """A name as it stands inside a sentence: "the Netherlands", "iron", "Cusco"."""
    if kind == "element":
        return name.lower()
    return f"the {name}" if name in WITH_ARTICLE else name


def ask(relation: Relation, entity: Entity, wording: int) -> str:
    """The question of `relation` about `entity` in one of the relation's wordings."""
    values = entity.values(relation.subject)
    subject = spoken(entity.kind, values[0][0]) if relation.subject == "name" else values[0][0]
    return capitalised(relation.wordings[wording].format(subject))


def slug(name: str) -> str:
    """A name as part of an id: "Côte d'Ivoire" -> "cote-d-ivoire"."""
    return "-".join("".join(sign if sign.isalnum() else " " for sign in fold(name).lower()).split())


def capitalised(text: str) -> str:
    """With a large first letter, the rest as it is."""
    return text[0].upper() + text[1:]
