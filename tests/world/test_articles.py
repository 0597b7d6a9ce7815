"""What pages say is what the tables of facts say, word for word; the spam host alone says what they do not."""

from __future__ import annotations

import re

import pytest

from aag_ray.config import WorldSection
from aag_ray.world.articles import article, wrong_entity
from aag_ray.world.facts import Entity, fold
from aag_ray.world.relations import spoken
from aag_ray.world.retrieval import has_answer
from aag_ray.world.site import Page, Site, SiteSection, Style
from aag_ray.world.site_wording import FACT_LABELS
from aag_ray.world.telling import CLAUSES

MARK = "\0"
SMALL = WorldSection(train_questions=60, dev_questions=20, test_questions=40)


@pytest.fixture(scope="module")
def site() -> Site:
    return Site(SiteSection(pages=1600))


def english(site: Site) -> list[Page]:
    return [page for host in site.ordinary if host.style is not Style.MIRROR for page in site.pages(host)]


def shown_values(entity: Entity, fact: str) -> str:
    return ", ".join(dict.fromkeys(value[0] for value in entity.values(fact)))


def is_true(entity: Entity, fact: str, value: str) -> bool:
    true = {fold(name).casefold() for values in entity.values(fact) for name in values}
    parts = {fold(part).casefold().removeprefix("the ") for part in re.split(r", | and ", value)}
    return fold(value).casefold() in true or parts <= {name.removeprefix("the ") for name in true}


def said(entity: Entity, text: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each clause of a told text, with every (fact, value) it can be read as, by the clauses that texts are made of."""
    found = []
    name = spoken(entity.kind, entity.name)
    clauses = re.split(r"(?<!St)\. |, and (?=[a-zA-Z.+])|\.$", text)
    for clause in filter(None, clauses):
        read = []
        for fact, templates in CLAUSES[entity.kind].items():
            for template in templates:
                filled = template.format(name=name, value=MARK, s=MARK * 2, are=MARK * 3, article=MARK * 4)
                pattern = re.escape(filled).replace(re.escape(MARK), MARK).replace(MARK * 4, "an?")
                pattern = pattern.replace(MARK * 3, "(?:is|are)").replace(MARK * 2, "s?").replace(MARK, "(.+)")
                if match := re.fullmatch(pattern, clause, re.IGNORECASE):
                    read.append((fact, match[1]))
        found.append((clause, read))
    return found


def test_infobox_rows_are_the_facts_and_all_of_them(site: Site):
    for page in english(site):
        told, entity = article(site, page), site.entity(page)
        if told.facts:
            shown = {fact: values for fact, _, values in told.facts}
            assert shown == {fact: shown_values(entity, fact) for fact in entity.facts}


def test_every_told_clause_is_true(site: Site):
    stated = 0
    for page in english(site)[::3]:
        entity = site.entity(page)
        for text in site.told(page.entity, 0):
            for clause, read in said(entity, text):
                assert any(is_true(entity, fact, value) for fact, value in read), (entity.name, clause, read)
                stated += 1
    assert stated > 1000


def test_tables_of_other_entities_are_true_too(site: Site):
    rows = 0
    columns = {label: fact for fact, label in FACT_LABELS.items()}
    for page in english(site):
        for chapter in article(site, page).chapters:
            if chapter.table:
                header, *body = chapter.table
                kind = "element" if "Symbol" in header else "city"
                for name, *values in body:
                    entity = site.catalogue.entities[site.catalogue.by_name[kind, name]]
                    facts = [columns[label] for label in header[1:]]
                    assert values == [", ".join(value[0] for value in entity.values(fact)[:1]) for fact in facts]
                    rows += 1
    assert rows > 5000


def test_what_test_questions_ask_stands_on_pages_about_their_entity(site: Site):
    for question in site.world.questions["test"]:
        number = site.catalogue.by_name[question.id.split("-")[1], question.entity]
        page = site.about(Style.ENCYCLOPAEDIA, number)
        assert page is not None
        assert has_answer("\n".join(article(site, page).texts()), question.answers), question.id


def test_styles_tell_one_entity_in_different_words(site: Site):
    number = site.catalogue.of_kind["country"][0]
    pages = [site.about(style, number) for style in (Style.ENCYCLOPAEDIA, Style.TRAVEL, Style.NEWS)]
    leads = {article(site, page).lead for page in pages if page}
    titles = {article(site, page).title for page in pages if page}
    assert len(leads) == len(titles) == 3


def test_an_archived_copy_says_what_its_original_says(site: Site):
    for copy in list(site.pages(site.ordinary[7]))[:20]:
        original = site.about(Style.ENCYCLOPAEDIA, copy.entity)
        assert original is not None
        assert list(article(site, copy).texts()) == list(article(site, original).texts())


def test_spam_is_wrong_in_everything_it_states(site: Site):
    for page in site.pages(site.spam):
        entity, wrong = site.entity(page), wrong_entity(site, page.entity)
        assert wrong.facts
        for fact, values in wrong.facts.items():
            true = {fold(name).casefold() for value in entity.values(fact) for name in value}
            assert not true & {fold(name).casefold() for value in values for name in value}, (entity.name, fact)
        assert all(shown == wrong.values(fact)[0][0] for fact, _, shown in article(site, page).facts)


def test_mirrors_give_the_facts_in_their_language(site: Site):
    for page in site.pages(site.ordinary[6]):
        told, entity = article(site, page), site.entity(page)
        assert {fact for fact, _, _ in told.facts} == set(entity.facts)
        for fact, _, shown in told.facts:
            if fact in ("capital", "domain", "calling_code", "iso_code", "largest_city"):
                assert shown == shown_values(entity, fact)


def test_articles_are_the_same_for_the_same_seed_and_others_for_another():
    one, same, other = (Site(SiteSection(pages=40, seed=seed, world=SMALL)) for seed in (29, 29, 30))
    texts = [[list(article(site, page).texts()) for page in site.articles()] for site in (one, same, other)]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
