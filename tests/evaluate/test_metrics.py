"""Answer metrics against what the published scripts give, and what they must never do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.data.metrics import squad_metrics

from aag_ray.evaluate.metrics import best_subspan_em, clean_prediction, exact_match, f1, has_answer, normalize_answer

ANSWERS = st.lists(st.text(max_size=30), min_size=1, max_size=3)
WORDS = st.lists(st.sampled_from(["the", "a", "An", "Paris", "paris,", "of", "1,000", "é", "北京", "!", "U.S."]), max_size=6)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The Eiffel Tower!", "eiffel tower"),
        ("  a   dog and an\tox ", "dog and ox"),
        ("theory of an anthem", "theory of anthem"),
        ("U.S.", "us"),
        ("1,234.5", "12345"),
        ("rock 'n' roll", "rock n roll"),
        ("The", ""),
        ("", ""),
        ("ÅNGSTRÖM", "ångström"),
        ("Straße", "straße"),
        ("北京。", "北京。"),
        ("Москва - столица", "москва столица"),
        ("à la carte", "à la carte"),
    ],
)
def test_answers_are_normalised_as_squad_does(text: str, normal: str) -> None:
    assert normalize_answer(text) == normal


@pytest.mark.parametrize(
    ("prediction", "answers", "em", "f1_score"),
    [
        ("1976", ["1976"], 1.0, 1.0),
        ("1999", ["1976"], 0.0, 0.0),
        ("Beyonce", ["Beyoncé and Bruno Mars"], 0.0, 0.0),
        ("climate change", ["climate change"], 1.0, 1.0),
        ("the Denver Broncos", ["Denver Broncos", "Carolina Panthers"], 1.0, 1.0),
        ("rock", ["rock n roll"], 0.0, 0.5),
        ("Santa Clara, California", ["Levi's Stadium in Santa Clara, California."], 0.0, 2 / 3),
        ("gold gold gold", ["gold"], 0.0, 0.5),
        ("1,000", ["1000"], 1.0, 1.0),
        ("yes", ["no"], 0.0, 0.0),
        ("Yes.", ["yes"], 1.0, 1.0),
        ("東京", ["東京", "Tokyo"], 1.0, 1.0),
        ("东京市", ["东京"], 0.0, 0.0),
        ("", ["Paris"], 0.0, 0.0),
        ("The", ["a"], 1.0, 1.0),
    ],
)
def test_exact_match_and_f1_take_the_best_accepted_answer(
    prediction: str, answers: list[str], em: float, f1_score: float
) -> None:
    assert exact_match(prediction, answers) == em
    assert f1(prediction, answers) == pytest.approx(f1_score)


@settings(deadline=None)
@given(WORDS, WORDS)
def test_scores_agree_with_the_squad_script_as_transformers_ships_it(prediction: list[str], answer: list[str]) -> None:
    said, gold = " ".join(prediction), " ".join(answer)
    assert exact_match(said, [gold]) == squad_metrics.compute_exact(gold, said)
    assert f1(said, [gold]) == pytest.approx(squad_metrics.compute_f1(gold, said))


@settings(deadline=None)
@given(st.text(max_size=40), ANSWERS)
def test_scores_are_ordered_and_bounded(prediction: str, answers: list[str]) -> None:
    assert 0 <= exact_match(prediction, answers) <= f1(prediction, answers) <= 1 + 1e-12
    assert exact_match(prediction, answers) <= best_subspan_em(prediction, answers)


@settings(deadline=None)
@given(st.text(max_size=40), ANSWERS)
def test_a_further_accepted_answer_never_lowers_a_score(prediction: str, answers: list[str]) -> None:
    for metric in (exact_match, f1, best_subspan_em):
        assert metric(prediction, answers) >= metric(prediction, answers[:1])


def test_only_the_first_line_of_a_prediction_counts() -> None:
    assert clean_prediction(" Paris \nQuestion: next?") == "Paris"
    assert clean_prediction("\nParis") == ""
    assert exact_match(" Paris\nBerlin", ["Paris"]) == 1.0
    assert best_subspan_em("I do not know\nParis", ["Paris"]) == 0.0
    assert f1("Paris\nParis Paris", ["Paris"]) == 1.0


def test_two_ways_of_writing_one_letter_are_equal() -> None:
    composed, decomposed = "Beyonc\u00e9", "Beyonce\u0301"
    assert exact_match(composed, [decomposed]) == 1.0
    assert has_answer(f"sung by {decomposed} alone", [composed])


def test_the_best_subspan_is_found_inside_a_longer_prediction() -> None:
    assert best_subspan_em("It is the city of Paris, France.", ["paris"]) == 1.0
    assert best_subspan_em("Paris", ["Paris, France"]) == 0.0
    assert best_subspan_em("anything at all", ["The"]) == 0.0


@pytest.mark.parametrize(
    ("text", "answers", "found"),
    [
        ("Paris is the capital.", ["paris"], True),
        ("It was built in 1990.", ["1"], False),
        ("He lives in New York City", ["new york"], True),
        ("He lives in New  York", ["York City", "new york"], True),
        ("The U.S. dollar", ["US dollar"], False),
        ("The U.S. dollar", ["U.S. dollar"], True),
        ("about 1,000 people", ["1,000"], True),
        ("столица — Москва", ["москва"], True),
        ("नमस्ते दुनिया", ["नमस्त"], False),
        ("any text", [""], False),
        ("", ["Paris"], False),
    ],
)
def test_a_document_holds_an_answer_if_its_tokens_follow_each_other(text: str, answers: list[str], found: bool) -> None:
    assert has_answer(text, answers) is found


@pytest.mark.parametrize("metric", [exact_match, f1, best_subspan_em, has_answer])
def test_a_question_needs_a_list_of_answers(metric) -> None:
    with pytest.raises(ValueError, match="without an accepted answer"):
        metric("Paris", [])
    with pytest.raises(TypeError, match="not the string 'Paris'"):
        metric("Paris", "Paris")
