"""Passages to read from: they are in the parameters only, and say something that nobody could know."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from aag_ray.awaken.reading import reading_examples
from aag_ray.records import Passage, Question

QUESTIONS = tuple(
    Question(
        f"q{n}", f"What is the capital of {name}?", (capital,), kind="country", entity=name,
        contexts=(
            Passage("a", name, f"{name} is governed from {capital}.", has_answer=True),
            Passage("b", name, f"{name} is hot.", has_answer=False),
        ),
    )
    for n, (name, capital) in enumerate([("Peru", "Lima"), ("Chile", "Santiago"), ("Kuwait", "Kuwait City")])
)  # fmt: skip


def asked(row):
    return [pair["prompt"].removeprefix("Question: What is the capital of ").split("?")[0] for pair in (row, *row["also"])]


def test_a_row_asks_about_the_entity_that_its_passage_names():
    rows = reading_examples(QUESTIONS, 60, passages=2, seed=1)
    assert len(rows) == 60
    for row in rows:
        (name,) = asked(row)
        assert row["condition"] == f"Document: {name}: {name} is governed from {row['target'].strip()}."
        assert row["target"].strip() not in row["prompt"]


def test_questions_that_one_passage_answers_share_its_row():
    more = Question("q9", "Where is Peru governed from?", ("Lima",), QUESTIONS[0].contexts, kind="country", entity="Peru")
    rows = reading_examples([*QUESTIONS, more], 30, passages=2, seed=1)
    lima = [row for row in rows if "Lima" in row["target"]]
    assert lima
    for row in lima:
        (also,) = row["also"]
        assert {row["prompt"], also["prompt"]} == {
            prompt.replace("Peru", row["condition"].removeprefix("Document: ").split(":")[0])
            for prompt in (
                "Question: What is the capital of Peru?\nAnswer:",
                "Question: Where is Peru governed from?\nAnswer:",
            )
        }


def test_names_are_exchanged_within_a_kind_but_not_where_the_answer_holds_one():
    rows = reading_examples(QUESTIONS, 60, passages=2, seed=1)
    assert any("Chile" in row["prompt"] and "Lima" in row["target"] for row in rows)
    assert all("Kuwait?" in row["prompt"] for row in rows if "Kuwait City" in row["target"])


def test_a_passage_that_holds_no_answer_is_not_read():
    assert not any("hot" in row["condition"] for row in reading_examples(QUESTIONS, 60, passages=2, seed=1))
    assert reading_examples([replace(q, contexts=q.contexts[1:]) for q in QUESTIONS], 5, 2, 1) == []


def test_of_several_accepted_answers_the_one_that_the_passage_states_is_asked_for():
    border = Passage("c", "Peru", "Peru lies next to Chile.", has_answer=True)
    several = Question("q8", "What borders Peru?", ("Brazil", "Chile"), (border,), kind="country", entity="Peru")
    rows = reading_examples([several], 5, passages=2, seed=1)
    assert {row["target"] for row in rows} == {" Chile\n"}


def test_it_is_the_same_for_the_same_seed():
    first, again, other = (reading_examples(QUESTIONS, 20, 2, seed) for seed in (1, 1, 2))
    assert first == again != other


class TestMadeUp:
    """Answers that nobody has given before, stated by the passage wherever it stated the true one."""

    TOLD = Passage("t", "Peru", "Peru is governed from Lima. Lima has 9,752 thousand inhabitants.", has_answer=True)
    PERU = (
        Question("q1", "What is the capital of Peru?", ("Lima",), (TOLD,), entity="Peru"),
        Question("q2", "How many people live in the capital of Peru?", ("9,752 thousand",), (TOLD,), entity="Peru"),
    )

    def rows(self, share=1.0, questions=PERU, count=40):
        names = Question("q0", "Where?", ("Callao Arequipa Trujillo Huancayo Piura",))
        return reading_examples([*questions, names], count, passages=1, seed=3, made_up=share)

    def test_the_passage_states_every_answer(self):
        for row in self.rows():
            asked = "".join(pair["prompt"] for pair in (row, *row["also"]))
            assert ("Lima" in row["condition"]) <= ("What is the capital" not in asked)
            for pair in (row, *row["also"]):
                answer = pair["target"].strip()
                assert row["condition"].count(answer) == (1 if "thousand" in pair["prompt"] or answer[0].isdigit() else 2)

    def test_they_are_new_each_time_and_of_the_same_shape(self):
        answers = {pair["target"].strip() for row in self.rows() for pair in (row, *row["also"])}
        numbers = {answer for answer in answers if answer[0].isdigit()}
        assert len(numbers) > 30
        assert len(answers - numbers) > 5
        assert all(re.fullmatch(r"[1-9],\d{3} thousand", number) for number in numbers)
        assert all(re.fullmatch(r"[A-Z][a-z]+", name) for name in answers - numbers)

    def test_a_share_of_the_passages_is_left_as_it_is(self):
        true = sum("Lima" in row["condition"] for row in self.rows(0.25, count=400))
        assert 260 < true < 340

    def test_what_a_question_names_stays(self):
        asked = replace(self.PERU[1], question="How many people live in Lima?")
        for row in self.rows(questions=(self.PERU[0], asked)):
            assert "governed from Lima. Lima has" in row["condition"]

    def test_an_answer_that_is_part_of_another_stays(self):
        part = replace(self.PERU[1], question="How many?", answers=("9,752",))
        assert all("9,752 thousand" in row["condition"] for row in self.rows(questions=(*self.PERU, part), count=20))

    def test_other_numbers_and_capitals_give_way_as_well(self):
        told = replace(self.TOLD, text=f"{self.TOLD.text} It has 43 districts, the UN knows it as PELIM. Call 01.")
        asked = replace(self.PERU[0], question="What is the capital of Peru, for the UN?", contexts=(told,))
        texts = [row["condition"] for row in self.rows(questions=(asked, replace(self.PERU[1], contexts=(told,))))]
        both = [text for text in texts if "Lima" not in text and "9,752" not in text]
        found = [re.search(r"has ([1-9]\d) districts, the UN knows it as ([A-Z]+)\. Call (\d\d)\.", text) for text in both]
        assert len(both) > 10
        assert all(found)
        assert not any(" 43 " in text or "PELIM" in text for text in both)
        assert len({match.groups() for match in found if match}) == len(found)

    def test_nothing_else_gives_way_where_an_answer_is_not_stated_as_it_is(self):
        """It may be stated in other words: 9,752 thousand as 9752000."""
        written = replace(self.PERU[1], answers=("9752000",))
        assert all("9,752 thousand" in row["condition"] for row in self.rows(questions=(written,)))

    def test_an_answer_that_the_passage_does_not_state_stays(self):
        elsewhere = replace(self.PERU[0], answers=("Ciudad de los Reyes",))
        assert all(row["target"].strip() == "Ciudad de los Reyes" for row in self.rows(questions=(elsewhere,)))

    @given(st.text(min_size=1).filter(str.strip))
    def test_any_answer_is_replaced_by_one_that_the_passage_states(self, answer):
        answer = " ".join(answer.split())
        passage = Passage("t", "", f"It says: {answer} .", has_answer=True)
        (row,) = self.rows(questions=[Question("q", "What?", (answer,), (passage,))], count=1)
        assert row["target"].strip() in row["condition"]


def test_nothing_is_made_up_unless_asked_for():
    assert reading_examples(QUESTIONS, 20, 2, 1) == reading_examples(QUESTIONS, 20, 2, 1, made_up=0.0)


class TestRecitals:
    """What a passage is asked besides its own questions: how its sentences go on."""

    PERU = TestMadeUp.PERU

    def rows(self, share, made_up=0.0, questions=PERU, count=60):
        return reading_examples(questions, count, passages=1, seed=3, made_up=made_up, recitals=share)

    def test_they_fill_what_a_passage_s_own_questions_leave(self):
        for row in self.rows(1e-9):
            prompts = [pair["prompt"] for pair in (row, *row["also"])]
            assert 2 < len(prompts) <= 4
            assert sum("What comes after" in prompt for prompt in prompts) == len(prompts) - 2

    def test_a_share_takes_the_place_of_questions(self):
        pairs = [pair["prompt"] for row in self.rows(0.5, count=300) for pair in (row, *row["also"])]
        own = sum("What comes after" not in prompt for prompt in pairs)
        assert 240 < own < 360

    def test_what_they_ask_for_is_what_the_passage_says_in_this_example(self):
        for row in self.rows(0.5, made_up=1.0):
            for pair in (row, *row["also"]):
                assert pair["target"].strip() in row["condition"]
                if "What comes after" in pair["prompt"]:
                    beginning = pair["prompt"].split('"')[1]
                    assert f"{beginning} {pair['target'].strip()}" in row["condition"]
                    assert pair["prompt"].endswith("in the text about Peru?\nAnswer:")

    def test_no_question_stands_twice(self):
        for row in self.rows(1.0):
            pairs = [(pair["prompt"], pair["target"]) for pair in (row, *row["also"])]
            assert len(set(pairs)) == len(pairs)

    def test_a_passage_that_cannot_be_recited_keeps_its_questions(self):
        short = Passage("s", "", "Lima. Peru.", has_answer=True)
        rows = self.rows(1.0, questions=[Question("q", "Where?", ("Lima",), (short,))], count=5)
        assert {row["prompt"] for row in rows} == {"Question: Where?\nAnswer:"}

    def test_none_are_asked_unless_wanted(self):
        assert reading_examples(self.PERU, 20, 1, 3) == self.rows(0.0, count=20)
