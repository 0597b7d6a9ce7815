"""The parser's result table."""

from __future__ import annotations

from datetime import date

from aag_ray.answer.parsed import ParsedRequest
from aag_ray.answer.parsing.examples import Labelled, Need, ParserExample
from aag_ray.answer.parsing.report import COLUMNS, render
from aag_ray.answer.parsing.scores import Decisions, Scorer, score_writing
from aag_ray.config import CostsSection
from aag_ray.web.search.request import SearchRequest

COSTS = CostsSection(missed=1.0, needless=0.25)
ROWS = [
    Labelled(ParserExample(str(n), need, "de", ("a", "b", "Who?"), "Who is it?", "who name", date(2026, 5, 4)), needed, 0.5)
    for n, (need, needed) in enumerate(
        [(Need.MEASURED, True), (Need.MEASURED, False), (Need.TIMELY, True), (Need.ERRAND, False)]
    )
]
SCORER = Scorer(ROWS, COSTS, samples=50, seed=1)


def test_the_report_shows_every_system_kind_and_field():
    decisions = {
        "parser": Decisions.at([0.9, 0.2, 0.8, 0.1], 0.4),
        "likelihood": Decisions.at([0.9, 0.1, 0.3, 0.6], 0.5),
        "always": Decisions.all(True, 4),
        "never": Decisions.all(False, 4),
    }
    good = ParsedRequest("Who is it?", True, (SearchRequest("who name", language="de"),))
    result = {
        "examples": 4,
        "needed": 0.5,
        "costs": COSTS.model_dump(),
        "systems": {name: SCORER.score(each) for name, each in decisions.items()},
        "differences": {
            name: SCORER.difference(decisions["parser"], each) for name, each in decisions.items() if name != "parser"
        },
        "writing": score_writing([(ROWS[2], "Who is it?", good)], 20, 1),
    }
    shown = render(result)
    assert "4 requests, 50.0 % of them need the web. A missed search costs 1, a needless one 0.25." in shown
    assert "| Trained parser and memory's likelihood | 100.0 (100.0 to 100.0) | 0.0 | 0.0 |" in shown
    assert "| Always search | 50.0" in shown
    assert "need: timely" in shown
    assert "Follow-up rewritten, F1" in shown
    widths = {line.count("|") for line in shown.splitlines() if line.startswith("| ")}
    assert len(COLUMNS) + 1 in widths
