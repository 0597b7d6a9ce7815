"""Examples, their labels, and their way into a table and back."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.answer.parsing.examples import Need, ParserExample, Recalled, labelled
from aag_ray.answer.request import Role

TODAY = date(2026, 5, 4)
EXAMPLE = ParserExample(
    "a", Need.MEASURED, "en", ("Who governs Peru?", "Someone.", "And its capital?"), "What is the capital of Peru?",
    "Peru capital", TODAY, answers=("Lima",),
)  # fmt: skip


def test_the_last_turn_is_the_question_and_turns_alternate():
    roles = [turn.role for turn in EXAMPLE.request.conversation]
    assert roles == [Role.USER, Role.ASSISTANT, Role.USER]
    assert EXAMPLE.request.question == "And its capital?"
    assert EXAMPLE.follow_up


@pytest.mark.parametrize(("answer", "needed"), [("It is Lima.", False), ("Cusco", True), ("", True), ("Limassol", True)])
def test_a_measured_need_is_what_the_model_got_wrong(answer: str, needed: bool):
    assert EXAMPLE.needs_web(answer) is needed


@pytest.mark.parametrize(("need", "needed"), [(Need.TIMELY, True), (Need.AFTER_CUTOFF, True), (Need.ERRAND, False)])
def test_other_needs_do_not_depend_on_the_answer(need: Need, needed: bool):
    example = ParserExample("b", need, "de", ("Was?",), "Was?", "was", TODAY)
    assert example.needs_web("anything") is example.needs_web("") is needed
    assert example.searchable is (need is not Need.ERRAND)


def test_where_the_model_failed_nothing_is_known_and_the_row_is_left_out():
    recalled = Recalled("q", "", 0.0, "out of memory")
    assert labelled([EXAMPLE], {EXAMPLE.question: recalled}) == []
    [row] = labelled([EXAMPLE], {EXAMPLE.question: Recalled("q", "Lima", 0.5)})
    assert (row.needed, row.likelihood) == (False, 0.5)


@given(
    st.builds(
        ParserExample,
        id=st.text(),
        need=st.sampled_from(Need),
        language=st.sampled_from(["en", "de"]),
        conversation=st.lists(st.text(), min_size=1).map(tuple),
        question=st.text(),
        query=st.text(),
        today=st.dates(),
        freshness=st.sampled_from(["none", "day"]),
        answers=st.lists(st.text()).map(tuple),
        new_wording=st.booleans(),
    )
)
def test_a_row_gives_the_example_back(example: ParserExample):
    assert ParserExample.from_row(example.to_row()) == example
