"""The card of a model that reads documents into parameters: what the hub reads, and what people do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from aag_ray.evaluate.knowledge import render_knowledge
from aag_ray.evaluate.knowledge_card import write_knowledge_card


def system(em: float) -> dict[str, Any]:
    interval = {"value": em, "low": em - 5, "high": em + 5, "n": 40}
    return {"em": interval, "f1": interval, "prompt_tokens": 20.0, "seconds_per_question": 0.1}


RESULT: dict[str, Any] = {
    "systems": {"closed_book": system(10), "text": system(80), "parameters": system(62.5), "parameters_2": system(50)},
    "differences": {"parameters-closed_book": {"value": 52.5, "low": 40.0, "high": 60.0, "n": 40}},
    "costs": {
        "bytes_per_document": 4e5, "ms_per_document": 30.0, "tokens_saved_per_question": 40.0, "pays_from_questions": None,
    },
    "questions": 40,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("reader", "hypernetwork"):
        (tmp_path / "model" / name).mkdir(parents=True)
    return tmp_path / "model"


def test_the_hub_reads_how_well_it_answers_from_the_parameters(folder: Path):
    card: Any = ModelCard.load(write_knowledge_card(folder, RESULT, "team/base", "cities"))
    assert (card.data.base_model, card.data.library_name) == ("team/base", "aag-ray")
    measured = {each.metric_type: (each.metric_value, each.dataset_name) for each in card.data.eval_results or []}
    assert measured == {"exact_match": (62.5, "cities"), "f1": (62.5, "cities")}


def test_people_read_what_is_there_and_the_whole_table(folder: Path):
    text = write_knowledge_card(folder, RESULT, "team/base", "cities").read_text()
    assert render_knowledge(RESULT) in text
    assert "40 test questions, each with a document that answers it: cities." in text
    assert "| `hypernetwork/` |" in text
    assert "| `generator/` |" not in text


def test_a_base_on_this_machine_is_not_given_to_the_hub(folder: Path):
    card: Any = ModelCard.load(write_knowledge_card(folder, RESULT, "/models/base", "cities"))
    assert card.data.base_model is None
