"""What every engine that streams does alike: equal greedy texts on equal adapters, bounds, ends, and errors that stay apart.

vLLM's half runs where vLLM is installed: `make test-vllm` makes an environment for it.
"""

import asyncio
import importlib.util
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import torch

from aag_ray.config import DecodingSection
from aag_ray.llm.adapters import Adapter, AdapterError
from aag_ray.llm.engine import TransformersEngine, decoded, newline_tokens
from aag_ray.llm.engines import Engine, build_engine
from aag_ray.llm.forms import Expression
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.numbers import SourceNumbers
from aag_ray.llm.streaming import QueueFull
from aag_ray.llm.written import StreamPiece

PROMPTS = [
    "Question: What is the capital of France?\nAnswer:",
    "Document:",
    "Question: Which currency does Japan use?\nAnswer:",
    "The symbol of gold",
]
BATCH, WAITING, TOKENS = 4, 5, 12
MakeAdapters = Callable[..., Adapter]
NO_VLLM = "vLLM is not installed here; `make test-vllm` runs this in an environment that has it"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adapters")


@pytest.fixture(scope="module", params=["transformers", "vllm"])
def engine(
    request: pytest.FixtureRequest, wide: LoadedModel, folder: Path, decoding: Callable[[str, Path], DecodingSection]
) -> Iterator[Engine]:
    if request.param == "vllm" and importlib.util.find_spec("vllm") is None:
        pytest.skip(NO_VLLM)
    engine = build_engine(wide, decoding(request.param, folder))
    yield engine
    engine.close()


async def pieces_of(engine: Engine, prompt: str, tokens: int = TOKENS, **options: Any) -> list[StreamPiece]:
    return [piece async for piece in engine.stream(prompt, max_new_tokens=tokens, **options)]


def text(pieces: list[StreamPiece]) -> str:
    return "".join(piece.text for piece in pieces).strip()


def whole(loaded: LoadedModel, prompts: list[str], **options: Any) -> list[str]:
    """What the batch engine of transformers writes, the reference of both."""
    return [each.text for each in TransformersEngine(loaded).generate(prompts, max_new_tokens=TOKENS, **options)]


