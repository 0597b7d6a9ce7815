"""How facts are told: three short passages for each entity, put together from clauses."""

from __future__ import annotations

import random
from collections.abc import Mapping

from aag_ray.records import Passage
from aag_ray.world.facts import Entity, EntityKind
from aag_ray.world.relations import capitalised, slug, spoken

PASSAGE_WORDS = (22, 35)
_DRAFTS = 4
# The facts each of an entity's three passages tells, in this order; what is missing is left out.
FRAMES: Mapping[EntityKind, tuple[tuple[str, ...], ...]] = {
    "country": (
        ("continent", "capital", "currency", "language", "calling_code"),
        ("capital", "largest_city", "neighbour", "domain", "continent"),
        ("currency", "language", "calling_code", "iso_code", "domain"),
    ),
    "element": (
        ("symbol", "atomic_number", "category", "period", "group"),
        ("category", "symbol", "block", "weight", "period"),
        ("atomic_number", "group", "block", "symbol", "discovery"),
    ),
    "city": (
        ("country", "continent", "capital", "language", "currency"),
        ("country", "capital", "currency", "calling_code"),
        ("country", "population", "latitude", "language"),
    ),
}
# Clauses with {name} open a passage; the others follow in it.
CLAUSES: Mapping[EntityKind, Mapping[str, tuple[str, ...]]] = {
    "country": {
        "continent": (
            "{name} is a country in {value}", "{name} lies on the continent of {value}",
            "the country belongs to {value}", "it is part of {value}", "it lies in {value}",
        ),
        "capital": (
            "the capital of {name} is {value}", "{name} is governed from its capital {value}",
            "its capital is {value}", "the capital city is {value}", "{value} is its capital",
        ),
        "currency": (
            "people in {name} pay with the {value}", "the currency of {name} is the {value}",
            "its currency is the {value}", "people there pay with the {value}", "the money in use is the {value}",
        ),
        "language": (
            "its official language{s} {are} {value}", "the state officially uses {value}", "{value} {are} official there",
        ),
        "calling_code": (
            "its calling code is {value}", "telephone calls to it start with {value}", "callers from abroad dial {value} first",
        ),
        "largest_city": (
            "its largest city is {value}", "its most populous city is {value}", "{value} is its biggest city",
        ),
        "neighbour": ("it borders {value}", "it shares borders with {value}", "among its neighbours: {value}"),
        "domain": (
            "its internet domain is {value}", "web addresses there end in {value}", "its sites use the domain {value}",
        ),
        "iso_code": (
            "its three-letter ISO code is {value}",
            "the ISO code of the country is {value}",
            "ISO lists it under the code {value}",
        ),
    },
    "element": {
        "symbol": (
            "the chemical symbol of {name} is {value}", "{name} is the element with the symbol {value}",
            "its symbol is {value}", "chemists write it {value}", "the symbol {value} stands for it",
        ),
        "atomic_number": (
            "{name} is the element with the atomic number {value}", "{name} has the atomic number {value}",
            "its atomic number is {value}", "each of its atoms has an atomic number of {value}",
        ),
        "category": (
            "{name} is counted among the elements of the kind {value}", "{name} is classified as {article} {value}",
            "it is {article} {value}", "chemists classify it as {article} {value}",
        ),
        "period": (
            "it stands in period {value} of the periodic table", "its period is {value}", "it belongs to period {value}",
        ),
        "group": ("it stands in group {value} of the periodic table", "its group is {value}", "it belongs to group {value}"),
        "block": ("it belongs to the {value}-block", "it is an element of the {value} block", "its block is {value}"),
        "weight": ("its atomic weight is about {value}", "its standard atomic weight is close to {value}"),
        "discovery": ("it was discovered in {value}", "its discovery dates from the year {value}"),
    },
    "city": {
        "country": (
            "{name} is a city in {value}", "the city of {name} lies in {value}", "{name} belongs to {value}",
        ),
        "continent": ("it lies in {value}", "the city is on the continent of {value}", "it is part of {value}"),
        "capital": (
            "the capital of the country is {value}", "the country is governed from {value}", "its national capital is {value}",
        ),
        "currency": ("people there pay with the {value}", "the currency is the {value}", "shops take the {value}"),
        "language": (
            "the official language{s} {are} {value}", "officials there use {value}", "{value} {are} official there",
        ),
        "calling_code": (
            "its country calling code is {value}", "calls from abroad start with {value}",
            "phone numbers there begin with {value}",
        ),
        "population": (
            "about {value} people live in the city", "the city has about {value} inhabitants",
            "the city's population is about {value}",
        ),
        "latitude": ("the city lies at {value}", "the city's latitude is {value}", "on the map the city lies at {value}"),
    },
}  # fmt: skip
_SHOWN = {"language": 2, "neighbour": 4}


