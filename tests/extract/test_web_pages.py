"""Labelled pages of the local web: what is evidence on them and what only looks like it."""

import random
from collections import Counter

import pytest

from aag_ray.config import WorldSection
from aag_ray.extract.gold import SOURCE, holds_answer
from aag_ray.extract.web_pages import ROW_OF_ANOTHER, WebPages, web_pages
from aag_ray.world.site import known_world

WORLD = WorldSection(train_questions=60, dev_questions=10, test_questions=30, min_city_population=2_000_000)
SEED = 3


@pytest.fixture(scope="module")
def questions():
    return known_world(WORLD, SEED)[0].questions["train"]


@pytest.fixture(scope="module")
def pages() -> WebPages:
    return WebPages(WORLD, SEED)


@pytest.fixture(scope="module")
def examples(questions):
    return list(web_pages(questions, 60, WORLD, SEED))


def test_two_of_three_pages_are_about_the_questions_subject_and_state_the_answer(examples) -> None:
    relevant = [each for each in examples if each.relevant]

    assert len(examples) >= 50
    assert 0.55 < len(relevant) / len(examples) < 0.75
    assert all(any(holds_answer(each.text_of(number), each.answers) for number in each.gold) for each in relevant)
    assert {each.source for each in examples} == {SOURCE}


def test_pages_are_whole_pages_of_the_web_cleaned(examples) -> None:
    texts = [each.page.text for each in examples]

    assert len({each.page.url.split("/")[2] for each in examples}) >= 6, "pages of many styles"
    assert any("Name: " in text for text in texts), "tables of other subjects stand on them"
    assert not any("<" in text and "</" in text for text in texts)
    assert all(each.page.text[span.start : span.end].strip() for each in examples for span in each.spans)


def test_the_row_of_another_subject_is_no_evidence_even_with_the_same_value(questions, pages) -> None:
    rows = [
        each.text_of(number)
        for question in questions
        if question.kind == "city_unknown"
        for at in range(4)
        if (each := pages.about(question, random.Random(at), "one")) is not None
        for number in each.gold
        if each.text_of(number).startswith(ROW_OF_ANOTHER)
    ]

    assert rows == []


def test_the_row_of_the_subject_itself_is_not_that_of_another(questions) -> None:
    from aag_ray.extract.web_pages import _of_another

    question = next(each for each in questions if each.kind == "city_unknown")

    assert not _of_another(f"Name: {question.entity}; Latitude: 1 degree north", question)
    assert _of_another(f"Name: {question.entity}ville; Latitude: 1 degree north", question)
    assert not _of_another("Latitude: 1 degree north", question)


def test_a_page_about_another_subject_has_no_evidence_and_does_not_say_what_is_asked(questions, pages) -> None:
    for at, question in enumerate(questions):
        each = pages.without(question, random.Random(at), "other")
        if each is None:
            continue
        texts = [each.text_of(span.number) for span in each.spans]
        assert not each.relevant
        assert not any(question.entity in text and holds_answer(text, question.answers) for text in texts)


def test_the_same_seed_gives_the_same_pages_and_more_pages_begin_with_the_fewer(questions, examples) -> None:
    again = list(web_pages(questions, 30, WORLD, SEED))

    assert [each.to_row() for each in again] == [each.to_row() for each in examples[: len(again)]]
    assert len({each.id for each in examples}) == len(examples)


def test_every_kind_of_question_has_as_many_pages_whatever_its_share(questions) -> None:
    kinds = {each.question: each.kind for each in questions}
    few = [*questions[:20], *(each for each in questions if each.kind == "city_unknown")][:24]
    present = {each.kind for each in few}

    made = Counter(kinds[each.question] for each in web_pages(few, 10 * len(present), WORLD, SEED))

    assert set(made) == present
    assert min(made.values()) >= 6
    assert max(made.values()) <= 10, "a question has several pages where its kind has few questions"
