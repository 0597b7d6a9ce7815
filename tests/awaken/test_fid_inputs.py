"""What a fused reader is shown: FiD's wording, zero passages, and examples of every way to read."""

import pytest

from aag_ray.awaken.fid_inputs import closed_book, fid_examples, with_document, with_passages
from aag_ray.config import FidDistillSection, FidHypernetworkSection, FidReaderSection
from aag_ray.records import Document, Outcome, Passage, Question

GOLD = Passage("p2", "Gold", "Its symbol is Au.", has_answer=True)
PASSAGES = (Passage("p1", "Yen", "A currency.", has_answer=False), GOLD)
QUESTIONS = [
    Question("a", "What is the symbol of gold?", ("Au", "aurum"), PASSAGES),
    Question("b", "Who?", ("nobody",), target="no one"),
]
DOCUMENTS = {"a": Document("a", "Gold is\n Au."), "b": Document("b", "", Outcome.EMPTY_RESULT, "nothing was written")}
NONE = FidDistillSection(kd=False)


def section(reads, condition=None, **more):
    network = FidHypernetworkSection(condition=condition) if condition else None
    return FidReaderSection(reads=reads, hypernetwork=network, **more)


def test_passages_are_worded_as_the_released_readers_know_them():
    assert with_passages("Who?", PASSAGES[:1]) == ["question: Who? title: Yen context: A currency."]
    assert with_passages("Who?", ()) == closed_book("Who?") == ["question: Who?"]
    assert with_document("Who?", "One\n two ") == ["question: Who?\nOne two"]


@pytest.mark.parametrize(
    ("reads", "inputs"),
    [
        ("nothing", ["question: What is the symbol of gold?"]),
        ("document", ["question: What is the symbol of gold?\nGold is Au."]),
        ("gold", ["question: What is the symbol of gold? title: Gold context: Its symbol is Au."]),
        ("passages", with_passages(QUESTIONS[0].question, PASSAGES)),
    ],
)
def test_a_reader_reads_what_its_section_says(reads, inputs):
    [example] = fid_examples(QUESTIONS[:1], section(reads), DOCUMENTS)
    assert example == {"id": "a", "inputs": inputs, "target": "Au", "condition": None, "teacher_inputs": None}


def test_at_most_so_many_passages_are_read_by_reader_and_teacher():
    [example] = fid_examples(QUESTIONS[:1], section("passages", passages=1), teacher_passages=2)
    assert len(example["inputs"]) == 1
    assert example["teacher_inputs"] == with_passages(QUESTIONS[0].question, PASSAGES)


def test_questions_whose_document_failed_are_left_out_where_one_is_read():
    assert [e["id"] for e in fid_examples(QUESTIONS, section("document"), DOCUMENTS)] == ["a"]
    assert [e["id"] for e in fid_examples(QUESTIONS, section("nothing"), DOCUMENTS)] == ["a", "b"]
    assert fid_examples(QUESTIONS, section("nothing"))[1]["target"] == "no one"


@pytest.mark.parametrize(
    ("reads", "condition", "expected"),
    [
        ("document", "document", "Document: Gold is Au.\nQuestion: What is the symbol of gold?"),
        ("document", "question", "Question: What is the symbol of gold?"),
        ("nothing", "document", "Document: Gold is Au.\nQuestion: What is the symbol of gold?"),  # in the parameters only
        ("nothing", "passage", "Document: Yen: A currency.\nQuestion: What is the symbol of gold?"),
        ("document", "passage", "Document: Yen: A currency.\nQuestion: What is the symbol of gold?"),
    ],
)
def test_the_adapter_is_made_from_the_question_alone_or_the_document_or_the_best_passage_too(reads, condition, expected):
    [example] = fid_examples(QUESTIONS[:1], section(reads, condition), DOCUMENTS)
    assert example["condition"] == expected


def test_a_teacher_is_asked_only_by_a_loss_that_needs_it_and_where_there_are_passages():
    taught = fid_examples(QUESTIONS, section("nothing"), teacher_passages=2)
    assert [bool(example["teacher_inputs"]) for example in taught] == [True, False]
    assert not any(e["teacher_inputs"] for e in fid_examples(QUESTIONS, section("nothing", distill=NONE), teacher_passages=2))


@pytest.mark.parametrize(
    ("reads", "missing"),
    [("document", "a document"), ("gold", "a passage that holds an answer"), ("passages", "a passage")],
)
def test_contexts_that_nobody_has_are_named(reads, missing):
    with pytest.raises(ValueError, match=f"none of 1 questions has {missing}, which reads='{reads}' needs"):
        fid_examples(QUESTIONS[1:], section(reads), DOCUMENTS)


def test_a_teacher_that_nobody_has_a_passage_for_is_named():
    with pytest.raises(ValueError, match="none of 1 questions has a passage, which the teacher of distill needs"):
        fid_examples(QUESTIONS[1:], section("nothing"), teacher_passages=2)


def test_a_document_that_only_adapters_are_made_from_is_missed_as_well():
    with pytest.raises(ValueError, match=r"a document, which reads='nothing' with hypernetwork\.condition='document' needs"):
        fid_examples(QUESTIONS, section("nothing", "document"))


def test_questions_without_a_passage_are_left_out_where_adapters_are_made_from_one():
    assert [e["id"] for e in fid_examples(QUESTIONS, section("nothing", "passage"))] == ["a"]
    with pytest.raises(ValueError, match=r"none of 1 questions has a passage, which .*hypernetwork\.condition='passage' needs"):
        fid_examples(QUESTIONS[1:], section("nothing", "passage"))
