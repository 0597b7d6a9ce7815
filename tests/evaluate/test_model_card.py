"""The card that lies beside a trained model: the hub can read it, and it shows the whole evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from aag_ray.evaluate.markdown import render_markdown
from aag_ray.evaluate.model_card import write_model_card


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("reader", "hypernetwork"):
        (tmp_path / "model" / name).mkdir(parents=True)
    return tmp_path / "model"


def test_the_hub_reads_the_results(folder: Path, result: dict[str, Any]) -> None:
    path = write_model_card(folder, result, "team/base", "capitals")
    card: Any = ModelCard.load(path)
    assert card.data.base_model == "team/base"
    measured = {each.metric_type: (each.metric_value, each.dataset_name) for each in card.data.eval_results or []}
    assert measured == {"exact_match": (75.0, "capitals"), "f1": (78.0, "capitals")}


def test_people_read_what_is_there_and_the_whole_table(folder: Path, result: dict[str, Any]) -> None:
    text = write_model_card(folder, result, "team/base", "capitals").read_text()
    assert render_markdown(result) in text
    assert "40 test questions: capitals." in text
    assert "| `reader/` |" in text
    assert "| `generator/` |" not in text


def test_a_base_on_this_machine_is_not_given_to_the_hub(folder: Path, result: dict[str, Any]) -> None:
    card: Any = ModelCard.load(write_model_card(folder, result, "/models/base", "capitals"))
    assert card.data.base_model is None


def test_a_result_without_scores_of_aag_is_a_card_without_results(folder: Path) -> None:
    card: Any = ModelCard.load(write_model_card(folder, {"systems": {"zero_shot": {"em": 2.5}}}, "team/base", "capitals"))
    assert not card.data.eval_results
