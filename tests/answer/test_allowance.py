"""A budget that runs down, and what is given up to stay within it: each step where something is short, in that order."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from aag_ray.answer.allowance import Allowance, Degradation
from aag_ray.answer.answer import Answer, gathered
from aag_ray.answer.parsed import ParsedRequest, ParseOutcome
from aag_ray.answer.parser import UntrainedParser
from aag_ray.answer.parts import Unavailable
from aag_ray.answer.provenance import Provenance, WebOutcome
from aag_ray.answer.request import AnswerRequest, Budget, Mode
from aag_ray.web.search.request import SearchRequest

QUESTION = "Which city is the capital of Peru?"
BEST = "The capital of Peru is a city."
Make = Callable[..., Any]
ORDER = list(Degradation)


class Searches(UntrainedParser):
    """Asks for as many searches as it is told to, after as many seconds."""

    def __init__(self, queries: int = 1, seconds: float = 0.0) -> None:
        super().__init__()
        self.queries, self.seconds = queries, seconds

    async def parse(self, request: AnswerRequest, today: date) -> ParsedRequest:
        await asyncio.sleep(self.seconds)
        parsed = await super().parse(request, today)
        return replace(parsed, queries=tuple(SearchRequest(f"{QUESTION} {number}") for number in range(self.queries)))


def about_peru(parts: Any) -> None:
    parts.site.says(
        "/peru", "Peru", BEST, "Lima is the capital of Peru and its largest city.", "The city is the capital since 1535."
    )


async def ask(parts: Any, mode: Mode = Mode.SEARCH) -> Answer:
    return await gathered(parts.policy.answer(AnswerRequest.asking(QUESTION, mode)))


def given_up(answer: Answer) -> dict[Degradation, str]:
    return {each.step: each.detail for each in answer.given_up}


def test_time_runs_down_and_never_below_nothing():
    now = [10.0]
    allowance = Allowance(Budget(20.0, 1, 1, 1), 0.6, lambda: now[0])
    assert (allowance.spent, allowance.left, allowance.left_for_web) == (0.0, 20.0, 12.0)
    now[0] = 25.0
    assert (allowance.spent, allowance.left, allowance.left_for_web) == (15.0, 5.0, 0.0)
    now[0] = 99.0
    assert (allowance.left, allowance.left_for_web) == (0.0, 0.0)


@pytest.mark.asyncio
class TestEachStep:
    async def test_a_parser_that_is_too_slow_leaves_the_raw_question(self, parts: Make) -> None:
        made = parts(parser=Searches(seconds=3600), budget={"seconds": 2.0})
        about_peru(made)
        answer = await ask(made)
        assert answer.parsed is not None
        assert answer.parsed.outcome is ParseOutcome.FELL_BACK
        assert answer.parsed.queries[0].query == QUESTION
        assert answer.given_up[0].step is Degradation.RAW_QUESTION
        assert "the parser was too slow" in answer.given_up[0].detail

    async def test_a_parser_that_fails_has_spent_no_budget(self, parts: Make) -> None:
        made = parts(parser=Searches(queries="many"))  # type: ignore[arg-type]
        about_peru(made)
        assert given_up(await ask(made)) == {}

    async def test_more_queries_than_are_allowed_are_not_searched_for(self, parts: Make) -> None:
        made = parts(parser=Searches(queries=3), queries=2)
        about_peru(made)
        answer = await ask(made)
        assert given_up(answer) == {Degradation.FEWER_QUERIES: "2 of 3 queries were searched for"}
        assert sorted(each["q"][-1] for each in made.site.searched) == ["0", "1"]

    async def test_pages_that_are_late_are_done_without(self, parts: Make) -> None:
        made = parts(page_seconds=0.5)
        about_peru(made)
        for name in ("/slow", "/slower"):
            made.site.says(name, "Slow", BEST)
            made.site.never.add(name)
        assert given_up(await ask(made)) == {Degradation.FEWER_PAGES: "2 of 3 pages were not read within 0.5 s"}

    @pytest.mark.parametrize(
        ("tokens", "detail"),
        [
            (10, r"1 of \d spans fit into 10 tokens"),
            (1, r"0 of \d spans fit into 1 tokens; the best is read all the same, with 7"),
        ],
    )
    async def test_evidence_beyond_its_tokens_is_left_out_and_what_is_read_all_the_same_is_said(
        self, parts: Make, tokens: int, detail: str
    ) -> None:
        made = parts(budget={"tokens": tokens})
        about_peru(made)
        answer = await ask(made)
        assert list(given_up(answer)) == [Degradation.LESS_EVIDENCE]
        assert re.fullmatch(detail, given_up(answer)[Degradation.LESS_EVIDENCE])
        assert answer.text == BEST


@pytest.mark.asyncio
async def test_one_request_short_of_everything_gives_up_in_the_declared_order(parts: Make) -> None:
    short = {"seconds": 8.0, "tokens": 8, "answer_tokens": 3}
    made = parts(parser=Searches(queries=3), queries=1, page_seconds=0.5, budget=short)
    made.memory.seconds = 3600
    about_peru(made)
    made.site.says("/slow", "Slow", BEST)
    made.site.never.add("/slow")
    answer = await ask(made, Mode.AUTO)
    steps = [each.step for each in answer.given_up]
    assert steps == [step for step in ORDER if step not in (Degradation.RAW_QUESTION, Degradation.MEMORY_ONLY)]
    assert (answer.text, answer.done.cut) == ("The capital of", True)


class Busy:
    async def extract(self, question: str, pages: Any) -> Any:
        raise Unavailable("16 requests for evidence are waiting", 2.0)


@pytest.mark.asyncio
class TestAFullExtractor:
    async def test_without_memory_the_request_may_be_sent_again(self, parts: Make) -> None:
        made = parts(extractor=Busy())
        about_peru(made)
        for mode in (Mode.SEARCH, Mode.AUTO):
            answer = await ask(made, mode)
            assert answer.failed is not None
            assert (answer.failed.code, answer.failed.retry_after) == ("overloaded", 2.0)

    async def test_memory_stands_in(self, parts: Make) -> None:
        made = parts(extractor=Busy())
        about_peru(made)
        made.memory.answers[QUESTION] = "Lima"
        answer = await ask(made, Mode.AUTO)
        assert answer.origin is not None
        assert (answer.text, answer.origin.provenance) == ("Lima", Provenance.FROM_MEMORY)
        assert (answer.origin.web, answer.origin.detail) == (
            WebOutcome.EXTRACTOR_FAILED,
            "16 requests for evidence are waiting",
        )
