"""Decisions scored against labels, and what is written against what was meant."""

from __future__ import annotations

from datetime import date

import pytest

from aag_ray.answer.parsed import ParsedRequest, fallback
from aag_ray.answer.parsing.examples import Labelled, Need, ParserExample
from aag_ray.answer.parsing.scores import Decisions, Scorer, score_writing
from aag_ray.config import CostsSection
from aag_ray.web.search.request import Freshness, SearchRequest

TODAY = date(2026, 5, 4)
COSTS = CostsSection(missed=1.0, needless=0.25)


def example(name: str, need: Need, language: str = "en", *conversation: str, new: bool = False) -> ParserExample:
    turns = conversation or ("Who?",)
    freshness = "day" if need is Need.TIMELY else "none"
    return ParserExample(name, need, language, turns, "Who is it?", "who name", TODAY, freshness, new_wording=new)


ROWS = [
    Labelled(example("a", Need.MEASURED), True, 0.1),
    Labelled(example("b", Need.MEASURED, "de"), False, 0.9),
    Labelled(example("c", Need.TIMELY, "de", "x", "y", "z"), True, 0.6),
    Labelled(example("d", Need.ERRAND, new=True), False, 0.4),
]
SCORER = Scorer(ROWS, COSTS, samples=50, seed=1)


def test_each_kind_of_wrong_decision_is_counted_and_priced():
    scored = SCORER.score(Decisions((True, True, False, False)))
    assert scored["accuracy"]["value"] == 50
    assert (scored["missed"]["value"], scored["needless"]["value"]) == (25, 25)
    assert (scored["missed_of_needed"]["value"], scored["needless_of_known"]["value"]) == (50, 50)
    assert (scored["cost_of_missed"], scored["cost_of_needless"]) == (25, 6.25)
    assert scored["cost"]["value"] == pytest.approx(31.25)
    assert "calibration" not in scored


def test_always_and_never_err_in_one_way_each():
    always, never = (SCORER.score(Decisions.all(searched, 4)) for searched in (True, False))
    assert (always["missed"]["value"], always["needless"]["value"]) == (0, 50)
    assert (never["missed"]["value"], never["needless"]["value"]) == (50, 0)
    assert always["cost"]["value"] < never["cost"]["value"]


def test_chances_are_held_against_what_happened():
    sure = SCORER.score(Decisions.at([0.99, 0.01, 0.99, 0.01], 0.5))
    assert sure["accuracy"]["value"] == 100
    assert sure["calibration"]["ece"] == pytest.approx(0.01)
    assert sure["threshold"] == 0.5
    wrong = SCORER.score(Decisions.at([0.01, 0.99, 0.01, 0.99], 0.5))
    assert wrong["calibration"]["ece"] == pytest.approx(0.99)


def test_every_request_is_in_the_kinds_it_belongs_to():
    assert SCORER.kinds() == {
        "in a conversation": [2],
        "language: de": [1, 2],
        "language: en": [0, 3],
        "need: errand": [3],
        "need: measured": [0, 1],
        "need: timely": [2],
        "new wording": [3],
        "on its own": [0, 1, 3],
    }


def test_one_kind_of_label_only_leaves_out_the_share_of_the_other():
    scored = Scorer(ROWS[:1], COSTS, 10, 1).score(Decisions((True,)))
    assert scored["needless_of_known"] is None
    assert scored["missed_of_needed"]["value"] == 0


def test_differences_are_paired_and_say_what_is_saved():
    best, always = Decisions((True, False, True, False)), Decisions.all(True, 4)
    difference = SCORER.difference(best, always)
    assert difference["accuracy"]["value"] == 50
    assert difference["saved"]["value"] == pytest.approx(12.5)


def test_written_fields_are_scored_one_by_one():
    good = ParsedRequest("Who is it?", True, (SearchRequest("who name", language="de", freshness=Freshness.DAY),))
    scored = score_writing([(ROWS[2], "Who is it?", good), (ROWS[0], "Who?", fallback("Who?", "bad"))], 20, 1)
    assert scored["in_grammar"]["value"] == 50
    assert scored["keywords_exact"]["value"] == 50
    assert scored["keywords_f1"]["value"] == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert scored["language"]["value"] == 50
    assert scored["freshness"]["value"] == 100
    assert (scored["rewritten_exact"]["value"], scored["rewritten_exact"]["n"]) == (100, 1)