def tell(entity: Entity, seed: int) -> list[Passage]:
    """The entity's passages, 22 to 35 words each, in wordings chosen by `seed`."""
    passages = []
    for number, frame in enumerate(FRAMES[entity.kind]):
        choices = random.Random(f"{seed}/passage/{entity.kind}/{entity.name}/{number}")
        told = [fact for fact in frame if entity.values(fact)]
        spare = [fact for fact in CLAUSES[entity.kind] if entity.values(fact) and fact not in told]
        choices.shuffle(spare)
        text = _text(entity, told, spare, choices)
        while _words_over(text) and len(told) > 2:  # a long name: the last fact of a frame stands in another one too
            told.pop()
            text = _text(entity, told, [], choices)
        passages.append(Passage(f"world-{entity.kind}-{slug(entity.name)}-{number}", entity.name, text))
    return passages


def _text(entity: Entity, told: list[str], spare: list[str], choices: random.Random) -> str:
    """The best of a few drafts: of those with a fitting length the shortest, for prompts are paid by the token."""
    drafts = [_draft(entity, told, spare, choices) for _ in range(_DRAFTS)]
    return min(drafts, key=lambda draft: (_words_over(draft), len(draft.split())))


def _draft(entity: Entity, told: list[str], spare: list[str], choices: random.Random) -> str:
    first = next(fact for fact in told if any("{name}" in clause for clause in CLAUSES[entity.kind][fact]))
    rest = [fact for fact in told if fact != first]
    choices.shuffle(rest)
    clauses = [_clause(entity, first, True, choices)]
    clauses += [_clause(entity, fact, False, choices) for fact in rest]
    for fact in spare:
        if sum(len(clause.split()) for clause in clauses) >= PASSAGE_WORDS[0]:
            break
        clauses.append(_clause(entity, fact, False, choices))
    sentences = []
    while clauses:
        take = 2 if len(clauses) > 1 and choices.random() < 0.7 else 1
        sentences.append(capitalised(", and ".join(clauses[:take])) + ".")
        clauses = clauses[take:]
    return " ".join(sentences)


def _clause(entity: Entity, fact: str, opens: bool, choices: random.Random) -> str:
    template = choices.choice([text for text in CLAUSES[entity.kind][fact] if ("{name}" in text) == opens])
    shown = choices.randint(1, _SHOWN[fact]) if fact == "neighbour" else _SHOWN.get(fact, 1)
    of_country = fact in ("neighbour", "country")
    names = [spoken("country", value[0]) if of_country else value[0] for value in entity.values(fact)[:shown]]
    value = " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"
    number = {"s": "s", "are": "are"} if len(names) > 1 else {"s": "", "are": "is"}
    article = "an" if value[0] in "aeiou" else "a"
    return template.format(name=spoken(entity.kind, entity.name), value=value, article=article, **number)


def _words_over(text: str) -> int:
    low, high = PASSAGE_WORDS
    count = len(text.split())
    return max(low - count, count - high, 0)
