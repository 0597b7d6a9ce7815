"""Which entity belongs to train, dev or test, and what training texts must not say about the others."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from aag_ray.world.facts import Entity, Values, fold

SHARES = {"train": 0.7, "dev": 0.1, "test": 0.2}


class Mentions:
    """Tells whether a text names one of `names` as whole words, in any case, with or without accents."""

    def __init__(self, names: Iterable[str]) -> None:
        folded = sorted({fold(name) for name in names}, key=lambda name: (-len(name), name))
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, folded))})(?!\w)", re.IGNORECASE) if folded else None
        self._known: dict[str, bool] = {}  # facts repeat: every city of a country has its currency

    def __call__(self, text: str) -> bool:
        if text not in self._known:
            self._known[text] = self._pattern is not None and self._pattern.search(fold(text)) is not None
        return self._known[text]


def split_entities(entities: Sequence[Entity], seed: int) -> dict[str, str]:
    """Entity name -> split, 70/10/20. Entities whose names contain one another (Guinea, Equatorial Guinea) stay together."""
    groups = _groups(entities)
    random.Random(f"{seed}/split/{entities[0].kind}").shuffle(groups)
    splits: dict[str, str] = {}
    counts = dict.fromkeys(SHARES, 0)
    for group in groups:
        split = min(SHARES, key=lambda name: (counts[name] + len(group)) / SHARES[name])
        counts[split] += len(group)
        splits |= dict.fromkeys(group, split)
    return splits


def split_cities(cities: Sequence[Entity], countries: dict[str, str], seed: int) -> dict[str, str]:
    """City name -> split: that of its country, and for cities of training countries once more 70/10/20."""
    inner = split_entities([city for city in cities if countries[city.home] == "train"], seed)
    return {city.name: inner.get(city.name, countries[city.home]) for city in cities}


def without(entity: Entity, held_out: Mentions) -> Entity:
    """The entity with every value and spelling gone that names something held out."""
    facts: dict[str, Values] = {}
    for fact, values in entity.facts.items():
        kept = tuple(tuple(name for name in value if not held_out(name)) for value in values if not held_out(value[0]))
        if kept:
            facts[fact] = kept
    return replace(entity, facts=facts)


def _groups(entities: Sequence[Entity]) -> list[list[str]]:
    if entities[0].kind == "city":  # a city's name is nowhere part of another's text
        return [[entity.name] for entity in entities]
    group = {entity.name: [entity.name] for entity in entities}
    for inner in entities:
        mentions = Mentions(inner.names)
        for outer in entities:
            first, second = group[inner.name], group[outer.name]
            if first is not second and any(mentions(name) for name in outer.names):
                first += second
                group |= dict.fromkeys(second, first)
    return list({id(members): members for members in group.values()}.values())
