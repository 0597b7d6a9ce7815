"""What a model answers closed book, and its likelihood, as the model itself has it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from aag_ray import prompts
from aag_ray.answer.parsing.recall import ClosedBook
from aag_ray.awaken.awakened import AwakeningModel, AwakeningSettings
from aag_ray.awaken.generator import DocumentGenerator
from aag_ray.awaken.hypernetwork import build_hypernetwork, layer_shapes
from aag_ray.config import HypernetworkSection, LoraSection, ModelSection
from aag_ray.llm.engine import TransformersEngine
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.sft import new_lora

QUESTIONS = ["What is the capital of France?", "Which currency does Japan use?", "Who?"]
IDS = ["a", "b", "c"]


@pytest.fixture
def awakening(tiny: LoadedModel) -> AwakeningModel:
    section = HypernetworkSection(modules=("down_proj",), rank=2, width=16)
    network = build_hypernetwork(section, layer_shapes(tiny.model, section.modules), 64)
    loras = [new_lora(tiny, LoraSection(rank=2), seed=seed) for seed in (2, 3)]
    draw = torch.Generator().manual_seed(1)
    for module in (network, *loras):
        for parameter in module.parameters():
            parameter.data += torch.randn(parameter.shape, generator=draw) * 0.2
    settings = AwakeningSettings(str(tiny.path), "generator", document_in="both", max_document_tokens=6, max_answer_tokens=5)
    return AwakeningModel(tiny, settings, DocumentGenerator(tiny, loras[0], 6), loras[1], network)


def test_the_base_model_is_asked_as_the_endpoint_asks_it(tiny: LoadedModel):
    recalled = ClosedBook(tiny, None, 5, batch=2).recall(IDS, QUESTIONS)
    asked = [prompts.zero_shot_prompt(tiny.tokenizer, question) for question in QUESTIONS]
    expected = [each.text for each in TransformersEngine(tiny).generate(asked, max_new_tokens=5)]
    assert [each.answer for each in recalled] == expected
    assert [each.id for each in recalled] == IDS
    assert all(0 <= each.likelihood <= 1 for each in recalled)


def test_the_likelihood_is_the_geometric_mean_of_the_tokens_chances(tiny: LoadedModel):
    model: Any = tiny.model
    tokenizer: Any = tiny.tokenizer
    for each, question in zip(ClosedBook(tiny, None, 5).recall(IDS, QUESTIONS), QUESTIONS, strict=True):
        if not each.answer:
            assert each.likelihood == 0
            continue
        prompt = tokenizer(prompts.zero_shot_prompt(tokenizer, question))["input_ids"]
        answer = tokenizer(each.answer, add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            chances = model(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
        mean = chances[range(len(answer)), answer].mean()
        assert each.likelihood == pytest.approx(math.exp(float(mean)), rel=1e-3)


@pytest.mark.parametrize("place", ["text", "parameters", "both"])
def test_an_awakening_model_answers_as_it_does_alone(awakening: AwakeningModel, place: Any):
    awakening.with_document_in(place)
    book = ClosedBook(awakening.loaded, awakening, awakening.settings.max_answer_tokens, batch=2)
    recalled = book.recall(IDS, QUESTIONS)
    assert [each.answer for each in recalled] == [awakening.awaken(question).answer() for question in QUESTIONS]
    assert all((each.likelihood > 0) == bool(each.answer) for each in recalled)


def test_both_kinds_are_loaded_from_where_they_are(awakening: AwakeningModel, tiny: LoadedModel, tmp_path: Path):
    awakening.save_pretrained(tmp_path)
    section = ModelSection(name=tiny.name, dtype="float32")
    assert ClosedBook.load(section, tmp_path, 5).awakening is not None
    assert ClosedBook.load(section, None, 5).awakening is None
