"""The test of documents in the parameters, on a tiny model whose hypernetwork was trained to carry one word."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from aag_ray import prompts
from aag_ray.awaken.awakened import AwakeningModel, AwakeningSettings
from aag_ray.awaken.generator import DocumentGenerator
from aag_ray.awaken.hypernetwork import build_hypernetwork, layer_shapes
from aag_ray.config import HypernetworkSection, KnowledgeEvaluationSection
from aag_ray.evaluate.knowledge import KnowledgeTest, ToldQuestion, render_knowledge, told_questions
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.low_rank import of_rank
from aag_ray.records import Passage, Question

SECTION = KnowledgeEvaluationSection(together=(2, 3), ranks=(1,), batch=4, max_answer_tokens=3, bootstrap_samples=50)


def question(number: int, *passages: Passage, relation: str = "capital", entity: str = "") -> Question:
    return Question(f"q{number}", f"What is {number}?", (str(number),), passages, relation=relation, entity=entity)


def passage(number: int, answers: bool = True, name: str = "p") -> Passage:
    return Passage(f"{name}{number}", f"Number {number}", f"It is {number}.", has_answer=answers)


@pytest.fixture
def model(tiny: LoadedModel) -> AwakeningModel:
    section = HypernetworkSection(rank=2, width=16)
    network = build_hypernetwork(section, layer_shapes(tiny.model, section.modules), 64)
    settings = AwakeningSettings(str(tiny.path), "generator", max_answer_tokens=3)
    return AwakeningModel(tiny, settings, DocumentGenerator(tiny, None, 4), None, network)


class TestToldQuestions:
    def test_a_question_goes_with_its_first_passage_that_answers_it(self) -> None:
        asked = question(1, passage(7, False), passage(1), passage(2))
        documents, told = told_questions([asked], 3)
        assert documents == [prompts.passage_text(passage(1))]
        assert told == [ToldQuestion(asked, 0)]

    def test_equal_passages_are_one_document(self) -> None:
        documents, told = told_questions([question(1, passage(1)), question(2, passage(1)), question(3, passage(3))], 1)
        assert len(documents) == 2
        assert [each.document for each in told] == [0, 0, 1]

    def test_a_question_that_no_passage_is_known_to_answer_is_left_out(self) -> None:
        unknown = Passage("p", "T", "It is 1.", has_answer=None)
        late = question(2, passage(9, False), passage(2))
        assert told_questions([question(1, unknown), late, question(3)], 1) == ([], [])


class TestSystems:
    @pytest.fixture
    def knowledge(self, model: AwakeningModel) -> KnowledgeTest:
        documents, told = told_questions(
            [question(n, passage(n), relation="group" if n == 2 else "capital", entity=f"Number {n}") for n in range(6)], 1
        )
        return KnowledgeTest(model, documents, told, SECTION, ["group"], seed=1)

    @pytest.fixture
    def result(self, knowledge: KnowledgeTest) -> dict[str, Any]:
        return knowledge.run()

    def test_every_way_is_asked_for_every_question(self, result: dict[str, Any]) -> None:
        ways = {"closed_book", "text", "parameters", "both", "parameters_shuffled", "parameters_mean", "both_shuffled"}
        several = {f"{place}_{count}" for place in ("text", "parameters", "parameters_of_text") for count in SECTION.together}
        assert set(result["systems"]) == ways | several | {"parameters_rank_1"}
        assert {row["em"]["n"] for row in result["systems"].values()} == {6}
        assert {(row["em_seen"]["n"], row["em_unseen"]["n"]) for row in result["systems"].values()} == {(5, 1)}
        assert len(result["answers"]) == 6

    def test_the_document_costs_tokens_only_where_it_is_shown(self, result: dict[str, Any]) -> None:
        tokens = {name: row["prompt_tokens"] for name, row in result["systems"].items()}
        assert tokens["parameters"] == tokens["closed_book"] == tokens["parameters_3"] < tokens["text"] == tokens["both"]
        assert tokens["text"] < tokens["text_2"] < tokens["text_3"]
        assert result["costs"]["tokens_saved_per_question"] == tokens["text"] - tokens["parameters"]

    def test_an_untrained_hypernetwork_carries_nothing(self, result: dict[str, Any]) -> None:
        for row in result["answers"]:
            assert row["parameters"] == row["parameters_shuffled"] == row["parameters_mean"] == row["closed_book"]
            assert row["both"] == row["both_shuffled"] == row["text"]
        assert result["differences"]["parameters-closed_book"]["value"] == 0

    def test_several_documents_hold_the_right_one(self, knowledge: KnowledgeTest) -> None:
        knowledge.adapters = knowledge.model.adapters([None] * 6, knowledge.documents)
        for texts, _ in (knowledge._systems()[f"text_{count}"] for count in SECTION.together):
            for row, text in enumerate(texts):
                assert prompts.document_line(knowledge.documents[knowledge.told[row].document]) in text

    def test_an_adapter_of_one_text_is_made_from_all_of_it(self, knowledge: KnowledgeTest, monkeypatch: Any) -> None:
        knowledge.adapters = knowledge.model.adapters([None] * 6, knowledge.documents)
        _, make = knowledge._systems()["parameters_of_text_3"]
        read: list[str] = []
        monkeypatch.setattr(knowledge.model, "adapters", lambda _, texts: read.extend(texts))
        assert make is not None
        make([4, 1])
        for text, row in zip(read, (4, 1), strict=True):
            there = [document for document in knowledge.documents if document in text]
            assert len(there) == 3
            assert knowledge.documents[knowledge.told[row].document] in there
            assert "\n".join(there) == text

    def test_a_lower_rank_is_the_document_s_own_adapter_brought_down(self, knowledge: KnowledgeTest) -> None:
        draw = torch.Generator().manual_seed(2)
        made = knowledge.model.adapters([None] * 6, knowledge.documents)
        knowledge.adapters = made.map(lambda t: torch.randn(t.shape, generator=draw))
        _, make = knowledge._systems()["parameters_rank_1"]
        assert make is not None
        lower, name = make([3]), next(iter(made.factors))
        assert lower.factors[name][0].shape[2] == 1
        own = knowledge.adapters.select([knowledge.told[3].document])
        torch.testing.assert_close(lower.deltas(name), of_rank(own, 1).deltas(name))

    def test_a_stranger_document_does_not_speak_of_the_question(self, model: AwakeningModel) -> None:
        same = [Passage(f"p{n}", "Peru", f"Peru has {n} rivers.", has_answer=True) for n in range(4)]
        other = Passage("x", "Gold", "Gold is 1.", has_answer=True)
        asked = [question(n, each, entity="Peru") for n, each in enumerate(same)] + [question(9, other, entity="Gold")]
        documents, told = told_questions(asked, 1)
        test = KnowledgeTest(model, documents, told, SECTION, [], seed=1)
        assert {documents[test._others(each)[0]] for each in told[:4]} == {"Gold: Gold is 1."}

    def test_the_cost_of_an_adapter_is_that_of_its_numbers(self, model: AwakeningModel, result: dict[str, Any]) -> None:
        one = model.adapters([None], ["Text."])
        numbers = sum(t.numel() for pair in one.factors.values() for t in pair)
        assert result["costs"]["bytes_per_document"] == numbers * next(iter(one.factors.values()))[0].element_size()

    def test_the_table_has_a_row_for_each(self, result: dict[str, Any]) -> None:
        table = render_knowledge(result)
        rows = [line for line in table.split("\n\n")[0].splitlines() if line.startswith("| ")]
        assert len(rows) == 2 + len(result["systems"])
        assert "MB to keep" in table


def test_without_questions_or_with_too_few_documents_it_is_refused(model: AwakeningModel) -> None:
    with pytest.raises(ValueError, match="no test question has a passage"):
        KnowledgeTest(model, [], [], SECTION, [], seed=1)
    documents, told = told_questions([question(n, passage(n)) for n in range(2)], 1)
    with pytest.raises(ValueError, match="2 documents answer the test questions; at least 3 are needed"):
        KnowledgeTest(model, documents, told, SECTION, [], seed=1)


def test_documents_need_not_be_joined_nor_adapters_brought_down(model: AwakeningModel) -> None:
    section = SECTION.model_copy(update={"together": (), "ranks": ()})
    documents, told = told_questions([question(n, passage(n)) for n in range(2)], 1)
    result = KnowledgeTest(model, documents, told, section, [], seed=1).run()
    assert not [system for system in result["systems"] if any(mark in system for mark in ("_2", "_3", "rank"))]
    assert len([line for line in render_knowledge(result).split("\n\n")[0].splitlines() if line.startswith("| ")]) == 2 + 7
