"""The quality report of generated documents, next to documents that know nothing of the question."""

from __future__ import annotations

import json

import pytest

from aag_ray.evaluate.documents import document_report, is_looping, is_meaningless, repeated_share, static_baseline
from aag_ray.records import Document, Outcome, Question

QUESTIONS = [
    Question("q1", "What is the capital of France?", ("Paris",)),
    Question("q2", "Which currency does Japan use?", ("yen", "Japanese yen")),
    Question("q3", "What is the symbol of gold?", ("Au",)),
    Question("q4", "What is the capital of Peru?", ("Lima",)),
]
DOCUMENTS = [
    Document("q1", "France has the capital Paris on the Seine", tokens=10),
    Document("q2", "Japan pays with the Japanese yen since 1871", tokens=12),
    Document("q3", "the the the the the the the the", tokens=8),
    Document("q4", "", outcome=Outcome.EMPTY_RESULT),
]
TRAINING = [
    Document("t1", "Madrid is the capital of Spain and the euro its money"),
    Document("t2", "Oslo lies in Norway"),
    Document("t3", ""),
]


def test_the_baseline_is_as_long_and_comes_from_training_documents_alone() -> None:
    baseline = static_baseline(DOCUMENTS, TRAINING, seed=1)
    assert [len(document.text.split()) for document in baseline] == [8, 8, 8, 0]
    assert [document.id for document in baseline] == ["q1", "q2", "q3", "q4"]
    known = {word for document in TRAINING for word in document.text.split()}
    assert {word for document in baseline for word in document.text.split()} <= known
    assert baseline == static_baseline(DOCUMENTS, TRAINING, seed=1)
    assert baseline != static_baseline(DOCUMENTS, TRAINING, seed=2)


def test_a_baseline_needs_words_to_draw_from() -> None:
    with pytest.raises(ValueError, match="at least one training document"):
        static_baseline(DOCUMENTS, TRAINING[2:])


def test_the_report_tells_answers_repetition_and_emptiness() -> None:
    report = document_report(QUESTIONS, DOCUMENTS, static_baseline(DOCUMENTS, TRAINING))
    generated = report["generated"]
    assert report["n"] == 4
    assert generated["has_answer"]["value"] == 50.0
    assert report["static"]["has_answer"]["value"] == 0.0
    assert report["has_answer_difference"]["value"] == 50.0
    assert generated["empty"] == 25.0
    assert generated["meaningless"] == 25.0
    assert generated["looping"] == 25.0
    assert generated["repeated_trigrams"] == pytest.approx(100 * (5 / 6) / 4)
    assert generated["words"] == 6.0
    assert generated["tokens"] == 7.5
    assert generated["distinct"] == 100.0
    json.dumps(report)


def test_documents_are_joined_by_id_and_none_may_lack() -> None:
    shuffled = document_report(QUESTIONS, DOCUMENTS[::-1], DOCUMENTS[1:] + DOCUMENTS[:1])
    assert shuffled["generated"]["has_answer"]["value"] == 50.0
    assert shuffled["has_answer_difference"]["value"] == 0.0
    with pytest.raises(ValueError, match="2 of 4 questions have no document, the first is 'q2'"):
        document_report(QUESTIONS, [DOCUMENTS[0], DOCUMENTS[3]], DOCUMENTS)
    with pytest.raises(ValueError, match="at least one question"):
        document_report([], [], [])


def test_a_generator_that_ignores_the_question_is_seen() -> None:
    same = [Document(question.id, "The capital lies on a river") for question in QUESTIONS]
    assert document_report(QUESTIONS, same, same)["generated"]["distinct"] == 25.0


@pytest.mark.parametrize(
    ("text", "share"),
    [("", 0.0), ("two words", 0.0), ("a b c d e", 0.0), ("a b c a b c", 0.25), ("x x x x x", 2 / 3)],
)
def test_repetition_is_the_share_of_trigrams_seen_before(text: str, share: float) -> None:
    assert repeated_share(text.split()) == pytest.approx(share)


def test_a_loop_is_a_4_gram_three_times() -> None:
    phrase = "the river of gold "
    assert is_looping((phrase * 3).split())
    assert not is_looping((phrase * 2).split())
    assert not is_looping([])


@pytest.mark.parametrize(
    ("text", "meaningless"),
    [
        ("France has the capital Paris", False),
        ("Au Ag Fe", False),
        ("金の元素記号はAuです", False),
        ("फ्रांस की राजधानी पेरिस है", False),
        ("de de de de", True),
        (". , ; : - - -", True),
        ("a b c ........................", True),
        ("", False),
    ],
)
def test_signs_and_single_words_say_nothing(text: str, meaningless: bool) -> None:
    assert is_meaningless(text) is meaningless
