"""AAG in the user's words: awaken, internalize, reset, answer; and a model that comes back from its folder."""

import json

import pytest
import torch

from aag_ray import prompts
from aag_ray.awaken.awakened import AwakeningModel, AwakeningSettings
from aag_ray.awaken.generator import DocumentGenerator
from aag_ray.awaken.hypernetwork import build_hypernetwork, layer_shapes
from aag_ray.config import HypernetworkSection, LoraSection, ModelSection
from aag_ray.llm.adapters import AdapterError
from aag_ray.llm.engine import TransformersEngine
from aag_ray.llm.load import load_model
from aag_ray.llm.sft import SftObjective, new_lora

QUESTION = "What is the capital of France?"
DOCUMENT = "Lumora is a city of many people."
MODULES = ("q_proj", "down_proj")


def moved(module, seed, size=0.3):
    """Away from the start, at which adapters are zero."""
    draw = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data += torch.randn(parameter.shape, generator=draw) * size
    return module


def build(tiny, *, generator=True, **settings):
    section = HypernetworkSection(modules=MODULES, rank=2, width=16)
    network = moved(build_hypernetwork(section, layer_shapes(tiny.model, MODULES), 64), 1)
    writer = moved(new_lora(tiny, LoraSection(rank=2), seed=2), 2, 0.1) if generator else None
    reader = moved(new_lora(tiny, LoraSection(rank=2), seed=3), 3, 0.1)
    known = AwakeningSettings(str(tiny.path), "generator", max_document_tokens=8, max_answer_tokens=6, **settings)
    return AwakeningModel(tiny, known, DocumentGenerator(tiny, writer, known.max_document_tokens), reader, network)


@pytest.fixture
def model(tiny):
    return build(tiny)


@pytest.fixture
def calls(model):
    """One entry for each time that the hypernetwork runs."""
    seen = []
    model.hypernetwork.register_forward_hook(lambda *_: seen.append(1))
    return seen


def by_hand(model, prompt, adapter=None):
    engine = TransformersEngine(model.loaded)
    return engine.generate([prompt], max_new_tokens=6, adapter=adapter, shared=[model.reader()])[0].text


class TestAwaken:
    def test_writes_a_document_and_makes_the_adapter_of_question_and_document(self, model):
        awakened = model.awaken(QUESTION)
        assert awakened.question == QUESTION
        assert awakened.document == model.generator.write([""], [QUESTION])[0].text
        expected = model.adapters([QUESTION], [awakened.document])
        for name, factors in awakened.adapter.factors.items():
            torch.testing.assert_close(factors, expected.factors[name])

    def test_makes_the_adapter_once_however_many_tokens_and_answers_follow(self, model, calls):
        awakened = model.awaken(QUESTION)
        answers = {awakened.answer() for _ in range(3)}
        assert calls == [1]
        assert len(answers) == 1
        assert model.read([QUESTION], [awakened.document], "both", awakened.adapter)[0].new_tokens > 1

    def test_answers_with_the_document_in_text_parameters_or_both(self, model):
        awakened = model.awaken(QUESTION)
        closed, shown = prompts.reader_prompt(QUESTION), prompts.reader_prompt(QUESTION, document=awakened.document)
        assert awakened.answer("text") == by_hand(model, shown)
        assert awakened.answer("parameters") == by_hand(model, closed, awakened.adapter)
        assert awakened.answer("both") == by_hand(model, shown, awakened.adapter)
        assert len({awakened.answer(place) for place in ("text", "parameters", "both")}) == 3

    @pytest.mark.parametrize("place", ["text", "parameters", "both"])
    def test_answers_as_the_settings_say_unless_told(self, model, place):
        awakened = model.with_document_in(place).awaken(QUESTION)
        assert awakened.answer() == awakened.answer(place)

    def test_leaves_the_base_model_as_it_was(self, model):
        before = by_hand(model, "Au")
        model.awaken(QUESTION).answer()
        assert by_hand(model, "Au") == before


class TestRead:
    def test_answers_many_questions_as_it_answers_each(self, model):
        asked, documents = [QUESTION, "gold?", "Which currency?"], [DOCUMENT, "Au", "The yen."]
        alone = [model.read([question], [text])[0] for question, text in zip(asked, documents, strict=True)]
        assert model.read(asked, documents) == alone

    def test_from_text_makes_no_adapter(self, model, calls):
        model.read([QUESTION], [DOCUMENT], "text")
        assert calls == []

    def test_in_parameters_leaves_the_document_out_of_the_prompt(self, model):
        lengths = {
            place: model.read([QUESTION], [DOCUMENT], place)[0].prompt_tokens for place in ("text", "parameters", "both")
        }
        closed = len(model.loaded.tokenizer(prompts.reader_prompt(QUESTION))["input_ids"])
        assert lengths["parameters"] == closed < lengths["text"] == lengths["both"]


