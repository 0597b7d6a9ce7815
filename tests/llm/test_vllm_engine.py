"""What vLLM's engine does beyond the contract: adapters freed, roles kept, searches and tags held to, on a real model too."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from aag_ray.answer.parsed import read_parsed
from aag_ray.answer.parsing import prompts
from aag_ray.config import DecodingSection, ExtractSection, ModelSection
from aag_ray.extract.build import build_extractor, tag_page
from aag_ray.extract.grammar import TagGrammar
from aag_ray.extract.tag_model import TagExtractor
from aag_ray.extract.vllm_writing import VllmWriter, closed
from aag_ray.extract.writing import Asked, Writer
from aag_ray.llm.adapters import Adapter, AdapterError
from aag_ray.llm.engine import TransformersEngine
from aag_ray.llm.forms import Expression
from aag_ray.llm.load import LoadedModel, load_model
from aag_ray.llm.vllm_engine import VllmEngine

pytest.importorskip("vllm", reason="vLLM is not installed here; `make test-vllm` runs this in an environment that has it")
pytestmark = pytest.mark.timeout(600)
PROMPTS = ["Question: What is the capital of France?\nAnswer:", "Document:", "The symbol of gold"]
MakeAdapters = Callable[..., Adapter]
MakeDecoding = Callable[[str, Path], DecodingSection]


@pytest.fixture(scope="module")
def engine(wide: LoadedModel, decoding: MakeDecoding, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmEngine]:
    engine = VllmEngine(wide, decoding("vllm", tmp_path_factory.mktemp("adapters")))
    yield engine
    engine.close()


async def text(engine: VllmEngine, prompt: str, tokens: int = 12, **options: Any) -> str:
    return "".join([piece.text async for piece in engine.stream(prompt, max_new_tokens=tokens, **options)]).strip()


def folders(engine: VllmEngine) -> set[int]:
    return {int(folder.name) for folder in engine.adapters.folders.folder.iterdir()}


@pytest.mark.asyncio
async def test_a_questions_adapter_is_freed_and_a_role_stays(engine: VllmEngine, wide: LoadedModel, adapters: MakeAdapters):
    before = await engine.loaded_adapters()
    assert folders(engine) == before
    own, role = adapters(wide, 6, seed=5), adapters(wide, 1, seed=7, modules=("q_proj",), rank=3)
    shared = [role]
    await asyncio.gather(*(text(engine, PROMPTS[0], adapter=own.select([n]), shared=shared) for n in range(6)))
    assert await engine.loaded_adapters() == folders(engine) == before
    await asyncio.gather(*(text(engine, prompt, shared=shared) for prompt in PROMPTS))
    kept = await engine.loaded_adapters()
    assert len(kept - before) == 1
    assert folders(engine) == kept
    await text(engine, PROMPTS[0], shared=shared)
    assert await engine.loaded_adapters() == kept


@pytest.mark.asyncio
async def test_a_cancelled_prompts_adapter_is_freed(engine: VllmEngine, wide: LoadedModel, adapters: MakeAdapters):
    before = await engine.loaded_adapters()
    async with aclosing(engine.stream(PROMPTS[1], max_new_tokens=400, adapter=adapters(wide, 1, seed=5))) as pieces:
        await anext(pieces)
        assert len(await engine.loaded_adapters() - before) == 1
    for _ in range(200):
        if await engine.loaded_adapters() == folders(engine) == before:
            break
        await asyncio.sleep(0.05)
    assert await engine.loaded_adapters() == folders(engine) == before


@pytest.mark.asyncio
async def test_more_adapters_than_fit_at_once_take_turns(engine: VllmEngine, wide: LoadedModel, adapters: MakeAdapters):
    before, own = await engine.loaded_adapters(), adapters(wide, 9, seed=11)
    texts = await asyncio.gather(*(text(engine, PROMPTS[2], adapter=own.select([n])) for n in range(9)))
    expected = TransformersEngine(wide).generate([PROMPTS[2]] * 9, max_new_tokens=12, adapter=own)
    assert texts == [each.text for each in expected]
    assert await engine.loaded_adapters() == before


@pytest.mark.asyncio
async def test_roles_and_ranks_beyond_the_settings_are_refused(engine: VllmEngine, wide: LoadedModel, adapters: MakeAdapters):
    with pytest.raises(AdapterError, match="rank 17 together, above the engine's 16"):
        await text(engine, PROMPTS[0], adapter=adapters(wide, 1, 1, rank=9), shared=[adapters(wide, 1, 2, rank=8)])
    roles = [adapters(wide, 1, seed) for seed in range(3)]
    results = await asyncio.gather(*(text(engine, PROMPTS[0], 2, shared=[role]) for role in roles), return_exceptions=True)
    assert any("roles, but decoding.vllm.roles=2" in str(result) for result in results if isinstance(result, AdapterError))


@pytest.mark.asyncio
async def test_a_prompt_beyond_the_context_is_its_callers_error_alone(engine: VllmEngine):
    with pytest.raises(Exception, match="maximum model length of 512"):
        await text(engine, "gold " * 600)
    assert await text(engine, PROMPTS[0])


@pytest.mark.asyncio
async def test_a_text_ends_with_the_context(engine: VllmEngine, wide: LoadedModel):
    tokenizer: Any = wide.tokenizer
    prompt = "gold " * 120
    tokens = len(tokenizer(prompt)["input_ids"])
    pieces = [piece async for piece in engine.stream(prompt, max_new_tokens=10_000)]
    assert pieces[-1].end
    assert pieces[-1].new_tokens <= 512 - tokens


def asked(writer: Writer, answer: int) -> list[Asked]:
    page = tag_page("\n\n".join(f"Sentence {number} tells of gold." for number in range(24)), "u", kind="text").tagged
    return writer.asked(lambda text, question: f"{text} {question}", "gold", [page], answer=answer)


def test_tags_are_written_in_the_grammar_of_their_window(engine: VllmEngine):
    writer = VllmWriter(engine)
    rows = asked(writer, 90)
    grammars = [TagGrammar(each.window.first, each.window.last, header=False) for each in rows]
    written = writer.write(rows, most=90, grammars=grammars)
    assert len(written) == len(rows) > 1
    for each, grammar in zip(written, grammars, strict=True):
        assert each.failure == ""
        assert each.text == "" or grammar.accepts(each.text), each.text


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("[[<T-1>, <T-12", "[[<T-1>]]"),
        ("[[<T-1>~<T-3>], [<T-", "[[<T-1>~<T-3>]]"),
        ("[[<T-1> ~ ", "[[<T-1>]]"),
        ("[[<T-1>]", "[[<T-1>]]"),
        ("[[<T", ""),
        ("No", ""),
    ],
)
def test_an_output_that_was_cut_is_closed_after_its_last_whole_tag(text: str, whole: str):
    assert closed(text) == whole
    assert not whole or TagGrammar(1, 12, header=False).accepts(whole)


def test_free_writing_is_that_of_the_other_engine(engine: VllmEngine, wide: LoadedModel):
    ours, theirs = VllmWriter(engine), Writer(wide)
    rows = asked(ours, 20)
    assert ours.write(rows, most=20) == theirs.write(asked(theirs, 20), most=20)


def test_a_prompt_that_fails_fails_alone(engine: VllmEngine):
    writer = VllmWriter(engine)
    rows = asked(writer, 20)[:2]
    assert rows[1].tokens is not None
    rows[1].tokens[0] = 10_000_000  # beyond the vocabulary
    good, bad = writer.write(rows, most=20)
    assert good.failure == ""
    assert bad.failure


@pytest.mark.asyncio
async def test_peft_reads_what_vllm_is_given_and_writes_the_same(
    engine: VllmEngine, wide: LoadedModel, adapters: MakeAdapters, tmp_path: Path
):
    own = adapters(wide, 1, seed=5, modules=("down_proj", "v_proj"))
    own.save_peft(tmp_path, str(wide.path))
    model: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(wide.path, dtype=torch.float32), tmp_path)
    peft = LoadedModel(model.eval(), wide.tokenizer, wide.device, wide.dtype, "peft", wide.path)
    expected = [each.text for each in TransformersEngine(peft).generate(PROMPTS, max_new_tokens=12)]
    assert await asyncio.gather(*(text(engine, prompt, adapter=own) for prompt in PROMPTS)) == expected


@pytest.fixture(scope="module")
def small() -> LoadedModel:
    return load_model(ModelSection(dtype="float32"), device="cpu")


@pytest.fixture(scope="module")
def served(small: LoadedModel, decoding: MakeDecoding, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmEngine]:
    section = decoding("vllm", tmp_path_factory.mktemp("adapters"))
    vllm = section.vllm.model_copy(update={"context": 2048, "cache_bytes": 1 << 30})
    engine = VllmEngine(small, section.model_copy(update={"vllm": vllm}))
    yield engine
    engine.close()


@pytest.mark.model
class TestAPackagedModel:
    """The small default model in float32: greedy texts of both engines are equal, and outputs hold to schema and grammar."""

    def test_texts_are_equal_for_the_base_a_role_and_two_adapters_at_once(
        self, served: VllmEngine, small: LoadedModel, adapters: MakeAdapters
    ):
        role = adapters(small, 1, seed=7, modules=("q_proj", "v_proj"), rank=4, scale=0.12)
        own = adapters(small, 2, seed=5, modules=("down_proj", "up_proj"), rank=8, scale=0.12)
        kinds: list[dict[str, Any]] = [
            {},
            {"shared": [role]},
            {"adapter": own.select([0]), "shared": [role]},
            {"adapter": own.select([1]), "shared": [role]},
        ]
        begun = ["The capital of France is", "The symbol of gold is", "Water boils at"]
        asked = [(kind, prompt) for prompt in begun for kind in kinds]
        expected = [TransformersEngine(small).generate([prompt], max_new_tokens=12, **kind)[0].text for kind, prompt in asked]

        async def streamed() -> list[str]:
            found = []
            for start in range(0, len(asked), 4):
                rows = asked[start : start + 4][::-1]
                found += (await asyncio.gather(*(text(served, prompt, **kind) for kind, prompt in rows)))[::-1]
            return found

        assert asyncio.run(streamed()) == expected
        assert len(set(expected)) > len(begun)

    def test_the_parsers_searches_are_held_to_their_form(self, served: VllmEngine):
        prompt = prompts.search_prompt("Who won in Peru in 2026?", date(2026, 5, 4))
        written = asyncio.run(text(served, prompt, 700, form=Expression(prompts.SEARCHES)))
        assert read_parsed(prompts.whole_output("Who won?", True, written)).queries

    def test_the_tag_extractor_reads_pages_with_it(self, served: VllmEngine, small: LoadedModel):
        page = tag_page("Iron rusts.\n\nThe symbol of gold is Au.\n\nTin is soft and grey.", "u", kind="text").tagged
        extractor = TagExtractor(ExtractSection(extractor="tags", budget=1.0), small)
        extractor.writer = VllmWriter(served)
        extraction = extractor.extract("What is the symbol of gold?", [page])
        assert extractor.counts["windows"] == 1
        assert extractor.counts["failed_windows"] == 0
        assert all(1 <= each.tag <= len(page.spans) for each in extraction.evidence)

    def test_a_configuration_puts_the_tag_extractor_on_it(self, decoding: MakeDecoding, tmp_path: Path):
        section = decoding("vllm", tmp_path)
        vllm = section.vllm.model_copy(update={"context": 1024, "cache_bytes": 1 << 30})
        asked = {"extractor": "tags", "budget": 1.0, "model": {"dtype": "float32"}}
        extractor = build_extractor(
            ExtractSection.model_validate(asked | {"decoding": section.model_copy(update={"vllm": vllm})})
        )
        assert isinstance(extractor, TagExtractor)
        assert isinstance(extractor.writer, VllmWriter)
        try:
            long = tag_page("\n\n".join(f"Line {n} says that tin is soft." for n in range(200)), "u", kind="text").tagged
            extraction = extractor.extract("What is soft?", [long])
        finally:
            extractor.writer.engine.close()
        assert extractor.counts["windows"] > 1
        assert extractor.counts["failed_windows"] == 0
        assert all(1 <= each.tag <= len(long.spans) for each in extraction.evidence)
