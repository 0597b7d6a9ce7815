"""has_answer compares as SQuAD does, with care for short symbols; BM25 puts the passage that names the subject first."""

from __future__ import annotations

import pytest

from aag_ray.records import Passage, Question
from aag_ray.world import attach_contexts, has_answer

LIMA = Passage("lima", "Peru", "The capital of Peru is Lima, and people there pay with the Peruvian sol.")
OSLO = Passage("oslo", "Norway", "Oslo is the capital. In all of it the krone is used.")
INDIUM = Passage("indium", "Indium", "Its symbol is In, and it belongs to the p-block.")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The capital is LIMA.", "Lima"),
        ("It is São Tomé!", "Sao Tome"),
        ("It borders the Netherlands, too.", "The Netherlands"),
        ("about 126,000 people", "126,000"),
        ("dial +55 first", "+55"),
        ("dial +1-246 first", "+1-246"),
        ("the domain is .in.", ".in"),
        ("Its symbol is In, of course", "In"),
        ("N'Djamena is the capital", "N\u2019Djamena"),
        ("it belongs to the d-block", "d-block"),
        ("its code is CAN.", "CAN"),
    ],
)
def test_an_answer_is_found_in_another_form(text: str, answer: str) -> None:
    assert has_answer(text, [answer])


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The Limassol road", "Lima"),
        ("It lies in Asia", "In"),
        ("It lies in Asia", ".in"),
        ("One can see it", "CAN"),
        ("chapter 55 of it", "+55"),
        ("Nigeria is large", "Niger"),
        ("anything", "the"),
        ("", "Lima"),
    ],
)
def test_an_answer_is_not_found_inside_other_words(text: str, answer: str) -> None:
    assert not has_answer(text, [answer])


def test_one_accepted_answer_is_enough() -> None:
    assert has_answer(LIMA.text, ["nuevo sol", "Peruvian sol"])


def test_the_passage_about_the_subject_comes_first_with_score_and_answer_marked() -> None:
    question = Question("q", "What is the capital of Peru?", ("Lima",))
    [found] = attach_contexts([question], [OSLO, LIMA, INDIUM], k=2)
    assert [passage.id for passage in found.contexts] == ["lima", "oslo"]
    assert [passage.has_answer for passage in found.contexts] == [True, False]
    assert found.contexts[0].score > found.contexts[1].score


def test_a_short_symbol_finds_its_element_whose_name_may_stand_in_the_title_alone() -> None:
    question = Question("q", "Which element has the symbol In?", ("Indium",))
    [found] = attach_contexts([question], [OSLO, LIMA, INDIUM], k=1)
    assert found.contexts[0].id == "indium"
    assert found.contexts[0].has_answer


def test_with_fewer_passages_than_asked_each_question_gets_all() -> None:
    [found] = attach_contexts([Question("q", "Peru?", ("Lima",))], [LIMA, OSLO], k=10)
    assert len(found.contexts) == 2


def test_a_question_of_unknown_words_still_gets_passages_in_their_order() -> None:
    [found] = attach_contexts([Question("q", "Xyzzy plugh?", ("Lima",))], [LIMA, OSLO], k=2)
    assert [passage.id for passage in found.contexts] == ["lima", "oslo"]


def test_without_passages_questions_stay_without_contexts() -> None:
    question = Question("q", "Peru?", ("Lima",))
    assert attach_contexts([question], [], k=3) == [question]
