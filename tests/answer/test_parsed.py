"""What a parser writes is read strictly; anything else falls back to searching with the raw question."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.answer.parsed import MAX_CHARACTERS, ParsedRequest, ParseError, ParseOutcome, fallback, read_parsed
from aag_ray.answer.parser import UntrainedParser
from aag_ray.answer.request import AnswerRequest, Role, Turn
from aag_ray.web.search.request import Freshness, SearchRequest

TODAY = date(2026, 1, 15)
GOOD = {"question": "Who won?", "search": True, "queries": [{"q": "winner 2026", "lang": "de-CH", "freshness": "week"}]}


def test_a_good_output_is_taken_as_it_is():
    parsed = read_parsed(json.dumps(GOOD))
    query = SearchRequest("winner 2026", language="de-CH", freshness=Freshness.WEEK)
    assert parsed == ParsedRequest("Who won?", True, (query,))
    assert parsed.time_sensitive
    shown = parsed.to_row()
    assert {name: shown[name] for name in GOOD} == GOOD


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"search": 1}, "true or false"),
        ({"search": True, "queries": []}, "no queries"),
        ({"question": " "}, "question must be text"),
        ({"question": "x" * (MAX_CHARACTERS + 1)}, "question must be text"),
        ({"extra": 1}, "the keys"),
        ({"queries": [{"q": "x", "lang": "german", "freshness": "none"}]}, "lang="),
        ({"queries": [{"q": "x", "lang": None, "freshness": "soon"}]}, "freshness="),
        ({"queries": [{"q": "x"}]}, "the keys"),
        ({"queries": GOOD["queries"] * 5}, "at most 4"),
        ({"queries": "x"}, "must be a list"),
    ],
)
def test_anything_else_is_refused_with_its_reason(change: dict[str, Any], reason: str):
    with pytest.raises(ParseError, match=reason):
        read_parsed(json.dumps(GOOD | change))


@given(
    st.text()
    | st.recursive(st.none() | st.booleans() | st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each)).map(
        json.dumps
    )
)
def test_no_output_raises_anything_but_a_parse_error(output: str):
    with suppress(ParseError):
        assert read_parsed(output).question


def test_a_very_long_question_is_searched_by_its_beginning():
    assert len(fallback("x" * 5000, "").queries[0].query) == MAX_CHARACTERS


@pytest.mark.asyncio
class TestParsers:
    async def test_the_untrained_one_searches_and_says_that_it_is_untrained(self) -> None:
        parsed = await UntrainedParser().parse(AnswerRequest.asking("Who won?"), TODAY)
        assert (parsed.search, parsed.outcome, parsed.queries) == (True, ParseOutcome.UNTRAINED, (SearchRequest("Who won?"),))

    @pytest.mark.parametrize(("likelihood", "search"), [(0.2, True), (0.5, False), (0.9, False)])
    async def test_with_a_threshold_the_likelihood_of_memorys_answer_decides(self, likelihood: float, search: bool) -> None:
        parser = UntrainedParser(threshold=0.5)
        asked = await parser.parse(AnswerRequest.asking("Who won?"), TODAY)
        parsed = await parser.weigh(asked, TODAY, likelihood)
        assert parser.weighs_memory
        assert (parsed.search, bool(parsed.queries), parsed.needed) == (search, search, 1 - likelihood)

    async def test_without_a_threshold_or_an_answer_of_memory_the_web_is_asked(self) -> None:
        assert not UntrainedParser().weighs_memory
        for parser, likelihood in ((UntrainedParser(), 0.9), (UntrainedParser(threshold=0.5), None)):
            asked = await parser.parse(AnswerRequest.asking("Who won?"), TODAY)
            assert await parser.weigh(asked, TODAY, likelihood) == asked

    @pytest.mark.parametrize(
        ("turns", "rewritten"),
        [
            (["Who is king?", "Charles.", "How old is he?"], "Who is king? Charles. How old is he?"),
            (["Who is king?", "word " * 20, "What about France?"], "Who is king? What about France?"),
            (["Who is king?", "Charles.", "Which city is the capital of Peru?"], "Which city is the capital of Peru?"),
            (["How old is he?"], "How old is he?"),
        ],
    )
    async def test_a_follow_up_brings_what_it_points_to(self, turns: list[str], rewritten: str) -> None:
        roles = [Role.USER, Role.ASSISTANT]
        request = AnswerRequest(tuple(Turn(roles[n % 2], text) for n, text in enumerate(turns)))
        assert (await UntrainedParser().parse(request, TODAY)).question == rewritten
