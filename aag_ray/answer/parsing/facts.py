"""Questions of fact in several languages, with the keywords that would find their answers."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aag_ray.answer.parsing.wording import LABELS, QUESTIONS, subject_of
from aag_ray.answer.words import content_words
from aag_ray.records import Question
from aag_ray.world.facts import Entity
from aag_ray.world.foreign import foreign_name, foreign_value
from aag_ray.world.relations import RELATIONS, capitalised

_ASKS = {relation.name: relation.asks for relation in RELATIONS}
# What questions are made of and searches are not, in English: questions from files have no other keywords.
_ASKING = frozenset(
    "what who whom whose when where why how did does do name many much tell me you can could would please".split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Fact:
    """A question with its accepted answers. `entity` is the English name of what it is about; `relation`, `wording` and
    `subject` say how it was made, "" where that is not known."""

    id: str
    language: str
    question: str
    answers: tuple[str, ...]
    entity: str = ""
    relation: str = ""
    wording: str = ""
    subject: str = ""

    @property
    def query(self) -> str:
        """Subject and label; of a question from a file its content words."""
        if self.subject:
            return f"{self.subject.removeprefix('the ')} {LABELS[self.language][self.relation]}"
        kept = [word for word in content_words(self.question) if word not in _ASKING]
        return " ".join(kept) or self.question

    def about(self, other: Fact) -> Fact:
        """The other fact, of the same relation, asked in this one's wording."""
        question = capitalised(self.wording.format(other.subject))
        return Fact(
            f"{other.id}~{self.id}", self.language, question, other.answers, other.entity, self.relation, self.wording,
            other.subject,
        )  # fmt: skip


def facts_of(questions: Iterable[Question]) -> list[Fact]:
    """English questions as facts; those made from a wording that is known here keep it."""
    facts = []
    for row in questions:
        made = subject_of(row.question, row.relation, "en")
        wording, subject = made or ("", "")
        relation = row.relation if made else ""
        facts.append(Fact(row.id, "en", row.question, row.answers, row.entity, relation, wording, subject))
    return facts


def foreign_facts(
    facts: Sequence[Fact], countries: Mapping[str, Entity], language: str, count: int, draw: random.Random
) -> list[Fact]:
    """Up to `count` of the facts about countries, asked in another language. Accepted are its names and the English ones."""
    able = [fact for fact in facts if fact.entity in countries and fact.relation in QUESTIONS[language]]
    pairs = {(fact.entity, fact.relation): fact for fact in able}
    chosen = draw.sample(sorted(pairs), min(count, len(pairs)))
    return [_foreign(pairs[key], countries[key[0]], language, draw) for key in chosen]


def _foreign(fact: Fact, country: Entity, language: str, draw: random.Random) -> Fact:
    wording = draw.choice(QUESTIONS[language][fact.relation])
    subject = foreign_name(country, language)
    asked = _ASKS[fact.relation]
    named = [foreign_value(asked, value, language) for value in country.values(asked)]
    answers = tuple(dict.fromkeys([*named, *fact.answers]))
    question = capitalised(wording.format(subject))
    return Fact(f"{fact.id}/{language}", language, question, answers, fact.entity, fact.relation, wording, subject)
