"""The parser's training, dev and test requests, from questions with answers and from templates."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from aag_ray.answer.parsing.examples import Need, ParserExample
from aag_ray.answer.parsing.facts import Fact, facts_of, foreign_facts
from aag_ray.answer.parsing.forms import AFTER_CUTOFF, ERRANDS, TIMELY, Form
from aag_ray.answer.parsing.wording import LABELS, NEXT_RELATION, NEXT_SUBJECT, OF_THE_NAME
from aag_ray.config import ParserDataSection
from aag_ray.records import Question
from aag_ray.world.facts import Entity, load_places
from aag_ray.world.foreign import foreign_name
from aag_ray.world.relations import spoken
from aag_ray.world.splits import split_cities, split_entities

DAYS_AFTER_CUTOFF = 4 * 365
YEARS_AHEAD = 1  # the first day of a request, in years after the cutoff: so that there is a year after it to ask about


@dataclass(frozen=True)
class Places:
    """The countries and cities that a split's templates may name."""

    countries: tuple[Entity, ...]
    cities: tuple[Entity, ...]


def split_places(section: ParserDataSection, seed: int) -> dict[str, Places]:
    """The embedded world's places, split as its questions are."""
    countries, cities = load_places(section.world.min_city_population)
    homes = split_entities(countries, seed)
    towns = split_cities(cities, homes, seed)
    return {
        split: Places(
            tuple(each for each in countries if homes[each.name] == split),
            tuple(each for each in cities if towns[each.name] == split),
        )
        for split in ("train", "dev", "test")
    }


def make_examples(
    questions: Sequence[Question], places: Places, section: ParserDataSection, split: str, seed: int
) -> list[ParserExample]:
    """One split's requests in random order: the questions, the same in other languages, follow-ups, templates.

    The shares of the section are relative to the number of questions. Training never sees the last wording of a template.
    """
    maker = _Maker(section, places, random.Random(f"{seed}/parser/{split}"), split)
    examples = list(maker.all(facts_of(questions)))
    maker.draw.shuffle(examples)
    unique = {example.id: example for example in examples}
    return list(unique.values())


