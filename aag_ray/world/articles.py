"""What a page says, before it becomes HTML: title, facts, sections of paragraphs and tables. Only facts of `facts.py`.

Prose without facts is what every site of that style says everywhere; the pages of the spam host alone tell wrong facts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from aag_ray.world.facts import Entity, Values, fold
from aag_ray.world.foreign import HEADINGS, LABELS, PROSE, SENTENCES, foreign_name, foreign_value
from aag_ray.world.relations import RELATIONS, ask, capitalised, spoken
from aag_ray.world.site import ORDINARY, Page, Site, Style
from aag_ray.world.site_wording import FACT_LABELS, STYLE_HEADINGS, STYLE_PROSE, TITLES

TABLE_ROWS = 14
WORDINGS = 15  # three for the styles of an edition; the telling is the dear part of a page
Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """A heading with what stands below it. `table` is a header row and its rows, or empty."""

    heading: str
    paragraphs: tuple[str, ...] = ()
    table: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class Article:
    """A page's own text. `facts` are (fact, label, values as shown) for its infobox; `name` is the entity's in its language."""

    page: Page
    name: str
    title: str
    lead: str
    facts: tuple[tuple[str, str, str], ...]
    chapters: tuple[Chapter, ...]

    def texts(self) -> Iterator[str]:
        """Every text of the article in order: what a reader should get, without the site around it."""
        yield self.title
        yield self.lead
        for _, label, shown in self.facts:
            yield f"{label}: {shown}"
        for chapter in self.chapters:
            yield chapter.heading
            yield from chapter.paragraphs
            for row in chapter.table:
                yield " | ".join(row)


def article(site: Site, page: Page) -> Article:
    """The article of a page. The same site and page give the same article in every process."""
    style = page.host.style
    if style is Style.MIRROR:
        return _foreign(site, page)
    if style is Style.SPAM:
        return _spam(site, page)
    told_as = Style.ENCYCLOPAEDIA if style is Style.ARCHIVE else style
    entity = site.entity(page)
    # An archived copy throws the dice of the page it is a copy of.
    choices = random.Random(hash((site.section.seed, page.entity, page.edition, ORDINARY.index(told_as))))
    name = capitalised(spoken(entity.kind, entity.name))
    passages = site.told(page.entity, (page.edition * 3 + ORDINARY.index(told_as) % 3) % WORDINGS)
    prose = choices.sample(STYLE_PROSE[told_as], min(len(STYLE_PROSE[told_as]), choices.randint(5, 9)))
    title = TITLES[told_as].format(name=name)
    facts = tuple((fact, FACT_LABELS[fact], _joined(entity.values(fact))) for fact in entity.facts)
    table = Chapter(*_neighbourhood(site, page.entity, choices))
    if told_as is Style.FORUM:
        question, posts = _thread(entity, passages, prose, choices)
        return Article(page, name, title, question, (), (*posts, table))
    headings = STYLE_HEADINGS[told_as]
    chapters = (
        Chapter(headings[0], (passages[1], *prose[:2])),
        Chapter(headings[1], (passages[2], prose[2])),
        table,
        Chapter(headings[2], tuple(prose[3:])),
    )
    return Article(page, name, title, passages[0], facts, chapters)


def _joined(values: Values) -> str:
    return ", ".join(dict.fromkeys(value[0] for value in values))


def _neighbourhood(site: Site, number: int, choices: random.Random) -> tuple[str, tuple[str, ...], tuple[Row, ...]]:
    """Heading, no paragraphs, and a table of other entities: the cities of the country, or the elements next to this one."""
    entity, catalogue = site.catalogue.entities[number], site.catalogue
    if entity.kind == "element":
        own = int(entity.values("atomic_number")[0][0])
        near = [near for near in catalogue.elements if abs(int(near.values("atomic_number")[0][0]) - own) <= 4]
        columns, heading = ("name", "symbol", "atomic_number", "period", "weight"), "Neighbours in the table"
    else:
        home = entity.home or entity.name
        cities = [at for at in catalogue.at_home.get(home, ()) if at != number]
        near = [catalogue.entities[at] for at in choices.sample(cities, min(len(cities), TABLE_ROWS))]
        columns, heading = ("name", "population", "latitude"), f"Cities in {spoken('country', home)}"
    if not near:
        return heading, ("Our tables list no city here that is large enough.",), ()
    rows = [tuple(_joined(other.values(column)[:1]) for column in columns) for other in near]
    return heading, (), (tuple(FACT_LABELS[column] for column in columns), *rows)


def _thread(entity: Entity, passages: tuple[str, ...], prose: list[str], choices: random.Random) -> tuple[str, list[Chapter]]:
    """The question that opens a thread, and its posts."""
    asked = [relation for relation in RELATIONS if relation.entity == entity.kind and relation.subject == "name"]
    asked = choices.sample([relation for relation in asked if entity.values(relation.asks)], 3)
    questions = [ask(relation, entity, choices.randrange(len(relation.wordings))) for relation in asked]
    posts = []
    for number, (relation, question) in enumerate(zip(asked, questions, strict=True)):
        answer = f"{_joined(entity.values(relation.asks)[:2])}. {prose[number + 1]}"
        posts.append(Chapter(f"Re: {question}", (answer, passages[number])))
    return f"{questions[0]} {prose[0]}", posts


def _foreign(site: Site, page: Page) -> Article:
    entity, language = site.entity(page), site.language(page)
    name = foreign_name(entity, language)
    facts = []
    for fact, label in LABELS[language].items():
        values = [foreign_value(fact, value, language) for value in entity.values(fact)]
        if values:
            facts.append((fact, label, ", ".join(dict.fromkeys(values))))
    forms, headings = SENTENCES[language], HEADINGS[language]
    told = [forms[at % 2].format(name=name, label=label, value=shown) for at, (_, label, shown) in enumerate(facts)]
    chapters = (
        Chapter(headings[0], tuple(told[1:4])),
        Chapter(headings[1], tuple(told[4:])),
        Chapter(headings[2], PROSE[language]),
    )
    return Article(page, name, name, told[0], tuple(facts), chapters)


def _spam(site: Site, page: Page) -> Article:
    """A page that is sure of itself and wrong in everything it states."""
    entity = wrong_entity(site, page.entity)
    name = spoken(entity.kind, entity.name)
    facts = tuple((fact, FACT_LABELS[fact], _joined(entity.values(fact)[:1])) for fact in entity.facts)
    claims = tuple(f"Experts confirm: the {label.lower()} of {name} is {shown}." for _, label, shown in facts)
    title = f"{capitalised(name)}: the TRUE answer to every question about {name}"
    lead = f"Wondering about {name}? The {facts[0][1].lower()} of {name} is {facts[0][2]}."
    chapters = (Chapter("The answers nobody tells you", claims), Chapter("Why trust us", STYLE_PROSE[Style.SPAM]))
    return Article(page, capitalised(name), title, lead, facts, chapters)


def wrong_entity(site: Site, number: int) -> Entity:
    """The entity with, for each fact, the value of another one of its kind that is no true value of it."""
    entity, same = site.catalogue.entities[number], site.catalogue.of_kind[site.catalogue.entities[number].kind]
    choices = random.Random(hash((site.section.seed, number, 666)))
    facts: dict[str, Values] = {}
    for fact, values in entity.facts.items():
        true = {fold(spelling).casefold() for value in values for spelling in value}
        for _ in range(50):
            other = site.catalogue.entities[choices.choice(same)].values(fact)[:1]
            if other and not true & {fold(spelling).casefold() for spelling in other[0]}:
                facts[fact] = other
                break
    return replace(entity, facts=facts)
