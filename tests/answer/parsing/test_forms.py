"""Templates of requests whose label lies in what they ask for."""

from __future__ import annotations

import string

import pytest

from aag_ray.answer.parsing.forms import AFTER_CUTOFF, ERRANDS, TIMELY, Form
from aag_ray.answer.parsing.wording import LANGUAGES
from aag_ray.web.search.request import Freshness

FIELDS = {"name", "year", "last_year", "last_month", "later"}


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


@pytest.mark.parametrize("form", [*TIMELY, AFTER_CUTOFF], ids=lambda form: form.name)
def test_a_form_is_there_in_every_language_with_wordings_to_keep_out_of_training(form: Form):
    assert set(form.wordings) == set(form.keywords) == set(form.again) == set(LANGUAGES)
    for language in LANGUAGES:
        assert len(form.wordings[language]) == 3
        for wording in form.wordings[language]:
            assert "name" in fields(wording) <= FIELDS
        assert "name" in fields(form.keywords[language]) <= FIELDS
        assert "name" not in fields(form.again[language])


def test_freshness_is_one_that_a_search_knows_or_none():
    assert {form.freshness for form in TIMELY} == set(Freshness)
    assert AFTER_CUTOFF.freshness == "none"


def test_what_changes_with_the_day_is_searched_for_with_the_day_where_it_helps():
    dated = {form.name for form in (*TIMELY, AFTER_CUTOFF) if fields(form.keywords["en"]) - {"name"}}
    assert dated == {"leader", "inflation", "champion", "after_cutoff"}


def test_errands_are_there_in_every_language():
    assert set(ERRANDS) == set(LANGUAGES)
    assert all(fields(text) <= {"a", "b"} for texts in ERRANDS.values() for text in texts)
    assert all(len(texts) >= 4 for texts in ERRANDS.values())
