"""Every system of the table answers every question, and the answers are summed up as the report wants them."""

from dataclasses import replace

import pytest
import torch

from aag_ray.awaken.awakened import AwakeningModel, AwakeningSettings
from aag_ray.awaken.generator import DocumentGenerator
from aag_ray.awaken.hypernetwork import build_hypernetwork, layer_shapes
from aag_ray.config import DocumentIn, EvaluateSection, HypernetworkSection, LoraSection, ModelSection
from aag_ray.evaluate.answering import Answering, Answers, derangement, summarise
from aag_ray.evaluate.markdown import render_markdown
from aag_ray.evaluate.report import write_report
from aag_ray.llm.engine import Generation
from aag_ray.llm.gold_answers import read_gold
from aag_ray.llm.load import load_model
from aag_ray.llm.sft import new_lora
from aag_ray.prompts import reader_prompt
from aag_ray.records import Document, Passage, Question

SYSTEMS = {
    *("zero_shot", "few_shot", "static_lora", "generator_only", "hypernetwork_only", "aag", "aag_shuffled", "aag_mean"),
    *("aag_zero", "retrieved_1", "retrieved_5", "retrieved_10", "oracle"),
}
COUNT = 6


def question(number):
    passages = tuple(Passage(f"p{n}", f"T{n}", f"text {number} {n}") for n in range(10))
    kind = "country" if number < 4 else "element"
    return Question(
        f"q{number}", f"What is {number}?", (f"answer {number}",), passages, entity=f"e{number}", relation="is", kind=kind
    )


QUESTIONS = [question(number) for number in range(COUNT)]
DOCUMENTS = {q.id: Document(q.id, f"Dummy {q.id} of many people.") for q in QUESTIONS}
ORACLE = {q.id: Document(q.id, f"Compressed {q.id}.") for q in QUESTIONS}
SHOTS = [Question("s1", "Why?", ("so",)), Question("s2", "Who?", ("me",))]
SECTION = EvaluateSection(max_answer_tokens=4, bootstrap_samples=200, case_questions=3)


def moved(module, seed, size=0.2):
    draw = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data += torch.randn(parameter.shape, generator=draw) * size
    return module


@pytest.fixture(scope="module")
def build(tiny_model_folder):
    loaded = load_model(ModelSection(name=str(tiny_model_folder), dtype="float32"), device="cpu")
    shape = HypernetworkSection(rank=2, width=16)
    network = moved(build_hypernetwork(shape, layer_shapes(loaded.model, shape.modules), 64), 1)
    generator = DocumentGenerator(loaded, moved(new_lora(loaded, LoraSection(rank=2), seed=2), 2, 0.1), 6)
    reader, static = (moved(new_lora(loaded, LoraSection(rank=rank), seed=rank), rank, 0.1) for rank in (3, 4))

    def answering(document_in: DocumentIn = "both", questions=QUESTIONS, oracle=ORACLE, section=SECTION):
        settings = AwakeningSettings(str(tiny_model_folder), "generator", document_in=document_in, max_answer_tokens=4)
        model = AwakeningModel(loaded, settings, generator, reader, network)
        return Answering(model, static, questions, DOCUMENTS, oracle, SHOTS, section, seed=1)

    return answering


@pytest.fixture(scope="module")
def answering(build):
    return build()


@pytest.fixture(scope="module")
def answers(answering):
    return answering.run()


def texts(answer):
    return [written.text for written in answer.generations]


def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