class TestInternalize:
    def test_answers_from_the_document_in_the_parameters_until_reset(self, model, calls):
        bare = model.answer(QUESTION)
        adapter = model.internalize(DOCUMENT)
        closed = prompts.reader_prompt(QUESTION)
        assert model.answer(QUESTION) == by_hand(model, closed, adapter)
        assert model.answer(QUESTION) == model.answer(QUESTION) != bare
        assert calls == [1]
        model.reset()
        assert model.answer(QUESTION) == bare == by_hand(model, closed)

    def test_of_another_document_replaces_the_first(self, model):
        model.internalize("The yen is the currency of Japan.")
        model.internalize(DOCUMENT)
        second = model.answer(QUESTION)
        model.reset()
        model.internalize(DOCUMENT)
        assert model.answer(QUESTION) == second

    def test_reads_a_document_once_however_often_it_is_internalized(self, model, calls):
        one, other = "The yen is the currency of Japan.", DOCUMENT
        model.internalize(one, other)
        model.reset()
        model.internalize(other)
        model.internalize(one)
        assert calls == [1, 1]

    def test_keeps_the_documents_that_were_asked_for_last(self, model, calls, monkeypatch):
        monkeypatch.setattr("aag_ray.awaken.awakened.KEPT_DOCUMENTS", 2)
        for document in ("One.", "Two.", "One.", "Three.", "One."):
            model.internalize(document)
        assert len(calls) == 3
        model.internalize("Two.")
        assert len(calls) == 4

    def test_of_several_documents_adds_up_their_updates(self, model):
        texts = ["The yen is the currency of Japan.", DOCUMENT]
        both, alone = model.internalize(*texts), [model.internalize(text) for text in texts]
        for name in both.factors:
            torch.testing.assert_close(both.deltas(name), alone[0].deltas(name) + alone[1].deltas(name))

    def test_reads_a_long_document_in_parts_to_its_end(self, model, calls, monkeypatch):
        monkeypatch.setattr("aag_ray.awaken.awakened.READ_AT_ONCE", 64)
        long = " ".join(f"Town number {n} lies by the sea." for n in range(20))
        whole = model.internalize(long)
        rank = next(iter(whole.factors.values()))[0].shape[2]
        assert rank % 2 == 0
        assert rank > 2
        other = model.internalize(long.replace("number 19 lies", "number 19 stands"))
        assert any(not torch.equal(whole.deltas(name), other.deltas(name)) for name in whole.factors)

    def test_reads_no_more_at_once_than_an_adapter_for_each_token_holds(self, tiny, model):
        section = HypernetworkSection(variant="tokens", rank=40, width=4)
        model.hypernetwork = build_hypernetwork(section, layer_shapes(tiny.model, section.modules), 64)
        sentences = [f"Town number {n} lies by the sea." for n in range(9)]
        lengths = [len(tiny.tokenizer(text)["input_ids"]) for text in sentences]
        assert max(lengths) <= 40 < sum(lengths)
        rank = next(iter(model.internalize(" ".join(sentences)).factors.values()))[0].shape[2]
        assert rank > 40  # several parts, each with a pair for every one of its tokens

    def test_needs_a_document(self, model):
        with pytest.raises(ValueError, match="no document to internalize"):
            model.internalize()

    def test_does_not_touch_what_is_awakened(self, model):
        before = model.awaken(QUESTION).answer()
        model.internalize(DOCUMENT)
        assert model.awaken(QUESTION).answer() == before


class TestFolder:
    @pytest.mark.parametrize("generator", [True, False])
    def test_gives_back_a_model_with_equal_answers(self, tiny, tmp_path, generator):
        model = build(tiny, generator=generator, document_in="parameters")
        model.save_pretrained(tmp_path)
        back = AwakeningModel.from_pretrained(tmp_path, tiny)
        assert back.settings == model.settings
        for question in (QUESTION, "gold?"):
            one, two = model.awaken(question), back.awaken(question)
            assert (one.document, one.answer(), one.answer("both")) == (two.document, two.answer(), two.answer("both"))
        model.internalize(DOCUMENT)
        back.internalize(DOCUMENT)
        assert model.answer(QUESTION) == back.answer(QUESTION)

    def test_names_its_base_model(self, model, tmp_path):
        model.save_pretrained(tmp_path)
        assert json.loads((tmp_path / "aag.json").read_text())["base_model"] == str(model.loaded.path)
        assert isinstance(AwakeningModel.from_pretrained(str(tmp_path)).awaken(QUESTION).answer(), str)

    def test_of_another_base_model_is_refused(self, model, t5, tmp_path):
        model.save_pretrained(tmp_path)
        with pytest.raises(AdapterError, match="made for another base model than 'tiny-t5-base'"):
            AwakeningModel.from_pretrained(tmp_path, t5())

    def test_can_name_a_whole_model_as_its_generator(self, tiny, tmp_path):
        SftObjective(tiny, None).save_pretrained(tmp_path / "writer")
        writer = load_model(ModelSection(name=str(tmp_path / "writer")), device="cpu")
        model = build(tiny, generator=False, generator_model=str(tmp_path / "writer"))
        model.generator = DocumentGenerator(writer, None, 8)
        model.save_pretrained(tmp_path / "aag")
        back = AwakeningModel.from_pretrained(tmp_path / "aag", tiny)
        assert back.generator.engine.loaded.name == str(tmp_path / "writer")
        assert back.awaken(QUESTION).document == model.awaken(QUESTION).document
