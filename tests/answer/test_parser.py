"""The trained parser in a running engine: what it decides, what it writes, and what happens when it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from aag_ray.answer.models import build_parser
from aag_ray.answer.parsed import MAX_CHARACTERS, ParseOutcome
from aag_ray.answer.parser import TrainedParser, UntrainedParser
from aag_ray.answer.parsing import prompts
from aag_ray.answer.parsing.calibrate import Platt, Weighing
from aag_ray.answer.parsing.model import ParserModel, ParserModelError
from aag_ray.answer.parsing.settings import ParserSettings
from aag_ray.answer.parts import Unavailable
from aag_ray.answer.request import AnswerRequest, Mode, Role, Turn
from aag_ray.config import LoraSection, ModelSection
from aag_ray.llm.forms import Form
from aag_ray.llm.load import LoadedModel, load_model
from aag_ray.llm.sft import new_lora
from aag_ray.llm.streaming import StreamingEngine
from aag_ray.llm.written import StreamPiece

TODAY = date(2026, 5, 4)
QUESTION = "Who governs Peru now?"
GOOD = prompts.search_target([{"q": "Peru government", "lang": "en", "freshness": "month"}])


class Says(StreamingEngine):
    """The real engine, whose decoding says what the test says: a random model writes no searches."""

    def __init__(self, loaded: LoadedModel, says: Callable[[str], str]) -> None:
        super().__init__(loaded)
        self.says, self.asked, self.forms = says, [], []

    async def stream(self, prompt: str, *, form: Form | None = None, **_: Any) -> AsyncGenerator[StreamPiece, None]:
        self.asked.append(prompt)
        self.forms.append(form)
        for number, character in enumerate(self.says(prompt).split("\n")[0], 1):
            yield StreamPiece(character, number, 100)


@pytest.fixture
def model(tiny: LoadedModel) -> ParserModel:
    return ParserModel(
        tiny, ParserSettings(tiny.name, query_tokens=6, question_tokens=6), new_lora(tiny, LoraSection(rank=2), 1)
    )


@pytest.fixture
def parser(model: ParserModel) -> Iterator[TrainedParser]:
    made = TrainedParser(model, Says(model.loaded, lambda prompt: GOOD), own=True)
    yield made
    made.close()


def sure(parser: TrainedParser, needed: float) -> TrainedParser:
    """With a model that is as sure as that of everything."""
    shift = {0.0: -100.0, 1.0: 100.0}[needed]
    parser.model.settings = replace(parser.model.settings, calibration=Platt(0.0, shift))
    return parser


def engine_of(parser: TrainedParser) -> Says:
    assert isinstance(parser.engine, Says)
    return parser.engine


@pytest.mark.asyncio
async def test_what_needs_the_web_is_searched_for_in_the_models_words(parser: TrainedParser):
    parsed = await sure(parser, 1.0).parse(AnswerRequest.asking(QUESTION), TODAY)
    assert (parsed.search, parsed.outcome, parsed.question) == (True, ParseOutcome.PARSED, QUESTION)
    assert (parsed.queries[0].query, parsed.queries[0].language, parsed.time_sensitive) == ("Peru government", "en", True)
    assert parsed.needed == pytest.approx(1.0)
    assert engine_of(parser).asked == [prompts.search_prompt(QUESTION, TODAY)]


@pytest.mark.asyncio
async def test_what_is_known_is_not_searched_for_and_nothing_is_written(parser: TrainedParser):
    parsed = await sure(parser, 0.0).parse(AnswerRequest.asking(QUESTION), TODAY)
    assert (parsed.search, parsed.queries, parsed.question) == (False, (), QUESTION)
    assert engine_of(parser).asked == []


@pytest.mark.asyncio
@pytest.mark.parametrize(("mode", "needed", "search"), [(Mode.SEARCH, 0.0, True), (Mode.MEMORY, 1.0, False)])
async def test_the_mode_goes_before_the_model(parser: TrainedParser, mode: Mode, needed: float, search: bool):
    parsed = await sure(parser, needed).parse(AnswerRequest.asking(QUESTION, mode), TODAY)
    assert (parsed.search, bool(parsed.queries)) == (search, search)
    assert parsed.needed == pytest.approx(needed)
    assert mode.value in parsed.detail


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "written", ["nonsense\n", '{"q": "x"\n', "\n", '{"q": "x", "lang": "german", "freshness": "none"}]}\n']
)
async def test_what_cannot_be_read_falls_back_to_the_question(parser: TrainedParser, written: str):
    engine_of(parser).says = lambda prompt: written
    parsed = await sure(parser, 1.0).parse(AnswerRequest.asking(QUESTION), TODAY)
    assert (parsed.outcome, parsed.search, parsed.queries[0].query) == (ParseOutcome.FELL_BACK, True, QUESTION)
    assert "cannot be used" in parsed.detail
    assert parsed.needed == pytest.approx(1.0)


@pytest.mark.asyncio
async def test_a_follow_up_is_rewritten_before_it_is_decided_on(parser: TrainedParser):
    standalone = "What is the currency of Peru?"
    engine_of(parser).says = lambda prompt: f" {standalone}\n" if prompt.endswith("Question:") else GOOD
    turns = (Turn(Role.USER, "What is the capital of Peru?"), Turn(Role.ASSISTANT, "Lima."), Turn(Role.USER, "Its currency?"))
    parsed = await sure(parser, 1.0).parse(AnswerRequest(turns), TODAY)
    assert parsed.question == standalone
    assert engine_of(parser).asked[1] == prompts.search_prompt(standalone, TODAY)
    assert (parsed.prompt_tokens, parsed.new_tokens) == (200, len(f" {standalone}") + len(GOOD) - 1)
    free, held = engine_of(parser).forms
    assert free is None
    assert held is not None
    assert held.allow(GOOD.strip(), ended=True)
    assert not held.allow("nonsense", ended=False)
    engine_of(parser).says = lambda prompt: "\n"
    assert (await sure(parser, 0.0).parse(AnswerRequest(turns), TODAY)).question == "Its currency?"


def weighing(parser: TrainedParser) -> TrainedParser:
    """With a model that says nothing, and the likelihood of memory's answer alone to go by."""
    settings = replace(parser.model.settings, calibration=Platt(0.0, 0.0), weighing=Weighing(0.0, -1.0, 0.0, threshold=0.5))
    parser.model.settings = settings
    return parser


