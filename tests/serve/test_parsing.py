"""The engine's deployment parses, for the policy behind a handle: with a trained parser, and without one."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path

import pytest
import ray
from ray import serve

from aag_ray.answer.parsed import ParsedRequest, ParseOutcome
from aag_ray.answer.parsing.model import ParserModel
from aag_ray.answer.parsing.settings import ParserSettings
from aag_ray.answer.request import AnswerRequest
from aag_ray.config import AppSection, LoraSection
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.sft import new_lora
from aag_ray.serve.deployments import EngineDeployment
from aag_ray.serve.handles import RemoteParser

TODAY = date(2026, 5, 4)


@pytest.fixture
def section(tiny: LoadedModel, tmp_path: Path) -> AppSection:
    model = {"name": tiny.name, "dtype": "float32"}
    return AppSection.model_validate({"model": model, "runs": str(tmp_path / "none"), "extract": {"extractor": "bm25"}})


def parsed(section: AppSection) -> ParsedRequest:
    """What the policy's parser is told, in this process: Serve's local testing mode needs no cluster."""
    handle = serve.run(EngineDeployment.bind(section), name="engine", _local_testing_mode=True)

    async def asked() -> ParsedRequest:
        return await RemoteParser(handle).parse(AnswerRequest.asking("Who governs Peru?"), TODAY)

    found = asyncio.run(asked())
    assert not ray.is_initialized()
    return found


def test_a_named_parser_decides_in_the_engine(section: AppSection, tiny: LoadedModel, tmp_path: Path):
    settings = ParserSettings(tiny.name, threshold=0.0, query_tokens=4)
    ParserModel(tiny, settings, new_lora(tiny, LoraSection(rank=2), 1)).save_pretrained(tmp_path / "parser")
    found = parsed(section.model_copy(update={"parser": str(tmp_path / "parser")}))
    assert found.needed is not None
    assert (found.search, found.outcome) == (True, ParseOutcome.FELL_BACK)  # a random model writes no searches


def test_without_one_the_engine_says_that_nothing_is_trained(section: AppSection):
    assert parsed(section).outcome is ParseOutcome.UNTRAINED
