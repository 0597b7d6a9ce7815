"""The reader's training examples: exact shares, fair use of questions, and what each mode shows and hides."""

from collections import Counter

import pytest

from aag_ray.awaken.mixture import (
    answer_examples,
    generator_examples,
    mode_prompt,
    reader_examples,
    split_by_entity,
)
from aag_ray.config import DistillSection, MixtureSection
from aag_ray.records import Document, Outcome, Passage, Question

MODES = ("nothing", "document", "passages", "adapter_question", "adapter_document", "adapter_both")


def question(number):
    passages = tuple(Passage(f"p{n}", f"Title {number}.{n}", f"Text {number}.{n}.") for n in range(6))
    return Question(f"q{number}", f"What is {number}?", (f"answer {number}", "other"), passages, entity=f"e{number // 3}")


QUESTIONS = [question(number) for number in range(30)]
DOCUMENTS = {q.id: Document(q.id, f"Dummy {q.id}.") for q in QUESTIONS}


def examples(count=60, *, documents=DOCUMENTS, mixture=None, distill=None, passages=5, seed=1, questions=QUESTIONS):
    sections = mixture or MixtureSection(), distill or DistillSection()
    return reader_examples(questions, documents, *sections, count, passages, seed)


def by_mode(rows):
    return {mode: [row for row in rows if row["mode"] == mode] for mode in MODES}


def uses(rows):
    return Counter(row["id"].split("#")[0] for row in rows)


def only(mode, share=1.0):
    return MixtureSection(**(dict.fromkeys(MODES, 0.0) | {mode: share}))


class TestShares:
    def test_are_exact(self):
        counts = {mode: len(rows) for mode, rows in by_mode(examples(200)).items()}
        expected = {"nothing": 40, "document": 40, "passages": 20}
        assert counts == expected | {"adapter_question": 20, "adapter_document": 40, "adapter_both": 40}

    @pytest.mark.parametrize("count", [1, 2, 3, 7, 9, 50, 101])
    def test_are_within_one_example_of_exact_whatever_the_count(self, count):
        rows = by_mode(examples(count, mixture=MixtureSection(**dict.fromkeys(MODES, 0.5))))
        assert sum(map(len, rows.values())) == count
        assert all(abs(len(group) - count / 6) < 1 for group in rows.values())

    def test_of_zero_leave_a_mode_out(self):
        assert {row["mode"] for row in examples(mixture=only("passages", 0.3))} == {"passages"}


class TestQuestions:
    def test_are_each_used_once_before_any_is_used_again(self):
        for count in (20, 30, 45, 60):
            used = uses(examples(count))
            assert max(used.values()) - min(used[q.id] for q in QUESTIONS) <= 1

    def test_with_a_document_are_used_equally_where_a_mode_needs_one(self):
        some = {q.id: DOCUMENTS[q.id] for q in QUESTIONS[:10]}
        rows = by_mode(examples(100, documents=some))
        used = uses([row for mode in ("document", "adapter_document", "adapter_both") for row in rows[mode]])
        assert set(used) == set(some)
        assert max(used.values()) - min(used.values()) <= 1
        assert {q.id for q in QUESTIONS[10:]} <= set(uses(rows["nothing"] + rows["passages"] + rows["adapter_question"]))

    def test_whose_document_failed_have_none(self):
        failed = DOCUMENTS | {"q0": Document("q0", "", Outcome.EMPTY_RESULT)}
        assert "q0" not in uses(examples(documents=failed, mixture=only("document")))

    def test_without_any_document_stop_a_mixture_that_needs_one(self):
        with pytest.raises(ValueError, match="asks for questions with a document, but there is none"):
            examples(documents={})

    def test_and_modes_are_decided_by_the_seed(self):
        assert examples(seed=3) == examples(seed=3)
        assert examples(seed=3) != examples(seed=4)

    def test_have_a_new_id_in_every_row(self):
        rows = examples(100)
        assert len({row["id"] for row in rows}) == 100