@pytest.mark.asyncio
async def test_the_base_model_writes_the_same_texts(engine: Engine, wide: LoadedModel):
    streamed = await asyncio.gather(*(pieces_of(engine, prompt) for prompt in PROMPTS))
    expected = TransformersEngine(wide).generate(PROMPTS, max_new_tokens=TOKENS)
    for pieces, generation in zip(streamed, expected, strict=True):
        assert text(pieces) == generation.text
        assert pieces[-1].new_tokens == generation.new_tokens
        assert pieces[-1].prompt_tokens == generation.prompt_tokens
        assert [bool(piece.end) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert len({generation.text for generation in expected}) > 1


@pytest.mark.asyncio
async def test_a_role_writes_the_same_texts(engine: Engine, wide: LoadedModel, adapters: MakeAdapters):
    roles = [adapters(wide, 1, seed=7, modules=("q_proj", "v_proj", "up_proj"), rank=3)]
    expected = whole(wide, PROMPTS, shared=roles)
    streamed = await asyncio.gather(*(pieces_of(engine, prompt, shared=roles) for prompt in PROMPTS))
    assert [text(pieces) for pieces in streamed] == expected != whole(wide, PROMPTS)


@pytest.mark.asyncio
async def test_prompts_of_every_kind_at_once_and_in_any_order_write_what_each_writes_alone(
    engine: Engine, wide: LoadedModel, adapters: MakeAdapters
):
    role = adapters(wide, 1, seed=7, modules=("q_proj", "v_proj", "up_proj"), rank=3)
    own = adapters(wide, 2, seed=5, modules=("down_proj", "up_proj"))
    kinds: list[dict[str, Any]] = [
        {},
        {"shared": [role]},
        {"adapter": own.select([0])},
        {"adapter": own.select([1])},
        {"adapter": own.select([1]), "shared": [role]},
    ]
    asked = [(prompt, kind) for prompt in PROMPTS[:2] for kind in kinds]
    alone = [whole(wide, [prompt], **kind)[0] for prompt, kind in asked]
    assert len(set(alone)) > len(kinds)
    order = list(range(len(asked)))
    random.Random(3).shuffle(order)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        streamed = await asyncio.gather(*(pieces_of(engine, asked[row][0], **asked[row][1]) for row in rows))
        assert [text(pieces) for pieces in streamed] == [alone[row] for row in rows]


@pytest.mark.asyncio
async def test_a_text_says_how_likely_the_model_finds_it(engine: Engine, wide: LoadedModel):
    streamed = await asyncio.gather(*(pieces_of(engine, prompt) for prompt in PROMPTS))
    tokenizer: Any = wide.tokenizer
    ends = {*newline_tokens(tokenizer), tokenizer.eos_token_id}
    for prompt, pieces in zip(PROMPTS, streamed, strict=True):
        start = tokenizer(prompt)["input_ids"]
        text = [token for token in decoded(wide, [start], TOKENS, list(ends))[0] if token not in ends]
        with torch.inference_mode():
            logits = wide.model(torch.tensor([start + text])).logits[0, len(start) - 1 : -1].float()
        taken = logits.log_softmax(-1)[range(len(text)), text]
        assert text
        assert pieces[-1].likelihood == pytest.approx(float(taken.mean().exp()), rel=0.02)


@pytest.mark.asyncio
async def test_a_prompt_held_to_numbers_states_no_others_and_those_beside_it_are_free(engine: Engine, wide: LoadedModel):
    numbers = SourceNumbers(["12 of 3,456"])
    asked = [*((prompt, numbers) for prompt in PROMPTS), (PROMPTS[0], None)]
    held = await asyncio.gather(*(pieces_of(engine, prompt, 40, form=each) for prompt, each in asked))
    for pieces, (_, each) in zip(held, asked, strict=True):
        assert each is None or each.allow(text(pieces), ended=pieces[-1].end == "stop")
    assert text(held[-1]) == TransformersEngine(wide).generate(PROMPTS[:1], max_new_tokens=40)[0].text
    assert not all(numbers.allow(text(pieces), ended=False) for pieces in await free(engine)), "held to nothing they do"


@pytest.mark.asyncio
async def test_a_prompt_held_to_an_expression_matches_it_and_those_beside_it_are_free(engine: Engine, wide: LoadedModel):
    form = Expression(r'\{"search": (?:true|false), "q": "[a-z ]{1,12}", "lang": (?:null|"[a-z]{2}")\}')
    asked = [*((prompt, form) for prompt in PROMPTS), (PROMPTS[0], None)]
    held = await asyncio.gather(*(pieces_of(engine, prompt, 80, form=each) for prompt, each in asked))
    for pieces in held[:-1]:
        assert pieces[-1].end == "stop"
        value = json.loads(text(pieces))
        assert isinstance(value["search"], bool)
        assert 1 <= len(value["q"]) <= 12
        assert value["lang"] is None or len(value["lang"]) == 2
    assert text(held[-1]) == TransformersEngine(wide).generate(PROMPTS[:1], max_new_tokens=80)[0].text


@pytest.mark.asyncio
async def test_a_text_that_is_held_is_cut_where_its_tokens_end(engine: Engine):
    form = Expression("[a-c]{30,}")
    pieces = await pieces_of(engine, PROMPTS[0], 5, form=form)
    assert pieces[-1].end == "length"
    assert text(pieces)
    assert form.allow(text(pieces), ended=False)
    assert not form.allow(text(pieces), ended=True)


async def free(engine: Engine) -> list[list[StreamPiece]]:
    return await asyncio.gather(*(pieces_of(engine, prompt, 40) for prompt in PROMPTS))


@pytest.mark.asyncio
async def test_prompts_end_at_their_own_length(engine: Engine):
    one, two = await asyncio.gather(pieces_of(engine, PROMPTS[1], 2), pieces_of(engine, PROMPTS[1], 9))
    assert one[-1].new_tokens <= 2 < two[-1].new_tokens
    assert one[-1].end == "length"


@pytest.mark.asyncio
async def test_a_prompt_that_nobody_waits_for_ends_and_the_others_go_on(
    engine: Engine, wide: LoadedModel, adapters: MakeAdapters
):
    own = adapters(wide, 1, seed=5)
    async with aclosing(engine.stream(PROMPTS[1], max_new_tokens=400, adapter=own)) as pieces:
        await anext(pieces)
        other = asyncio.create_task(pieces_of(engine, PROMPTS[0], adapter=own))
    assert text(await other) == whole(wide, PROMPTS[:1], adapter=own)[0]


@pytest.mark.asyncio
async def test_cancelling_the_caller_ends_its_prompt(engine: Engine):
    caller = asyncio.create_task(pieces_of(engine, PROMPTS[1], 400))
    await asyncio.sleep(0.05)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert (await pieces_of(engine, PROMPTS[0]))[-1].end


@pytest.mark.asyncio
async def test_what_waits_is_bounded_and_what_was_taken_is_answered(engine: Engine):
    asked = 3 * (BATCH + WAITING)
    results = await asyncio.gather(*(pieces_of(engine, PROMPTS[0], 40) for _ in range(asked)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, BaseException)]
    assert asked - BATCH - WAITING <= len(refused) <= asked - WAITING
    assert all(isinstance(error, QueueFull) and f"{WAITING} prompts are waiting" in str(error) for error in refused)
    answered = [result for result in results if not isinstance(result, BaseException)]
    assert all(pieces[-1].end for pieces in answered)
    assert (await pieces_of(engine, PROMPTS[0], 2))[-1].end


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model.layers.0.mlp.down_proj": (3, 3)}, r"down_proj: adapter \(1, 3, 2\) x \(1, 2, 3\) does not fit a layer of"),
        ({"model.layers.9.mlp.down_proj": (160, 128)}, r"has no linear layer 'model.layers.9.mlp.down_proj'"),
    ],
)
async def test_an_adapter_that_does_not_fit_is_its_callers_error_alone(
    engine: Engine, wide: LoadedModel, wrong: dict[str, tuple[int, int]], message: str
):
    adapter = Adapter(
        {name: (torch.ones(1, inputs, 2), torch.ones(1, 2, outputs)) for name, (inputs, outputs) in wrong.items()}
    )
    with pytest.raises(AdapterError, match=message):
        await pieces_of(engine, PROMPTS[0], adapter=adapter)
    assert text(await pieces_of(engine, PROMPTS[0])) == whole(wide, PROMPTS[:1])[0]


@pytest.mark.asyncio
async def test_functions_run_in_one_thread_and_their_errors_come_back(engine: Engine):
    names = {await engine.call(lambda: threading.current_thread().name) for _ in range(3)}
    assert len(names) == 1
    assert threading.current_thread().name not in names
    with pytest.raises(ZeroDivisionError):
        await engine.call(lambda: 1 // 0)


@pytest.mark.asyncio
async def test_an_engine_that_answers_is_well(engine: Engine):
    await engine.check()


def test_any_event_loop_may_ask(engine: Engine):
    texts = {text(asyncio.run(pieces_of(engine, PROMPTS[0]))) for _ in range(2)}
    assert len(texts) == 1


def test_an_unknown_engine_cannot_be_asked_for():
    with pytest.raises(ValueError, match="'transformers' or 'vllm'"):
        DecodingSection.model_validate({"engine": "tensorrt"})


def test_a_closed_engine_takes_nothing_and_leaves_nothing(engine: Engine, folder: Path):
    """The last test: it closes the engine of all others."""
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(pieces_of(engine, PROMPTS[0]))
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(engine.call(int))
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(engine.check())
    assert list(folder.iterdir()) == []
