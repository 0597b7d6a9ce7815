"""The parser's data: what each split holds, and what training never sees."""

from __future__ import annotations

import random

import pytest

from aag_ray.answer.parsing.examples import Need, ParserExample
from aag_ray.answer.parsing.forms import AFTER_CUTOFF, ERRANDS, TIMELY
from aag_ray.answer.parsing.making import Places, make_examples, split_places
from aag_ray.answer.parsing.wording import LANGUAGES
from aag_ray.config import ParserDataSection
from aag_ray.records import Question
from aag_ray.world.facts import Entity
from aag_ray.world.relations import RELATIONS, ask

SECTION = ParserDataSection.model_validate({"world": {"min_city_population": 1_000_000}, "timely": 1.0, "after_cutoff": 0.4})


@pytest.fixture(scope="module")
def places() -> dict[str, Places]:
    return split_places(SECTION, 29)


def questions_about(countries: tuple[Entity, ...], count: int = 120) -> list[Question]:
    """English questions of fact as the embedded world makes them."""
    draw = random.Random(5)
    relations = [each for each in RELATIONS if each.kind == "country" and each.subject == "name"]
    rows = []
    for country in countries:
        for relation in relations:
            if values := country.values(relation.asks):
                text = ask(relation, country, draw.randrange(len(relation.wordings)))
                rows.append(
                    Question(f"{country.name}-{relation.name}", text, values[0], entity=country.name, relation=relation.name)
                )
    return rows[:count]


@pytest.fixture(scope="module")
def splits(places: dict[str, Places]) -> dict[str, list[ParserExample]]:
    return {split: make_examples(questions_about(each.countries), each, SECTION, split, 29) for split, each in places.items()}


def test_every_kind_and_language_is_there(splits: dict[str, list[ParserExample]]):
    for examples in splits.values():
        assert {example.need for example in examples} == set(Need)
        assert {example.language for example in examples} == set(LANGUAGES)
        assert any(example.follow_up for example in examples if example.need is Need.MEASURED)
        assert any(example.follow_up for example in examples if example.need is Need.TIMELY)
        assert len({example.id for example in examples}) == len(examples)


def test_equal_seeds_make_equal_requests_and_other_seeds_others(places: dict[str, Places]):
    questions = questions_about(places["dev"].countries, 20)
    made = [make_examples(questions, places["dev"], SECTION, "dev", seed) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


def test_only_facts_have_answers_and_every_request_has_keywords(splits: dict[str, list[ParserExample]]):
    for example in (each for examples in splits.values() for each in examples):
        assert bool(example.answers) == (example.need is Need.MEASURED)
        assert example.query
        assert "{" not in " ".join((*example.conversation, example.question, example.query))


def test_training_never_sees_the_wordings_that_are_kept_for_test(splits: dict[str, list[ParserExample]]):
    kept = [form.wordings[language][-1] for form in (*TIMELY, AFTER_CUTOFF) for language in LANGUAGES]
    marks = {wording.split("{name}")[0] for wording in kept if len(wording.split("{name}")[0]) > 12}
    assert not any(example.new_wording for example in splits["train"])
    assert not [e for e in splits["train"] if any(e.question.startswith(mark) for mark in marks) and e.need is Need.TIMELY]
    assert any(example.new_wording for example in splits["test"])
    assert {ERRANDS[language][-1][:8] for language in LANGUAGES}.isdisjoint(
        example.conversation[-1][:8] for example in splits["train"] if example.need is Need.ERRAND
    )


def test_days_lie_after_the_cutoff_and_questions_about_later_years_name_one_between(splits: dict[str, list[ParserExample]]):
    for example in splits["test"]:
        assert example.today > SECTION.cutoff
        if example.need is Need.AFTER_CUTOFF:
            year = int(example.query.split()[-1])
            assert SECTION.cutoff.year < year <= example.today.year
            assert str(year) in example.question


def test_keywords_with_a_year_take_it_from_the_day(splits: dict[str, list[ParserExample]]):
    leaders = [each for each in splits["train"] if each.id.startswith("leader-")]
    assert leaders
    assert all(each.query.endswith(str(each.today.year)) for each in leaders)
    champions = [each for each in splits["train"] if each.id.startswith("champion-")]
    assert all(each.query.endswith(str(each.today.year - 1)) for each in champions)


def test_a_follow_up_comes_to_a_question_that_stands_alone(splits: dict[str, list[ParserExample]]):
    for example in (each for examples in splits.values() for each in examples if each.follow_up):
        assert len(example.conversation) == 3
        if example.conversation[-1] != example.question:
            assert len(example.question) > 8
        if example.need is Need.MEASURED:
            assert example.conversation[1]


def test_no_place_is_shared_by_two_splits(places: dict[str, Places]):
    for kind in ("countries", "cities"):
        names = [{entity.name for entity in getattr(each, kind)} for each in places.values()]
        assert all(names)
        assert sum(map(len, names)) == len(set().union(*names))
