"""Every language can ask for, search for and ask again about every relation it knows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.answer.parsing.wording import LABELS, LANGUAGES, NEXT_RELATION, NEXT_SUBJECT, QUESTIONS, subject_of
from aag_ray.world.relations import RELATIONS, capitalised


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_can_be_asked_can_be_searched_for_and_asked_again(language: str):
    assert set(QUESTIONS[language]) == set(LABELS[language])
    assert len(NEXT_RELATION[language]) >= 3
    assert len(NEXT_SUBJECT[language]) >= 3
    templates = [*NEXT_RELATION[language], *NEXT_SUBJECT[language], *(w for each in QUESTIONS[language].values() for w in each)]
    assert all(template.count("{}") == 1 for template in templates)


def test_at_least_three_languages_beside_english_share_its_relations():
    assert len(set(LANGUAGES) - {"en"}) >= 3
    known = {relation.name for relation in RELATIONS}
    assert all(set(LABELS[language]) <= known for language in LANGUAGES)


@given(st.sampled_from(LANGUAGES), st.data(), st.text("abc äß'-", min_size=1, max_size=12).map(str.strip).filter(bool))
def test_a_subject_is_found_in_the_question_that_was_made_with_it(language: str, data: st.DataObject, subject: str):
    relation = data.draw(st.sampled_from(sorted(QUESTIONS[language])))
    wording = data.draw(st.sampled_from(QUESTIONS[language][relation]))
    question = capitalised(wording.format(subject))
    found = subject_of(question, relation, language)
    assert found is not None
    assert capitalised(found[0].format(found[1])) == question


def test_a_question_of_another_kind_has_no_subject():
    assert subject_of("Who wrote Faust?", "capital", "en") is None
    assert subject_of("What is the capital of Peru?", "", "en") is None