class TestModes:
    @pytest.mark.parametrize(
        ("mode", "prompt", "condition"),
        [
            ("nothing", "Question: What is 4?\nAnswer:", None),
            ("document", "Document: D.\nQuestion: What is 4?\nAnswer:", None),
            ("passages", "[1] Title 4.0: Text 4.0.\n[2] Title 4.1: Text 4.1.\nQuestion: What is 4?\nAnswer:", None),
            ("adapter_question", "Question: What is 4?\nAnswer:", "Question: What is 4?"),
            ("adapter_document", "Question: What is 4?\nAnswer:", "Document: D.\nQuestion: What is 4?"),
            ("adapter_both", "Document: D.\nQuestion: What is 4?\nAnswer:", "Document: D.\nQuestion: What is 4?"),
        ],
    )
    def test_show_in_the_prompt_and_give_to_the_adapter_what_they_say(self, mode, prompt, condition):
        assert mode_prompt(QUESTIONS[4], mode, "D.", passages=2) == (prompt, condition)

    def test_teach_a_document_with_and_without_its_question(self):
        conditions = [row["condition"] for row in examples(100, mixture=only("adapter_document"))]
        alone = [condition for condition in conditions if "Question:" not in condition]
        assert all(condition.startswith("Document: Dummy q") for condition in conditions)
        assert 25 < len(alone) < 75

    def test_show_between_one_and_all_passages(self):
        shown = Counter(row["prompt"].count("Title") for row in examples(200, mixture=only("passages"), passages=5))
        assert set(shown) == {1, 2, 3, 4, 5}

    def test_train_on_the_answer_of_the_question(self):
        assert all(row["target"] == f" answer {row['id'].split('#')[0][1:]}\n" for row in examples())


class TestTeacher:
    def test_reads_the_passages_in_every_row_that_does_not_show_them(self):
        for row in examples():
            number = row["id"].split("#")[0][1:]
            if row["mode"] == "passages":
                assert row["teacher_prompt"] is None
            else:
                assert row["teacher_prompt"].startswith(f"[1] Title {number}.0: Text {number}.0.")
                assert row["teacher_prompt"].count("Title") == 5
                assert row["teacher_prompt"].endswith(f"Question: What is {number}?\nAnswer:")

    def test_is_asked_about_a_share_of_the_rows(self):
        rows = examples(400, distill=DistillSection(share=0.25), mixture=only("nothing"))
        assert 70 < sum(row["teacher_prompt"] is not None for row in rows) < 130

    def test_is_not_asked_about_questions_without_passages(self):
        bare = [Question("q0", "Why?", ("so",))]
        assert examples(4, questions=bare, mixture=only("nothing"))[0]["teacher_prompt"] is None

    @pytest.mark.parametrize("term", [{"hidden_weight": 1.0}, {"attention_weight": 1.0}])
    def test_is_asked_for_alignment_without_kd_and_for_nothing_at_all_without_both(self, term):
        assert any(row["teacher_prompt"] for row in examples(distill=DistillSection(kd=False, **term)))
        assert not any(row["teacher_prompt"] for row in examples(distill=DistillSection(kd=False)))


class TestSplitByEntity:
    def test_puts_no_entity_into_both_halves_and_loses_no_question(self):
        first, rest = split_by_entity(QUESTIONS, 12, seed=1)
        assert not {q.entity for q in first} & {q.entity for q in rest}
        assert len(first) == 12
        assert sorted(first + rest, key=QUESTIONS.index) == QUESTIONS
        assert first == sorted(first, key=QUESTIONS.index)

    def test_is_decided_by_the_seed(self):
        assert split_by_entity(QUESTIONS, 12, seed=1) == split_by_entity(QUESTIONS, 12, seed=1)
        assert split_by_entity(QUESTIONS, 12, seed=1) != split_by_entity(QUESTIONS, 12, seed=2)

    def test_takes_a_question_without_an_entity_as_one_of_its_own(self):
        first, rest = split_by_entity([Question(f"q{n}", "Why?", ("so",)) for n in range(10)], 4, seed=1)
        assert (len(first), len(rest)) == (4, 6)


def test_closed_book_and_teacher_examples_cover_every_question_once():
    closed, open_book = answer_examples(QUESTIONS), answer_examples(QUESTIONS, passages=3, seed=1)
    assert [row["id"] for row in closed] == [row["id"] for row in open_book] == [q.id for q in QUESTIONS]
    assert closed[4] == {"id": "q4", "prompt": "Question: What is 4?\nAnswer:", "target": " answer 4\n"}
    assert {row["prompt"].count("Title") for row in open_book} == {1, 2, 3}


def test_generator_examples_are_the_questions_whose_compression_went_well():
    documents = {"q0": Document("q0", "Two\nlines."), "q1": Document("q1", "", Outcome.NO_PASSAGES)}
    assert generator_examples(QUESTIONS, documents) == [
        {
            "id": "q0",
            "prompt": "Imagine contexts based on the question.\nQuestion: What is 0?\nContexts:",
            "target": " Two lines.\n",
        }
    ]