class TestRun:
    def test_has_every_system_of_the_table_with_an_answer_to_every_question(self, answers):
        assert set(answers) == SYSTEMS
        assert all(len(answer.generations) == COUNT and answer.seconds > 0 for answer in answers.values())

    def test_says_what_it_has_finished(self, build):
        lines = []
        build("parameters").run(lines.append)
        assert {line.split(":")[0] for line in lines} == SYSTEMS

    @pytest.mark.parametrize("place", ["both", "parameters"])
    def test_aag_answers_as_the_model_does(self, build, place):
        answering = build(place)
        own = answering.model.read(answering.asked, answering.documents)
        assert answering.run()["aag"].generations == own

    def test_a_zero_adapter_is_the_reader_without_one(self, answering, answers):
        without = answering.model.read(answering.asked, answering.documents, "text")
        assert answers["aag_zero"].generations == answers["generator_only"].generations == without
        assert texts(answers["aag"]) != texts(answers["aag_zero"])

    def test_shuffled_adapters_are_those_of_other_questions(self, answering, answers):
        order = derangement(COUNT, answering.seed)
        expected = answering.model.read(answering.asked, answering.documents, "both", answering.adapters.select(order))
        assert answers["aag_shuffled"].generations == expected
        assert texts(answers["aag_shuffled"]) != texts(answers["aag"])

    def test_the_hypernetwork_alone_reads_only_the_question(self, answering, answers):
        adapters = answering.model.adapters(answering.asked, [None] * COUNT)
        expected = answering.model.read(answering.asked, [None] * COUNT, "parameters", adapters)
        assert answers["hypernetwork_only"].generations == expected

    def test_more_passages_cost_more_tokens(self, answers):
        read = {name: sum(written.prompt_tokens for written in answer.generations) for name, answer in answers.items()}
        assert read["static_lora"] < read["aag"] < read["retrieved_5"] < read["retrieved_10"]
        assert read["retrieved_1"] < read["retrieved_5"]
        assert read["hypernetwork_only"] == read["static_lora"]

    def test_counts_the_parameters_trained_for_each_system(self, answering, answers):
        model = answering.model
        reader, generator, network = size(model.reader), size(model.generator.lora), size(model.hypernetwork)
        expected = {"zero_shot": 0, "few_shot": 0, "static_lora": size(answering.static), "retrieved_5": reader}
        expected |= {"oracle": reader, "generator_only": reader + generator, "hypernetwork_only": reader + network}
        expected |= {"aag": reader + generator + network}
        assert {name: answers[name].trained_parameters for name in expected} == expected

    def test_with_the_document_as_text_alone_there_is_no_adapter(self, build):
        answers = build("text").run()
        assert answers["aag"].generations == answers["aag_shuffled"].generations == answers["generator_only"].generations


class TestTokenScores:
    def test_are_left_alone_unless_they_are_asked_for(self, answering, answers):
        assert not any(answer.gold for answer in answers.values())
        assert "perplexity" not in summarise(answering, answers)["systems"]["aag"]

    def test_are_each_system_s_view_of_the_same_answers_with_its_own_prompts_and_adapters(self, build, answers):
        answering = build(section=SECTION.model_copy(update={"token_scores": True}))
        asked = answering.run()
        assert {name: texts(answer) for name, answer in asked.items()} == {name: texts(a) for name, a in answers.items()}
        model, told = answering.model, [q.answers[0] for q in QUESTIONS]
        prompts = [reader_prompt(q.question, document=DOCUMENTS[q.id].text) for q in QUESTIONS]
        assert asked["aag"].gold == read_gold(model.loaded, prompts, told, adapter=answering.adapters, shared=model.shared)
        assert (
            asked["aag_zero"].gold
            == asked["generator_only"].gold
            == read_gold(model.loaded, prompts, told, shared=model.shared)
        )
        assert len({answer.gold[0].cross_entropy for answer in asked.values()}) == len(SYSTEMS) - 1
        result = summarise(answering, asked)
        assert all(row[name]["n"] == COUNT for row in result["systems"].values() for name in ("token_accuracy", "perplexity"))
        assert render_markdown(result).splitlines()[0].endswith("| s/question | Token accuracy, % | Perplexity |")


class TestPassages:
    def test_without_any_the_systems_that_read_them_are_left_out(self, build):
        bare = build(questions=[replace(each, contexts=()) for each in QUESTIONS[:2]], oracle={})
        answers = bare.run()
        assert set(bare.left_out) == {"retrieved_1", "retrieved_5", "retrieved_10", "oracle"}
        assert set(answers) == SYSTEMS - set(bare.left_out)
        result = summarise(bare, answers)
        assert (result["without_passages"], result["left_out"]) == (2, bare.left_out)

    def test_where_some_questions_have_them_everyone_is_asked(self, build, answering):
        some = build(questions=[replace(QUESTIONS[0], contexts=()), QUESTIONS[1]])
        assert (some.left_out, some.without_passages) == ([], 1)
        assert (answering.left_out, answering.without_passages) == ([], 0)


