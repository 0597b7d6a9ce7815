"""The parser's model, with a tiny random one: its odds are the model's, and it comes back from its folder."""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch

from aag_ray.answer.parsed import ParseOutcome
from aag_ray.answer.parsing import prompts
from aag_ray.answer.parsing.calibrate import Platt, Weighing
from aag_ray.answer.parsing.model import (
    ParserModel,
    ParserModelError,
    has_history,
    read_searches,
    rewrite_prompt,
    usable_question,
)
from aag_ray.answer.parsing.settings import ParserSettings
from aag_ray.answer.request import AnswerRequest, Role, Turn
from aag_ray.config import LoraSection, ModelSection
from aag_ray.llm.adapters import applied
from aag_ray.llm.engine import TransformersEngine
from aag_ray.llm.load import LoadedModel, load_model
from aag_ray.llm.sft import new_lora

TODAY = date(2026, 5, 4)
QUESTIONS = ["Who governs Peru now?", "What is 3 plus 4?", "And?"]
DAYS = [TODAY, date(2027, 1, 1), TODAY]


def moved(loaded: LoadedModel) -> Any:
    lora = new_lora(loaded, LoraSection(rank=2), seed=3)
    draw = torch.Generator().manual_seed(4)
    for parameter in lora.parameters():
        parameter.data += torch.randn(parameter.shape, generator=draw) * 0.2
    return lora


@pytest.fixture
def parser(tiny: LoadedModel) -> ParserModel:
    settings = ParserSettings(
        tiny.name, Platt(0.5, 0.25), 0.4, Weighing(1.0, -0.5, 0.1, 0.6), query_tokens=12, question_tokens=8
    )
    return ParserModel(tiny, settings, moved(tiny), batch=2)


def test_odds_are_those_of_the_two_words_where_they_part(parser: ParserModel):
    tokenizer: Any = parser.loaded.tokenizer
    model: Any = parser.loaded.model
    yes, no = (tokenizer(word, add_special_tokens=False)["input_ids"] for word in (prompts.YES, prompts.NO))
    same = next(n for n, pair in enumerate(zip(yes, no, strict=False)) if pair[0] != pair[1])
    for question, today, odds in zip(QUESTIONS, DAYS, parser.log_odds(QUESTIONS, DAYS), strict=True):
        ids = torch.tensor([tokenizer(prompts.decide_prompt(question, today))["input_ids"] + yes[:same]])
        with torch.inference_mode(), applied(model, *parser.shared):
            chances = model(input_ids=ids).logits[0, -1].float().log_softmax(0)
        assert odds == pytest.approx(float(chances[yes[same]] - chances[no[same]]), abs=1e-3)


def test_needs_are_calibrated_odds(parser: ParserModel):
    for odds, needed in zip(parser.log_odds(QUESTIONS, DAYS), parser.needed(QUESTIONS, DAYS), strict=True):
        assert needed == pytest.approx(1 / (1 + math.exp(-(0.5 * odds + 0.25))))


def test_the_day_matters(parser: ParserModel):
    one, other = parser.log_odds(["Who?", "Who?"], [TODAY, date(2031, 12, 24)])
    assert one != other


def test_it_comes_back_from_its_folder(parser: ParserModel, tmp_path: Path, tiny: LoadedModel):
    parser.save_pretrained(tmp_path / "model")
    again = ParserModel.from_pretrained(tmp_path / "model", tiny)
    assert again.loaded is tiny
    assert again.settings == parser.settings
    assert again.log_odds(QUESTIONS, DAYS) == pytest.approx(parser.log_odds(QUESTIONS, DAYS), abs=1e-4)


def test_a_base_model_of_another_name_is_not_taken_for_its_own(parser: ParserModel, tmp_path: Path, tiny_model_folder: Path):
    parser.save_pretrained(tmp_path / "model")
    copy = tmp_path / "other"
    copy.symlink_to(tiny_model_folder)
    other = load_model(ModelSection(name=str(copy), dtype="float32"), "cpu")
    again = ParserModel.from_pretrained(tmp_path / "model", other)
    assert again.loaded is not other
    assert again.loaded.name == parser.settings.base_model


def test_a_model_that_was_trained_whole_is_kept_beside_its_settings(tiny: LoadedModel, tmp_path: Path):
    whole = ParserModel(tiny, ParserSettings("weights"), None)
    whole.save_pretrained(tmp_path / "model")
    again = ParserModel.from_pretrained(tmp_path / "model")
    assert again.loaded.path == tmp_path / "model" / "weights"
    assert again.shared == []
    for odds, expected in zip(again.log_odds(QUESTIONS, DAYS), whole.log_odds(QUESTIONS, DAYS), strict=True):
        assert odds == pytest.approx(expected, abs=0.1)  # bfloat16 where the machine computes in it


@pytest.mark.parametrize("damage", ["missing", "not json", "other keys"])
def test_a_folder_without_a_parser_is_named(parser: ParserModel, tmp_path: Path, damage: str):
    folder = tmp_path / "model"
    parser.save_pretrained(folder)
    if damage == "missing":
        (folder / "parser.json").unlink()
    else:
        (folder / "parser.json").write_text("{" if damage == "not json" else json.dumps({"calibration": {}}))
    with pytest.raises(ParserModelError, match=r"model holds no trained parser"):
        ParserModel.from_pretrained(folder)


def test_an_encoder_decoder_is_refused(tiny: LoadedModel, tiny_t5: Any):
    loaded = LoadedModel(tiny_t5, tiny.tokenizer, tiny.device, tiny.dtype, "t5", tiny.path)
    with pytest.raises(ParserModelError, match="'t5' is an encoder-decoder"):
        ParserModel(loaded, ParserSettings("t5"), None)


def test_only_follow_ups_are_written_anew(parser: ParserModel):
    alone = AnswerRequest.asking("Who is king?")
    after = AnswerRequest((Turn(Role.USER, "Who?"), Turn(Role.ASSISTANT, "He."), Turn(Role.USER, "How old is he?")))
    first, second = parser.rewritten([alone, after])
    assert first == "Who is king?"
    engine = TransformersEngine(parser.loaded)
    written = engine.generate([rewrite_prompt(after)], max_new_tokens=8, shared=parser.shared)[0].text
    assert second == usable_question(written, after)
    assert parser.rewritten([alone]) == ["Who is king?"]


def test_a_system_turn_is_no_history():
    assert not has_history(AnswerRequest((Turn(Role.SYSTEM, "Be kind."), Turn(Role.USER, "Who?"))))


def test_an_empty_rewriting_is_not_used():
    assert usable_question(" .\n", AnswerRequest.asking("Who?")) == "Who?"
    assert usable_question(" Who is it?\n", AnswerRequest.asking("Who?")) == "Who is it?"


def test_what_a_random_model_writes_falls_back_to_the_question(parser: ParserModel):
    for question, parsed in zip(QUESTIONS, parser.searches(QUESTIONS, DAYS), strict=True):
        assert (parsed.outcome, parsed.search) == (ParseOutcome.FELL_BACK, True)
        assert parsed.queries[0].query == question


def test_good_searches_are_read():
    parsed = read_searches("Who?", prompts.search_target([{"q": "who", "lang": "de", "freshness": "day"}]))
    assert (parsed.outcome, parsed.question, parsed.queries[0].language) == (ParseOutcome.PARSED, "Who?", "de")
