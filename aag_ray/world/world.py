"""The embedded world: questions about the real world with every accepted answer, from packaged facts alone."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aag_ray.config import WorldSection
from aag_ray.records import SPLITS, Passage, Question
from aag_ray.world.facts import Entity, load_elements, load_places
from aag_ray.world.relations import RELATIONS, Relation, ask, slug
from aag_ray.world.retrieval import attach_contexts
from aag_ray.world.splits import Mentions, split_cities, split_entities, without
from aag_ray.world.telling import tell

# What kinds of questions a split is made of; what a kind cannot fill is filled with city_hop.
MIX = {"country": 0.30, "country_hop": 0.12, "element": 0.10, "element_hop": 0.03, "city_hop": 0.38, "city_unknown": 0.07}
QUESTIONS_PER_CITY = 2
DISTRACTORS = 0.3  # cities that have passages but no question, as a share of those with questions


@dataclass(frozen=True)
class World:
    """All passages, and the questions of train, dev and test with their retrieved contexts."""

    passages: tuple[Passage, ...]
    questions: dict[str, list[Question]]

    def statistics(self) -> dict[str, Any]:
        """Counts for each split, passage length in words, and gold@k.

        Among the first k contexts of a question, answer@k asks for any passage that holds an accepted answer, gold@k for one
        about the question's own entity.
        """
        words = [len(passage.text.split()) for passage in self.passages]
        return {
            "passages": len(self.passages),
            "passage_words": round(sum(words) / max(1, len(words)), 1),
            "splits": {split: _describe(rows) for split, rows in self.questions.items()},
        }


@dataclass(frozen=True)
class _Part:
    """One split's entities, as its texts may speak of them."""

    split: str
    entities: tuple[Entity, ...]

    def pairs(self, kind: str, choices: random.Random) -> list[tuple[Entity, Relation]]:
        relations = [relation for relation in RELATIONS if relation.kind == kind]
        found = [(entity, relation) for entity in self.entities for relation in relations if _askable(entity, relation)]
        choices.shuffle(found)
        return found


def build_world(config: WorldSection, seed: int, contexts: int = 10) -> World:
    """Facts -> passages and questions, split by entity, each question with its `contexts` best passages.

    The same arguments give equal worlds in every process. Training texts never name a held-out country or element.
    Raises ImportError if the packages of the extra `world` are missing and ValueError if the facts are too few for the
    questions asked for.
    """
    (countries, cities), elements = load_places(config.min_city_population), load_elements()
    if not cities:
        least = config.min_city_population
        raise ValueError(f"world.min_city_population={least}: no city is that large; 100000 leaves thousands")
    splits = {"country": split_entities(countries, seed), "element": split_entities(elements, seed)}
    splits["city"] = split_cities(cities, splits["country"], seed)
    held_out = Mentions(
        name for entity in (*countries, *elements) if splits[entity.kind][entity.name] != "train" for name in entity.names
    )
    sizes = {"train": config.train_questions, "dev": config.dev_questions, "test": config.test_questions}
    passages: dict[str, list[Passage]] = {}
    questions: dict[str, list[Question]] = {}
    for split in SPLITS:
        own = [entity for entity in (*countries, *elements, *cities) if splits[entity.kind][entity.name] == split]
        if split == "train":
            own = [without(entity, held_out) for entity in own if entity.kind != "city" or not held_out(entity.name)]
        questions[split], told = _draw(_Part(split, tuple(own)), sizes[split], seed)
        passages[split] = [passage for entity in told for passage in tell(entity, seed)]
    everything = tuple(passage for split in SPLITS for passage in passages[split])
    for split in SPLITS:
        pool = passages["train"] if split == "train" else everything
        questions[split] = attach_contexts(questions[split], pool, contexts)
    return World(everything, questions)


