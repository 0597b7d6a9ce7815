"""Memory and reader around real (tiny) models: what they say is what the models say, and a full queue is told."""

import asyncio
import math
import threading
from collections.abc import Iterator

import pytest
import torch

from aag_ray import prompts
from aag_ray.answer.models import AwakenedParts, BaseParts, facts_of, passages_of
from aag_ray.answer.parts import Pieces, Unavailable
from aag_ray.awaken.awakened import AwakeningModel, AwakeningSettings
from aag_ray.awaken.generator import DocumentGenerator
from aag_ray.awaken.hypernetwork import build_hypernetwork, layer_shapes
from aag_ray.config import DecodingSection, HypernetworkSection, LoraSection
from aag_ray.extract.evidence import Evidence
from aag_ray.llm.adapters import Adapter
from aag_ray.llm.engine import TransformersEngine
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.sft import new_lora
from aag_ray.llm.streaming import StreamingEngine

QUESTION = "What is the capital of France?"
EVIDENCE = (
    Evidence("https://b.example/p", 4, 50, 60, "The capital is here.", 0.9),
    Evidence("https://a.example/q", 1, 0, 9, "Paris is.", 0.8),
    Evidence("https://b.example/p", 2, 10, 20, "France is large.", 0.7),
)


def moved(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    draw = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data += torch.randn(parameter.shape, generator=draw) * 0.2
    return module


@pytest.fixture
def model(tiny: LoadedModel) -> AwakeningModel:
    section = HypernetworkSection(modules=("down_proj",), rank=2, width=16)
    network = build_hypernetwork(section, layer_shapes(tiny.model, section.modules), 64)
    moved(network, 1)
    loras = [new_lora(tiny, LoraSection(rank=2), seed=seed) for seed in (2, 3)]
    for lora in loras:
        moved(lora, 4)
    settings = AwakeningSettings(str(tiny.path), "generator", document_in="both", max_document_tokens=8, max_answer_tokens=6)
    return AwakeningModel(tiny, settings, DocumentGenerator(tiny, loras[0], 8), loras[1], network)


@pytest.fixture
def parts(model: AwakeningModel) -> Iterator[AwakenedParts]:
    parts = AwakenedParts(model, DecodingSection(batch=4, waiting=2))
    yield parts
    parts.close()


async def text_of(pieces: Pieces) -> str:
    return "".join([piece.text async for piece in pieces]).strip()


@pytest.mark.asyncio
async def test_it_awakens_and_answers_as_the_model_does_alone(parts: AwakenedParts, model: AwakeningModel):
    awakening, pieces = await parts.recall(QUESTION, answer_tokens=6)
    alone = model.awaken(QUESTION)
    assert awakening.document == alone.document
    assert awakening.facts == facts_of(alone.adapter)
    assert await text_of(pieces) == alone.answer()
    assert awakening.prompt_tokens > 0
    assert awakening.new_tokens > 0


@pytest.mark.asyncio
@pytest.mark.parametrize("place", ["text", "parameters", "both"])
async def test_the_document_is_where_the_model_was_trained_to_want_it(parts: AwakenedParts, model: AwakeningModel, place: str):
    model.with_document_in(place)  # type: ignore[arg-type]
    _, pieces = await parts.recall(QUESTION, answer_tokens=6)
    assert await text_of(pieces) == model.awaken(QUESTION).answer()


@pytest.mark.asyncio
async def test_evidence_is_read_as_passages_with_the_readers_own_lora(parts: AwakenedParts, model: AwakeningModel):
    prompt = prompts.reader_prompt(QUESTION, passages=passages_of(EVIDENCE))
    expected = TransformersEngine(model.loaded).generate([prompt], max_new_tokens=6, shared=model.shared)[0].text
    assert await text_of(parts.read(QUESTION, EVIDENCE, answer_tokens=6)) == expected


@pytest.mark.asyncio
async def test_many_questions_at_once_get_their_own_answers(parts: AwakenedParts, model: AwakeningModel):
    assert isinstance(parts.engine, StreamingEngine)
    parts.engine.waiting = 64
    questions = [f"Question number {n}?" for n in range(6)]
    recalled = await asyncio.gather(*(parts.recall(question, answer_tokens=6) for question in questions))
    answers = await asyncio.gather(*(text_of(pieces) for _, pieces in recalled))
    alone = [model.awaken(question) for question in questions]
    assert [each.document for each, _ in recalled] == [each.document for each in alone]
    assert answers == [each.answer() for each in alone]


@pytest.mark.asyncio
async def test_pieces_count_their_tokens_once(parts: AwakenedParts, model: AwakeningModel):
    pieces = [piece async for piece in parts.read(QUESTION, EVIDENCE, answer_tokens=5)]
    prompt = prompts.reader_prompt(QUESTION, passages=passages_of(EVIDENCE))
    [whole] = TransformersEngine(model.loaded).generate([prompt], max_new_tokens=5, shared=model.shared)
    assert sum(piece.new_tokens for piece in pieces) == whole.new_tokens
    assert sum(piece.prompt_tokens for piece in pieces) == whole.prompt_tokens


@pytest.mark.asyncio
async def test_a_full_queue_is_unavailable(parts: AwakenedParts):
    hold = threading.Event()
    busy = asyncio.create_task(parts.engine.call(hold.wait))
    await asyncio.sleep(0.05)
    waiting = [asyncio.create_task(parts.recall(QUESTION, answer_tokens=6)) for _ in range(2)]
    await asyncio.sleep(0.05)
    with pytest.raises(Unavailable, match="2 prompts are waiting"):
        await parts.recall(QUESTION, answer_tokens=6)
    hold.set()
    await asyncio.gather(busy, *waiting)


@pytest.mark.asyncio
async def test_the_base_model_alone_says_that_nothing_is_trained(tiny: LoadedModel):
    parts = BaseParts(tiny)
    awakening, pieces = await parts.recall(QUESTION, answer_tokens=6)
    assert (awakening.document, awakening.facts) == ("", {"trained": False})
    prompt = prompts.zero_shot_prompt(tiny.tokenizer, QUESTION)
    assert await text_of(pieces) == TransformersEngine(tiny).generate([prompt], max_new_tokens=6)[0].text
    shown = prompts.zero_shot_prompt(tiny.tokenizer, QUESTION, "France is large. The capital is here. Paris is.")
    read = await text_of(parts.read(QUESTION, EVIDENCE, answer_tokens=6))
    assert read == TransformersEngine(tiny).generate([shown], max_new_tokens=6)[0].text
    parts.close()


def test_evidence_becomes_one_passage_a_page_best_page_first_spans_in_page_order():
    one, two = passages_of(EVIDENCE)
    assert (one.id, one.title, one.text) == ("https://b.example/p", "b.example", "France is large. The capital is here.")
    assert (two.title, two.text) == ("a.example", "Paris is.")
    assert passages_of(()) == []


@pytest.mark.parametrize(
    ("url", "title", "shown"),
    [
        ("https://b.example/p", "France", "France"),
        ("https://b.example/p", "France " * 100, ("France " * 100)[:120]),
        ("http://127.0.0.5:8000/p", "", ""),
        ("http://[::1]:8000/p", "", ""),
    ],
    ids=["title", "long title", "address", "IPv6 address"],
)
def test_a_passage_has_its_pages_title_and_no_number_that_could_be_read_as_an_answer(url: str, title: str, shown: str):
    [passage] = passages_of([Evidence(url, 1, 0, 9, "Paris is.", 0.8, title)])
    assert (passage.title, passage.text) == (shown, "Paris is.")


def test_the_facts_of_an_adapter_are_those_of_its_update():
    a, b = torch.randn(1, 6, 2), torch.randn(1, 2, 4)
    facts = facts_of(Adapter({"x.down_proj": (a, b), "y.down_proj": (2 * a, b)}))
    norm = math.sqrt(float((a[0] @ b[0]).square().sum()) * 5)
    assert facts == {"trained": True, "layers": 2, "rank": 2, "numbers": 2 * 20, "norm": pytest.approx(norm, rel=1e-4)}
