"""Gold labels stand where the answer stands and the question points; negatives hold no answer anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.extract.examples import ExtractionExample
from aag_ray.extract.gold import GoldOutcome, Labelled, gold_spans, holds_answer, label, negative, positive
from aag_ray.pages.page import BlockKind, Metadata, Page, Piece, assemble
from aag_ray.pages.spans import split_spans
from aag_ray.records import Passage, Question

QUESTION = Question(
    "q1",
    "When did the bridge of Marn open?",
    ("1990", "in 1990"),
    (
        Passage("a", "Marn", "Marn is a town. It had 1990 inhabitants once.", has_answer=True),
        Passage("b", "Bridge of Marn", "The bridge is long. The bridge of Marn opened in 1990. It is red.", has_answer=True),
        Passage("c", "Tolver", "Tolver has a bridge. It opened in 1870.", has_answer=False),
    ),
)


def texts(labelled: Labelled) -> list[str]:
    assert labelled.example is not None
    return [labelled.example.text_of(number) for number in labelled.example.gold]


def page_of(*pieces: Piece) -> Page:
    page = assemble(pieces, "u", Metadata(), 10**6).page
    assert page is not None
    return page


def labelled_texts(page: Page, question: str, *answers: str) -> list[str]:
    spans = split_spans(page)
    return [page.text[spans[number - 1].start : spans[number - 1].end] for number in gold_spans(question, answers, page, spans)]


@pytest.mark.parametrize(
    ("text", "answers", "holds"),
    [
        ("It opened in 1990.", ["1990"], True),
        ("Part 19905.", ["1990"], False),
        ("The café of René", ["rene"], True),
        ("The U.S. won", ["US", "U.S."], True),
        ("太阳石藏在沙岛。", ["太阳石"], True),
        ("太阳石藏在沙岛。", ["月亮石"], False),
        ("東京は日本の首都です", ["東京"], True),
        ("The end", ["the"], False),
        ("anything", [], False),
        ("", ["x"], False),
    ],
)
def test_an_answer_is_whole_normalised_words(text: str, answers: list[str], holds: bool):
    assert holds_answer(text, answers) is holds


@given(st.text(max_size=60), st.text(max_size=10))
def test_looking_for_an_answer_never_fails(text: str, answer: str):
    assert holds_answer(text, [answer]) in (True, False)


def test_the_span_that_shares_the_question_wins_over_a_chance_match():
    assert texts(positive(QUESTION)) == ["The bridge of Marn opened in 1990."]


def test_a_passage_known_to_be_right_is_preferred():
    contexts = (
        Passage("x", "Bridge", "When the bridge of Marn did open in 1990 is told elsewhere.", has_answer=False),
        Passage("y", "History", "The works ended in 1990.", has_answer=True),
    )
    question = Question("q", QUESTION.question, ("1990",), contexts)
    assert texts(positive(question)) == ["The works ended in 1990."]


def test_without_flags_every_passage_is_searched():
    contexts = tuple(Passage(each.id, each.title, each.text) for each in QUESTION.contexts)
    assert texts(positive(Question("q1", QUESTION.question, QUESTION.answers, contexts))) == [
        "The bridge of Marn opened in 1990."
    ]


def test_equally_good_spans_are_all_gold():
    page = page_of(Piece(BlockKind.PARAGRAPH, "The lake is 30 m deep. Fish live there. The lake is 30 m deep in June."))
    assert labelled_texts(page, "How deep is the lake?", "30 m") == ["The lake is 30 m deep.", "The lake is 30 m deep in June."]


def test_a_heading_is_gold_only_where_no_text_holds_the_answer():
    heading = Piece(BlockKind.HEADING, "Ada Pell", 2)
    assert labelled_texts(page_of(heading, Piece(BlockKind.PARAGRAPH, "She wrote it.")), "Who wrote it?", "Ada Pell") == [
        "Ada Pell"
    ]
    both = page_of(heading, Piece(BlockKind.PARAGRAPH, "Ada Pell wrote it."))
    assert labelled_texts(both, "Who wrote it?", "Ada Pell") == ["Ada Pell wrote it."]


def test_an_answer_torn_by_the_splitter_labels_both_parts():
    page = page_of(Piece(BlockKind.PARAGRAPH, "The song is by the band Harbour. The Dog. It was a hit."))
    assert labelled_texts(page, "Who sings the song?", "Harbour. The Dog") == ["The song is by the band Harbour.", "The Dog."]


def test_chinese_pages_are_labelled():
    page = page_of(Piece(BlockKind.PARAGRAPH, "天气很好。太阳石藏在沙岛。沙岛很远。"))
    assert labelled_texts(page, "沙岛藏着什么", "太阳石") == ["太阳石藏在沙岛。"]


def test_no_answer_and_no_passages_are_outcomes():
    assert positive(Question("q", "Who?", ("nobody here",), QUESTION.contexts)).outcome is GoldOutcome.NO_ANSWER_FOUND
    assert positive(Question("q", "Who?", ("x",))) == Labelled(GoldOutcome.NO_PASSAGES, "q")
    assert negative(Question("q", "Who?", ("x",))).outcome is GoldOutcome.NO_PASSAGES
    only = Question("q", "Who?", ("1990",), QUESTION.contexts[:2])
    assert negative(only).outcome is GoldOutcome.NO_OTHER_PASSAGES


def test_a_negative_holds_no_answer_even_where_a_flag_is_wrong():
    contexts = (*QUESTION.contexts, Passage("d", "Wrong flag", "It was 1990.", has_answer=False), Passage("e", "1990", "No."))
    made = negative(Question("q1", QUESTION.question, QUESTION.answers, contexts)).example
    assert made is not None
    assert (made.gold, made.relevant, made.id) == ((), False, "q1/negative")
    assert made.page.text == "Tolver\nTolver has a bridge. It opened in 1870."
    assert not any(holds_answer(made.text_of(span.number), made.answers) for span in made.spans)


def test_shuffling_moves_the_gold_passage_and_is_the_same_in_every_run():
    def places(seed: int) -> list[int]:
        questions = [Question(f"q{n}", QUESTION.question, QUESTION.answers, QUESTION.contexts) for n in range(40)]
        found = [positive(question, seed).example for question in questions]
        return [each.gold[0] for each in found if each]

    assert places(1) == places(1)
    assert len(set(places(1))) > 2
    assert places(1) != places(2)


def test_labelling_gives_a_positive_each_and_the_wanted_share_of_negatives():
    questions = [Question(f"q{n}", QUESTION.question, QUESTION.answers, QUESTION.contexts) for n in range(200)]
    made = [each.example for each in label(questions, negatives=0.25)]
    assert all(isinstance(each, ExtractionExample) for each in made)
    assert sum(each is not None and each.relevant for each in made) == 200
    assert 30 < sum(each is not None and not each.relevant for each in made) < 75
    assert [each.outcome for each in label(questions[:2], negatives=0)] == [GoldOutcome.OK] * 2
    with pytest.raises(ValueError, match="negatives=2"):
        list(label(questions, negatives=2))