@dataclass
class _Maker:
    section: ParserDataSection
    places: Places
    draw: random.Random
    split: str

    def all(self, english: Sequence[Fact]) -> Iterator[ParserExample]:
        section, size = self.section, len(english)
        countries = {country.name: country for country in self.places.countries}
        each = round(section.foreign * size / max(1, len(section.languages)))
        abroad = [foreign_facts(english, countries, language, each, self.draw) for language in section.languages]
        facts = [*english, *(fact for part in abroad for fact in part)]
        for fact in facts:
            yield self._measured(fact, fact.id, (fact.question,))
        yield from self._follow_ups(facts, round(section.follow_ups * size))
        yield from self._timely(facts, round(section.timely * size))
        yield from self._errands(facts, round(section.errands * size))

    def _measured(self, fact: Fact, name: str, conversation: tuple[str, ...]) -> ParserExample:
        return ParserExample(
            name, Need.MEASURED, fact.language, conversation, fact.question, fact.query, self._day(), answers=fact.answers
        )

    def _follow_ups(self, facts: Sequence[Fact], count: int) -> Iterator[ParserExample]:
        """Another relation of the same subject, another subject of the same relation, or a question that stands alone."""
        able = [fact for fact in facts if fact.relation in OF_THE_NAME]
        by_subject = _grouped(able, lambda fact: (fact.language, fact.subject))
        by_relation = _grouped(able, lambda fact: (fact.language, fact.relation))
        for number in range(count if able else 0):
            first = self.draw.choice(able)
            kind = self.draw.choice(("relation", "subject", "alone"))
            same_subject = [f for f in by_subject[first.language, first.subject] if f.relation != first.relation]
            same_relation = [f for f in by_relation[first.language, first.relation] if f.subject != first.subject]
            if kind == "relation" and same_subject:
                second = self.draw.choice(same_subject)
                said = self._worded(NEXT_RELATION[first.language], LABELS[first.language][second.relation])
            elif kind == "subject" and same_relation:
                second = first.about(self.draw.choice(same_relation))
                said = self._worded(NEXT_SUBJECT[first.language], second.subject)
            else:
                second = self.draw.choice(facts)
                said = second.question
            yield self._measured(second, f"{second.id}+{number}", (first.question, self._said(first), said))

    def _timely(self, facts: Sequence[Fact], count: int) -> Iterator[ParserExample]:
        named = _grouped((f for f in facts if f.relation in OF_THE_NAME), lambda f: (f.language, f.entity))
        for number in range(count):
            form = AFTER_CUTOFF if self.draw.random() < self.section.after_cutoff else self.draw.choice(TIMELY)
            language = self.draw.choice(("en", *self.section.languages))
            place = self.draw.choice(self.places.countries if form.about == "country" else self.places.cities)
            yield self._of_form(form, language, place, named.get((language, place.name), ()), number)

    def _of_form(self, form: Form, language: str, place: Entity, before: Sequence[Fact], number: int) -> ParserExample:
        today = self._day()
        values = self._values(today, language) | {"name": _name(place, language)}
        wordings = form.wordings[language]
        wording = self.draw.choice(wordings[:-1] if self.split == "train" else wordings)
        # In keywords a place has no article.
        query = form.keywords[language].format(**values | {"name": _name(place, language).removeprefix("the ")})
        question = wording.format(**values)
        conversation: tuple[str, ...] = (question,)
        if before and self.draw.random() < self.section.follow_ups:
            first = self.draw.choice(before)
            question = wordings[0].format(**values)
            conversation = (first.question, self._said(first), form.again[language].format(**values))
        need = Need.AFTER_CUTOFF if form is AFTER_CUTOFF else Need.TIMELY
        new = wording == wordings[-1] and len(conversation) == 1
        return ParserExample(
            f"{form.name}-{language}-{number}", need, language, conversation, question, query, today, form.freshness,
            new_wording=new,
        )  # fmt: skip

    def _errands(self, facts: Sequence[Fact], count: int) -> Iterator[ParserExample]:
        for number in range(count):
            language = self.draw.choice(("en", *self.section.languages))
            wordings = ERRANDS[language]
            wording = self.draw.choice(wordings[:-1] if self.split == "train" else wordings)
            said = wording.format(a=self.draw.randint(2, 40), b=self.draw.randint(41, 99))
            before = [fact for fact in facts if fact.language == language] if self.draw.random() < 0.5 else []
            first = self.draw.choice(before) if before else None
            conversation = (said,) if first is None else (first.question, self._said(first), said)
            yield ParserExample(
                f"errand-{language}-{number}", Need.ERRAND, language, conversation, said, said, self._day(),
                new_wording=wording == wordings[-1],
            )  # fmt: skip

    def _said(self, fact: Fact) -> str:
        """What was answered: bare, or as a sentence ends."""
        return fact.answers[0] + self.draw.choice(("", "."))

    def _worded(self, wordings: Sequence[str], value: str) -> str:
        return self.draw.choice(wordings[:-1] if self.split == "train" else wordings).format(value)

    def _day(self) -> date:
        first = self.section.cutoff.replace(year=self.section.cutoff.year + YEARS_AHEAD, day=1)
        return first + timedelta(days=self.draw.randrange(DAYS_AFTER_CUTOFF))

    def _values(self, today: date, language: str) -> dict[str, str]:
        from babel.dates import format_date

        month_before = today.replace(day=1) - timedelta(days=1)
        later = self.draw.randint(self.section.cutoff.year + 1, today.year)
        return {
            "year": str(today.year),
            "last_year": str(today.year - 1),
            "last_month": format_date(month_before, "LLLL y", locale=language),
            "later": str(later),
        }


def _name(place: Entity, language: str) -> str:
    return spoken(place.kind, place.name) if language == "en" else foreign_name(place, language)


def _grouped(facts: Iterable[Fact], key: Callable[[Fact], tuple[str, str]]) -> dict[tuple[str, str], list[Fact]]:
    groups: dict[tuple[str, str], list[Fact]] = {}
    for fact in facts:
        groups.setdefault(key(fact), []).append(fact)
    return groups