def write_dpr(questions: Iterable[Question], path: Path) -> None:
    """Write questions as JSON lines in the DPR/FiD form: id, question, answers, ctxs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for question in questions:
            ctxs = [
                {"id": passage.id, "title": passage.title, "text": passage.text}
                | {"score": passage.score, "has_answer": passage.has_answer}
                for passage in question.contexts
            ]
            row = {"id": question.id, "question": question.question, "answers": list(question.answers), "ctxs": ctxs}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _draw(part: _Part, size: int, seed: int) -> tuple[list[Question], list[Entity]]:
    """`size` questions of a split, and the entities that get passages."""
    choices = random.Random(f"{seed}/questions/{part.split}")
    quotas = {kind: int(size * share) for kind, share in MIX.items()}
    quotas["city_hop"] += size - sum(quotas.values())
    drawn: list[Question] = []
    for kind in ("country", "country_hop", "element", "element_hop"):
        taken = _questions(part.pairs(kind, choices), quotas[kind], choices)
        quotas["city_hop"] += quotas[kind] - len(taken)
        drawn += taken
    cities = _around_the_world([entity for entity in part.entities if entity.kind == "city"], choices)
    asked = math.ceil((quotas["city_hop"] + quotas["city_unknown"]) / QUESTIONS_PER_CITY)
    pool = _Part(part.split, tuple(cities[:asked]))
    for kind in ("city_unknown", "city_hop"):
        taken = _questions(pool.pairs(kind, choices), quotas[kind], choices)
        quotas["city_hop"] += (quotas[kind] - len(taken)) if kind == "city_unknown" else 0
        drawn += taken
    if len(drawn) < size:
        raise ValueError(f"world.{part.split}_questions={size}: the facts make only {len(drawn)} different questions")
    choices.shuffle(drawn)
    told = [entity for entity in part.entities if entity.kind != "city"]
    return drawn, told + cities[: asked + math.ceil(asked * DISTRACTORS)]


def _questions(pairs: Sequence[tuple[Entity, Relation]], size: int, choices: random.Random) -> list[Question]:
    """Up to `size` different questions: every pair in one wording first, then the pairs in their other wordings."""
    first = [choices.randrange(len(relation.wordings)) for _, relation in pairs]
    found: dict[str, Question] = {}
    for turn in range(max((len(relation.wordings) for _, relation in pairs), default=0)):
        for (entity, relation), start in zip(pairs, first, strict=True):
            if len(found) == size:
                return list(found.values())
            if turn < len(relation.wordings):
                question = _question(entity, relation, (start + turn) % len(relation.wordings))
                found.setdefault(question.question, question)
    return list(found.values())


def _question(entity: Entity, relation: Relation, wording: int) -> Question:
    values = entity.values(relation.asks)
    answers = tuple(dict.fromkeys([value[0] for value in values] + [name for value in values for name in value]))
    return Question(
        id=f"world-{entity.kind}-{slug(entity.name)}-{relation.name.replace('_', '-')}-{wording}",
        question=ask(relation, entity, wording),
        answers=answers,
        entity=entity.name,
        relation=relation.name,
        kind=relation.kind,
    )


def _askable(entity: Entity, relation: Relation) -> bool:
    if entity.kind != relation.entity or not entity.values(relation.asks) or not entity.values(relation.subject):
        return False
    # "Which country has the capital Guatemala City?" answers itself.
    return relation.subject != "capital" or not Mentions(entity.names)(entity.values("capital")[0][0])


def _around_the_world(cities: Sequence[Entity], choices: random.Random) -> list[Entity]:
    """Cities in an order that takes one of each country in turn, so that no large country fills the world."""
    shuffled = list(cities)
    choices.shuffle(shuffled)
    seen: Counter[str] = Counter()
    turns = []
    for city in shuffled:
        turns.append(seen[city.home])
        seen[city.home] += 1
    return [city for _, city in sorted(zip(turns, shuffled, strict=True), key=lambda pair: pair[0])]


def _describe(rows: Sequence[Question]) -> dict[str, Any]:
    def found(k: int, own: bool) -> float:
        hits = (any(ctx.has_answer and (not own or ctx.title == row.entity) for ctx in row.contexts[:k]) for row in rows)
        return round(sum(hits) / max(1, len(rows)), 4)

    return {
        "questions": len(rows),
        "entities": len({row.entity for row in rows}),
        "kinds": dict(sorted(Counter(row.kind for row in rows).items())),
        "relations": dict(sorted(Counter(row.relation for row in rows).items())),
        **{f"gold@{k}": found(k, own=True) for k in (1, 5, 10)},
        **{f"answer@{k}": found(k, own=False) for k in (1, 5, 10)},
    }