class TestSummary:
    @pytest.fixture
    def known(self, answers):
        """Answers of which it is known who is right: AAG always, the static LoRA about elements, the others never."""

        def written(name, q):
            right = name == "aag" or (name == "static_lora" and q.kind == "element")
            return Generation(f"The {q.answers[0]}." if right else "nothing", 10, 3)

        return {name: Answers([written(name, q) for q in QUESTIONS], seconds=3.0, trained_parameters=7) for name in answers}

    def test_scores_every_question_of_every_system_with_an_interval(self, answering, known):
        systems = summarise(answering, known)["systems"]
        assert set(systems) == SYSTEMS
        assert systems["aag"]["em"] == {"value": 100.0, "low": 100.0, "high": 100.0, "n": COUNT}
        assert systems["static_lora"]["em"]["value"] == pytest.approx(100 * 2 / 6)
        assert systems["static_lora"]["em"]["low"] < 100 / 3 < systems["static_lora"]["em"]["high"]
        assert systems["zero_shot"]["f1"]["value"] == systems["zero_shot"]["subspan"]["value"] == 0.0
        assert all(values[score]["n"] == COUNT for values in systems.values() for score in ("em", "f1", "subspan"))

    def test_has_the_differences_on_the_same_questions(self, answering, known):
        differences = summarise(answering, known)["differences"]
        assert {"aag-static_lora", "aag-aag_shuffled", "aag-few_shot"} <= set(differences)
        assert differences["aag-few_shot"] == {"value": 100.0, "low": 100.0, "high": 100.0, "n": COUNT}
        assert differences["aag-static_lora"]["value"] == pytest.approx(100 * 4 / 6)

    def test_tells_kinds_of_questions_apart(self, answering, known):
        kinds = summarise(answering, known)["by_kind"]
        assert {kind: scores["static_lora"] for kind, scores in kinds.items()} == {"country": 0.0, "element": 100.0}

    def test_counts_the_cost_of_a_question(self, answering, known):
        systems = summarise(answering, known, document_seconds=2.0)["systems"]
        assert systems["zero_shot"]["seconds_per_question"] == pytest.approx(0.5)
        for name in ("aag", "aag_zero", "generator_only"):
            assert systems[name]["seconds_per_question"] == pytest.approx(2.5)
        assert (systems["aag"]["prompt_tokens"], systems["aag"]["trained_parameters"]) == (10, 7)

    def test_says_whether_the_adapters_differ_and_by_what(self, answering, known):
        gate = summarise(answering, known)["gate"]
        assert not gate["passed"]  # six questions show nothing
        assert 0 < gate["adapter_variance"] <= 1
        assert set(gate["eta_squared"]) == {"kind", "relation"}
        assert gate["eta_squared"]["relation"] == pytest.approx(0.0, abs=1e-9)

    def test_puts_cases_side_by_side(self, answering, known):
        cases = summarise(answering, known)["cases"]
        assert len(cases) == 3
        assert set(cases[0]["predictions"]) == SYSTEMS
        assert cases == summarise(answering, known)["cases"]

    def test_is_what_the_report_is_written_from(self, answering, answers, tmp_path):
        result = summarise(answering, answers)
        files = write_report(result, tmp_path)
        assert all(tmp_path.joinpath(path).stat().st_size > 0 for path in files.values())
        assert result["shots"] == 2


class TestDerangement:
    @pytest.mark.parametrize("count", [2, 3, 5, 20, 101])
    def test_moves_everyone_and_loses_no_one(self, count):
        order = derangement(count, seed=1)
        assert sorted(order) == list(range(count))
        assert all(place != other for place, other in enumerate(order))

    def test_is_decided_by_the_seed(self):
        assert derangement(20, seed=1) == derangement(20, seed=1) != derangement(20, seed=2)

    def test_of_one_question_is_itself(self):
        assert derangement(1, seed=1) == [0]
