"""The context generator: one document per question, from a LoRA on the base or from a model of its own."""

import pytest
import torch
from torch.nn.functional import one_hot

from aag_ray import prompts
from aag_ray.awaken.generator import DocumentGenerator
from aag_ray.config import LoraSection, ModelSection
from aag_ray.llm.engine import TransformersEngine
from aag_ray.llm.load import LoadedModel, load_model
from aag_ray.llm.sft import SftObjective, is_lora, new_lora, save_lora
from aag_ray.records import Document, Outcome

QUESTIONS = ["What is the capital of France?", "gold?", "Which currency does Japan use in the country?"]
IDS = ["q1", "q2", "q3"]


@pytest.fixture
def lora(tiny):
    lora = new_lora(tiny, LoraSection(rank=2), seed=1)
    for parameter in lora.b:
        torch.nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(2))
    return lora


def test_documents_come_in_order_with_their_ids_and_lengths(tiny, lora):
    written = DocumentGenerator(tiny, lora, max_tokens=6, batch=2).write(IDS, QUESTIONS)
    asked = [prompts.generator_prompt(question) for question in QUESTIONS]
    expected = TransformersEngine(tiny).generate(asked, max_new_tokens=6, shared=[lora()])
    assert [(one.id, one.text, one.tokens) for one in written] == [
        (key, text.text, text.new_tokens) for key, text in zip(IDS, expected, strict=True)
    ]
    assert all(one.outcome is (Outcome.OK if one.text else Outcome.EMPTY_RESULT) for one in written)


def test_the_lora_and_the_beams_are_used(tiny, lora):
    with_lora = DocumentGenerator(tiny, lora, max_tokens=6)
    assert with_lora.write(IDS, QUESTIONS) != DocumentGenerator(tiny, None, max_tokens=6).write(IDS, QUESTIONS)
    alone = [with_lora.write([key], [asked], beams=3)[0] for key, asked in zip(IDS, QUESTIONS, strict=True)]
    assert with_lora.write(IDS, QUESTIONS, beams=3) == alone


def test_a_document_that_comes_out_empty_says_so(tiny):
    (newline,) = tiny.tokenizer("\n")["input_ids"]
    tiny.model.lm_head.register_forward_hook(
        lambda _layer, _inputs, logits: one_hot(torch.full(logits.shape[:-1], newline), logits.shape[-1]).float()
    )
    (written,) = DocumentGenerator(tiny, None, max_tokens=6).write(["q"], QUESTIONS[:1])
    assert written == Document("q", "", Outcome.EMPTY_RESULT, tokens=1)


def test_no_question_gives_no_document(tiny):
    assert DocumentGenerator(tiny, None, max_tokens=6).write([], []) == []


def test_every_question_needs_an_id(tiny):
    with pytest.raises(ValueError, match="zip"):
        DocumentGenerator(tiny, None, max_tokens=2).write(["q1"], QUESTIONS)


def test_a_trained_lora_is_loaded_onto_its_base(tiny, lora, tmp_path):
    save_lora(lora, tmp_path)
    assert is_lora(tmp_path)
    loaded = DocumentGenerator.from_pretrained(tiny, tmp_path, max_tokens=6)
    assert loaded.write(IDS, QUESTIONS) == DocumentGenerator(tiny, lora, max_tokens=6).write(IDS, QUESTIONS)


def test_a_whole_trained_model_is_its_own_base(tiny, tmp_path):
    SftObjective(tiny, None).save_pretrained(tmp_path)
    assert not is_lora(tmp_path)
    own = load_model(ModelSection(name=str(tmp_path), dtype="float32"), device="cpu")
    loaded = DocumentGenerator.from_pretrained(own, tmp_path, max_tokens=6)
    assert loaded.lora is None
    assert loaded.write(IDS, QUESTIONS) == DocumentGenerator(tiny, None, max_tokens=6).write(IDS, QUESTIONS)


def test_an_encoder_decoder_can_write_documents_too(tiny_t5, tiny_tokenizer, tmp_path):
    loaded = LoadedModel(tiny_t5, tiny_tokenizer, torch.device("cpu"), torch.float32, "tiny-t5", tmp_path)
    written = DocumentGenerator(loaded, new_lora(loaded, LoraSection(), seed=1), max_tokens=4).write(IDS, QUESTIONS)
    assert [one.id for one in written] == IDS
    assert written == DocumentGenerator(loaded, None, max_tokens=4).write(IDS, QUESTIONS)