@pytest.mark.asyncio
@pytest.mark.parametrize(("likelihood", "search"), [(0.2, True), (0.8, False)])
async def test_what_memory_finds_likely_decides_where_the_mode_leaves_it_open(
    parser: TrainedParser, likelihood: float, search: bool
):
    parsed = await weighing(parser).parse(AnswerRequest.asking(QUESTION), TODAY)
    assert (parsed.search, parsed.queries) == (True, ()), "nothing is written before memory has answered"
    weighed = await parser.weigh(parsed, TODAY, likelihood)
    assert (weighed.search, bool(weighed.queries)) == (search, search)
    assert weighed.needed == pytest.approx(1 - likelihood)
    assert weighed.question == QUESTION


@pytest.mark.asyncio
async def test_without_an_answer_of_memory_the_question_alone_decides(parser: TrainedParser):
    parsed = await weighing(parser).parse(AnswerRequest.asking(QUESTION), TODAY)
    weighed = await parser.weigh(parsed, TODAY, None)
    assert (weighed.search, weighed.queries[0].query, weighed.needed) == (True, "Peru government", parsed.needed)


@pytest.mark.asyncio
async def test_who_asks_by_the_mode_gets_the_searches_at_once(parser: TrainedParser):
    parsed = await weighing(parser).parse(AnswerRequest.asking(QUESTION, Mode.SEARCH), TODAY)
    assert [each.query for each in parsed.queries] == ["Peru government"]


@pytest.mark.asyncio
async def test_a_question_too_long_for_the_grammar_is_searched_for_by_its_beginning(parser: TrainedParser):
    parsed = await sure(parser, 1.0).parse(AnswerRequest.asking("why " * 200), TODAY)
    assert parsed.outcome is ParseOutcome.FELL_BACK
    assert len(parsed.queries[0].query) <= MAX_CHARACTERS


@pytest.mark.asyncio
async def test_the_engine_decides_as_the_model_does_for_many_at_once(model: ParserModel):
    parser = TrainedParser(model, StreamingEngine(model.loaded), own=True)
    questions = [f"Question number {n}?" for n in range(4)]
    parsed = await asyncio.gather(*(parser.parse(AnswerRequest.asking(each), TODAY) for each in questions))
    expected = model.needed(questions, [TODAY] * 4)
    assert [each.needed for each in parsed] == pytest.approx(expected, abs=1e-4)
    assert [each.search for each in parsed] == [value >= 0.5 for value in expected]
    parser.close()


@pytest.mark.asyncio
async def test_a_full_queue_is_unavailable(model: ParserModel):
    parser = TrainedParser(model, StreamingEngine(model.loaded, waiting=0), own=True)
    with pytest.raises(Unavailable, match="prompts are waiting"):
        await sure(parser, 1.0).parse(AnswerRequest.asking(QUESTION), TODAY)
    parser.close()


def test_it_shares_an_engine_of_its_own_model_and_no_other(
    model: ParserModel, tiny: LoadedModel, tiny_model_folder: Path, tmp_path: Path
):
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "other").symlink_to(tiny_model_folder)
    engine = StreamingEngine(tiny)
    other = StreamingEngine(load_model(ModelSection(name=str(tmp_path / "other"), dtype="float32"), "cpu"))
    shared, alone = build_parser(tmp_path / "model", engine), build_parser(tmp_path / "model", other)
    assert isinstance(shared, TrainedParser)
    assert isinstance(alone, TrainedParser)
    assert shared.engine is engine
    assert alone.engine is not other
    for each in (shared, alone, engine, other):
        each.close()


def test_without_a_folder_the_parser_is_untrained_and_a_bad_folder_is_named(tiny: LoadedModel, tmp_path: Path):
    engine = StreamingEngine(tiny)
    assert isinstance(build_parser(None, engine), UntrainedParser)
    with pytest.raises(ParserModelError, match="holds no trained parser"):
        build_parser(tmp_path, engine)
    engine.close()
