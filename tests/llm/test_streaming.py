"""Decoding together what comes one by one: the same texts, in pieces, bounded, and ended when nobody waits."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing

import pytest
import torch

from aag_ray.llm.adapters import Adapter, adaptable_layers
from aag_ray.llm.engine import TransformersEngine
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.streaming import QueueFull, StreamingEngine
from aag_ray.llm.written import StreamPiece

PROMPTS = [
    "Question: What is the capital of France?\nAnswer:",
    "Document:",
    "Question: Which currency does Japan use?\nAnswer:",
]


@pytest.fixture
def engine(tiny: LoadedModel) -> Iterator[StreamingEngine]:
    engine = StreamingEngine(tiny, batch=4, waiting=8)
    yield engine
    engine.close()


def adapters(loaded: LoadedModel, count: int, seed: int = 5) -> Adapter:
    generator = torch.Generator().manual_seed(seed)
    factors = {}
    for name, layer in adaptable_layers(loaded.model, ["down_proj"]).items():
        a = torch.randn(count, layer.in_features, 4, generator=generator) * 0.5
        factors[name] = (a, torch.randn(count, 4, layer.out_features, generator=generator) * 0.5)
    return Adapter(factors)


async def text_of(engine: StreamingEngine, prompt: str, tokens: int = 12, adapter: Adapter | None = None) -> list[StreamPiece]:
    return [piece async for piece in engine.stream(prompt, max_new_tokens=tokens, adapter=adapter)]


@pytest.mark.asyncio
async def test_streamed_texts_are_those_of_the_batch_engine(engine: StreamingEngine, tiny: LoadedModel):
    whole = TransformersEngine(tiny).generate(PROMPTS, max_new_tokens=12)
    streamed = await asyncio.gather(*(text_of(engine, prompt) for prompt in PROMPTS))
    for pieces, generation in zip(streamed, whole, strict=True):
        assert "".join(piece.text for piece in pieces).strip() == generation.text
        assert pieces[-1].new_tokens == generation.new_tokens
        assert pieces[-1].prompt_tokens == generation.prompt_tokens
        assert [bool(piece.end) for piece in pieces] == [False] * (len(pieces) - 1) + [True]


@pytest.mark.asyncio
async def test_what_was_written_while_nobody_took_it_comes_in_one_piece(engine: StreamingEngine):
    expected = await text_of(engine, PROMPTS[0])
    assert len(expected) > 2
    taken = []
    async with aclosing(engine.stream(PROMPTS[0], max_new_tokens=12)) as stream:
        async for piece in stream:
            taken.append(piece)
            await engine.call(lambda: None)  # done when the batch is
    assert len(taken) == 2
    assert "".join(piece.text for piece in taken) == "".join(piece.text for piece in expected)
    assert (taken[-1].end, taken[-1].new_tokens) == (expected[-1].end, expected[-1].new_tokens)
    assert taken[-1].likelihood == expected[-1].likelihood


@pytest.mark.asyncio
async def test_each_row_has_its_own_adapter(engine: StreamingEngine, tiny: LoadedModel):
    own = adapters(tiny, 3)
    whole = TransformersEngine(tiny).generate(PROMPTS, max_new_tokens=12, adapter=own)
    streamed = await asyncio.gather(*(text_of(engine, p, adapter=own.select([n])) for n, p in enumerate(PROMPTS)))
    assert ["".join(piece.text for piece in pieces).strip() for pieces in streamed] == [each.text for each in whole]
    assert len({each.text for each in whole}) > 1
    bare = await text_of(engine, PROMPTS[0])
    assert "".join(p.text for p in bare).strip() == TransformersEngine(tiny).generate(PROMPTS[:1], max_new_tokens=12)[0].text


@pytest.mark.asyncio
async def test_rows_end_at_their_own_length(engine: StreamingEngine):
    one, two = await asyncio.gather(text_of(engine, PROMPTS[1], 2), text_of(engine, PROMPTS[1], 9))
    assert one[-1].new_tokens <= 2 < two[-1].new_tokens
    assert one[-1].end == "length"


@pytest.mark.asyncio
async def test_a_row_that_nobody_waits_for_ends_and_the_others_go_on(engine: StreamingEngine):
    async with aclosing(engine.stream(PROMPTS[1], max_new_tokens=100_000)) as pieces:
        await anext(pieces)
        other = asyncio.create_task(text_of(engine, PROMPTS[0], 4))
    assert (await other)[-1].end


@pytest.mark.asyncio
async def test_what_waits_is_bounded(engine: StreamingEngine):
    hold = threading.Event()
    busy = asyncio.create_task(engine.call(hold.wait))
    await asyncio.sleep(0.05)
    waiting = [asyncio.create_task(text_of(engine, PROMPTS[0], 2)) for _ in range(8)]
    await asyncio.sleep(0.05)
    with pytest.raises(QueueFull, match="8 prompts are waiting"):
        await text_of(engine, PROMPTS[0], 2)
    hold.set()
    await busy
    assert all(pieces[-1].end for pieces in await asyncio.gather(*waiting))


@pytest.mark.asyncio
async def test_a_failing_batch_reaches_its_callers_and_the_engine_goes_on(engine: StreamingEngine):
    wrong = Adapter({"model.layers.0.mlp.down_proj": (torch.ones(1, 3, 2), torch.ones(1, 2, 3))})
    with pytest.raises(Exception, match=r"down_proj|shape|size"):
        await text_of(engine, PROMPTS[0], adapter=wrong)
    assert (await text_of(engine, PROMPTS[0]))[-1].end


@pytest.mark.asyncio
async def test_functions_run_in_the_thread_that_owns_the_model(engine: StreamingEngine):
    assert await engine.call(lambda: threading.current_thread().name) == "decoding"
    with pytest.raises(ZeroDivisionError):
        await engine.call(lambda: 1 // 0)


@pytest.mark.asyncio
async def test_a_closed_engine_takes_nothing(tiny: LoadedModel):
    engine = StreamingEngine(tiny)
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        await text_of(engine, PROMPTS[0])
