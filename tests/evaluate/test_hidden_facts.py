"""What the needle grids of an evaluation hide, and where: made before anything is measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aag_ray.artifacts import RunError
from aag_ray.config import ExtractSection, GridSection
from aag_ray.evaluate.hidden_facts import hide_facts, measure_grids
from aag_ray.extract.baselines import Bm25Extractor
from aag_ray.extract.build import tag_page
from aag_ray.extract.examples import example

PAGE = tag_page("\n\n".join(f"Line {n} is about rain and nothing else." for n in range(60)), "u", kind="text").tagged.page
SMALL: dict[str, Any] = {"cases": 1, "lengths": [300], "depths": [0.5]}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    lines = {"en": [f"Day {n} was dry." for n in range(99)], "zh": [f"第{n}天下了雨。" for n in range(99)]}
    texts = {f"{name}.jsonl": {"text": "\n\n".join(each)} for name, each in lines.items()}
    facts = {"needles.jsonl": {"needle": "Queen Vu rules Zorl.", "request": "Who rules Zorl?"}}
    for name, line in (texts | facts).items():
        (tmp_path / name).write_text(json.dumps(line))
    return {path.stem: path for path in tmp_path.iterdir()}


def test_without_files_made_up_facts_are_hidden_in_the_pages_of_the_run():
    [facts] = hide_facts(GridSection.model_validate(SMALL), [example("q", "Rain?", PAGE, (), "test")], 3)
    assert facts.name == ""
    assert {kind: len(cases) for kind, cases in facts.cases.items()} == {"single": 1, "several": 1}
    assert hide_facts(GridSection(cases=0), [], 3) == []


def test_every_haystack_has_its_own_language_facts_and_pictures(files: dict[str, Path], tmp_path: Path):
    listed = [{"path": files["en"], "needles": files["needles"]}, {"path": files["zh"], "language": "zh"}]
    english, chinese = hide_facts(GridSection.model_validate(SMALL | {"haystacks": listed}), [], 3)
    assert (english.name, [case.example.question for case in english.cases["single"]]) == ("en", ["Who rules Zorl?"])
    assert set(english.cases) == {"single"}
    assert chinese.name == "zh"
    assert "天下了雨" in chinese.cases["several"][0].example.page.text
    found = measure_grids("bm25", Bm25Extractor(ExtractSection()), [english, chinese], tmp_path, say=lambda line: None)
    assert set(found) == {"en", "zh"}
    assert found["en"]["single"]["mean_f1"] == 1.0
    pictures = {"needles-en-single-bm25.png", "needles-zh-several-bm25.png", "needles-zh-single-bm25.png"}
    assert {path.name for path in tmp_path.glob("*.png")} == pictures


def test_a_haystack_that_is_too_short_is_named_at_once(files: dict[str, Path]):
    grid = GridSection.model_validate(SMALL | {"lengths": [9000], "haystack": files["en"]})
    with pytest.raises(RunError, match=r"grid\.haystack=.*en\.jsonl: no needle grid of grid\.lengths=\[9000\]: the texts hold"):
        hide_facts(grid, [], 3)
    with pytest.raises(RunError, match="the 1 pages of the run: no needle grid"):
        hide_facts(GridSection.model_validate(SMALL | {"lengths": [9000]}), [example("q", "Rain?", PAGE, (), "test")], 3)


def test_haystacks_are_named_by_their_files():
    with pytest.raises(ValueError, match="files of different names, got a, a"):
        GridSection.model_validate({"haystacks": [{"path": "x/a.jsonl"}, {"path": "y/a.jsonl"}]})
    with pytest.raises(ValueError, match="take the place of haystack"):
        GridSection.model_validate({"haystack": "a.jsonl", "haystacks": [{"path": "b.jsonl"}]})
