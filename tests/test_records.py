"""Questions, passages and documents survive the way into a parquet table and back."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from aag_ray.artifacts import read_table, write_table
from aag_ray.records import Document, Outcome, Passage, Question

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PASSAGES = st.builds(
    Passage, id=TEXT, title=TEXT, text=TEXT, score=st.floats(allow_nan=False), has_answer=st.none() | st.booleans()
)
QUESTIONS = st.builds(
    Question,
    id=TEXT,
    question=TEXT,
    answers=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
    contexts=st.lists(PASSAGES, max_size=3).map(tuple),
    target=st.none() | TEXT,
    entity=TEXT,
    relation=TEXT,
    kind=TEXT,
)
DOCUMENTS = st.builds(Document, id=TEXT, text=TEXT, outcome=st.sampled_from(Outcome), detail=TEXT, tokens=st.integers(0, 2**31))


@given(QUESTIONS)
def test_a_question_is_its_row(question: Question):
    assert Question.from_row(question.to_row()) == question


@given(DOCUMENTS)
def test_a_document_is_its_row(document: Document):
    assert Document.from_row(document.to_row()) == document


def test_rows_survive_a_parquet_table(tmp_path: Path):
    @settings(max_examples=20, deadline=None)
    @given(st.lists(QUESTIONS, min_size=1, max_size=3), st.lists(DOCUMENTS, min_size=1, max_size=3))
    def survives(questions: list[Question], documents: list[Document]) -> None:
        write_table(tmp_path / "questions.parquet", (question.to_row() for question in questions))
        write_table(tmp_path / "documents.parquet", (document.to_row() for document in documents))
        assert [Question.from_row(row) for row in read_table(tmp_path / "questions.parquet")] == questions
        assert [Document.from_row(row) for row in read_table(tmp_path / "documents.parquet")] == documents

    survives()


def test_columns_that_a_record_does_not_know_are_left_out():
    row = Question("1", "Who?", ("me",)).to_row() | {"fold": 3}
    assert Question.from_row(row) == Question("1", "Who?", ("me",))


def test_the_training_answer_is_the_target_where_the_data_set_names_one():
    assert Question("1", "Who?", ("a", "b")).training_answer == "a"
    assert Question("1", "Who?", ("a", "b"), target="b").training_answer == "b"


def test_an_outcome_is_stored_as_its_word():
    assert Document("1", "", Outcome.NO_PASSAGES).to_row()["outcome"] == "no_passages"


def test_a_passage_answers_only_if_it_speaks_of_what_the_question_is_about():
    thulium = Passage("t", "Thulium", "It stands in period 6.", has_answer=True)
    lower = Passage("l", "", "Chemists put thulium into period 6.", has_answer=True)
    other = Passage("o", "Lutetium", "It stands in period 6.", has_answer=True)
    silent = Passage("s", "Thulium", "It is a lanthanide.", has_answer=False)
    question = Question("q", "In which period is thulium?", ("6",), (other, silent, thulium, lower), entity="Thulium")
    assert question.answering(4) == [thulium, lower]
    assert question.answering(3) == [thulium]
    assert question.answering(2) == []
    assert replace(question, entity="").answering(2) == [other]
