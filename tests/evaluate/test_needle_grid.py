"""The grid hides the same needles in every cell, scores them, and draws what it scored."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from aag_ray.config import ExtractSection
from aag_ray.evaluate.needle_grid import DPI, Cell, NeedleGrid, grid_cases, render_grid, run_grid
from aag_ray.extract.baselines import Bm25Extractor, WholePageExtractor
from aag_ray.extract.needles import Language, NeedleKind, make_needles
from aag_ray.extract.tokens import estimated_tokens

TEXTS: dict[Language, list[str]] = {
    "en": [
        f"On day {day} it rained in the hills. People stayed at home, and some read.\n\nThe next day was dry."
        for day in range(90)
    ],
    "zh": [f"第{day}天山里下了雨。人们待在家里看书。\n\n第二天天晴了。" for day in range(90)],
}
LENGTHS, DEPTHS = (300, 700), (0.0, 0.5, 1.0)


def cases(language: Language = "en", count: int = 4, decoys: int = 1):
    needles = make_needles(count, 7, languages=[language])
    found = grid_cases(needles, TEXTS[language], estimated_tokens, lengths=LENGTHS, depths=DEPTHS, decoys=decoys)
    return list(found)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_cell_has_every_needle_whole_within_its_length(language: Language):
    made = cases(language)
    assert [(case.length, case.depth) for case in made] == [(le, de) for le in LENGTHS for de in DEPTHS for _ in range(4)]
    needles = make_needles(4, 7, languages=[language])
    for number, case in enumerate(made):
        needle = needles[number % 4]
        assert [case.example.text_of(at) for at in case.example.gold] == list(needle.sentences)
        assert case.length - 150 <= estimated_tokens([case.example.page.text])[0] <= case.length
    assert len({case.example.id for case in made}) == len(made)


def test_the_first_fact_stands_at_the_depth_of_the_cell():
    for case in cases(count=1, decoys=0):
        start = case.example.spans[case.example.gold[0] - 1].start
        assert abs(start / len(case.example.page.text) - case.depth) < 0.12


def test_a_whole_page_finds_everything_and_is_not_precise():
    grid = run_grid(WholePageExtractor(ExtractSection()), cases())
    assert [(cell.length, cell.depth, cell.cases) for cell in grid.cells] == [(le, de, 4) for le in LENGTHS for de in DEPTHS]
    assert all(cell.recall == 1 and cell.precision < 0.3 for cell in grid.cells)


def test_words_in_common_find_single_needles():
    needles = make_needles(6, 7, kinds=[NeedleKind.SINGLE], languages=["en"])
    found = grid_cases(needles, TEXTS["en"], estimated_tokens, lengths=[300], depths=DEPTHS)
    grid = run_grid(Bm25Extractor(ExtractSection(budget=0.1, threshold=0.3)), found)
    assert all(cell.recall == 1 for cell in grid.cells)
    assert grid.mean_f1 > 0.5


def test_a_failing_extractor_scores_zero_and_is_counted():
    class Broken(Bm25Extractor):
        def score(self, question, pages):
            raise MemoryError("no room")

    grid = run_grid(Broken(ExtractSection()), cases())
    assert all((cell.f1, cell.failed) == (0, 4) for cell in grid.cells)


def test_the_grid_is_json():
    grid = NeedleGrid("scorer", (Cell(100, 0.0, 2, 1.0, 0.5, 0.6, 0), Cell(100, 1.0, 2, 0.5, 0.5, 0.4, 1)))
    found = json.loads(json.dumps(grid.to_dict()))
    assert (found["extractor"], found["mean_f1"], found["precision"]) == ("scorer", 0.5, 0.75)
    assert found["cells"][1] == {
        "length": 100,
        "depth": 1.0,
        "cases": 2,
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.4,
        "failed": 1,
    }


def opened(grid: NeedleGrid) -> Image.Image:
    return Image.open(io.BytesIO(render_grid(grid))).convert("RGB")


def test_the_heat_map_grows_with_the_grid_and_shows_good_cells_brighter():
    good = NeedleGrid("scorer", tuple(Cell(le, de, 1, 1, 1, 1.0, 0) for le in LENGTHS for de in DEPTHS))
    bad = NeedleGrid("a $x_1 name", tuple(Cell(le, de, 1, 0, 0, 0.0, 0) for le in LENGTHS for de in DEPTHS))
    image = opened(good)
    assert render_grid(good).startswith(b"\x89PNG")
    assert image.size == (round(DPI * (2.2 + 0.9 * 2)), round(DPI * (1.8 + 0.55 * 3)))

    def commonest(grid: NeedleGrid) -> tuple[int, ...]:
        counted = opened(grid).getcolors(maxcolors=1 << 24) or []
        return max((pixels, colour) for pixels, colour in counted if colour != (255, 255, 255))[1]  # type: ignore[return-value]

    assert sum(commonest(good)) > 2 * sum(commonest(bad))


def test_a_missing_cell_stays_white_and_nothing_breaks():
    assert opened(NeedleGrid("s", (Cell(100, 0.0, 1, 1, 1, 1.0, 0), Cell(200, 1.0, 1, 1, 1, 1.0, 0)))).width > 0


def test_no_needles_and_no_cases_are_refused():
    with pytest.raises(ValueError, match="at least one needle"):
        next(grid_cases([], TEXTS["en"], estimated_tokens))
    with pytest.raises(ValueError, match="at least one case"):
        run_grid(WholePageExtractor(ExtractSection()), [])
    with pytest.raises(ValueError, match="are wanted"):
        list(grid_cases(make_needles(1, 0), ["short."], estimated_tokens))
