"""Several engines as one: fall-back, all at once, the slow relieved, the sick left alone, and every reason kept."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from aag_ray.config import SearchSection
from aag_ray.web.search.answer import SearchOutcome
from aag_ray.web.search.breaker import Health
from aag_ray.web.search.pool import SearchPool
from aag_ray.web.search.request import SearchRequest

REQUEST = SearchRequest("capital of Peru")


def found(*urls: str) -> list[dict[str, str]]:
    return [{"url": url, "title": "t", "text": "s"} for url in urls]


async def never(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(600)
    return web.Response()


class TestFallBack:
    @pytest.mark.asyncio
    async def test_the_first_provider_is_enough(self, start, pooled):
        first, second = await start("brave"), await start("tavily")
        async with SearchPool(pooled(first.section(), second.section())) as pool:
            answer = await pool.search(REQUEST)
        assert (answer.outcome, answer.provider, answer.detail) == (SearchOutcome.OK, "brave", "")
        assert [(each.provider, each.outcome, each.results) for each in answer.attempts] == [("brave", SearchOutcome.OK, 2)]
        assert (len(first.seen), len(second.seen)) == (1, 0)

    @pytest.mark.asyncio
    async def test_each_failure_leads_to_the_next_and_stays_on_record(self, start, pooled, nobody, monkeypatch):
        engines = [await start(kind) for kind in ("brave", "tavily", "serper", "google")]
        engines[0].says({}, 429)
        engines[1].says(b"<html>")
        monkeypatch.delenv("TEST_SERPER_KEY")
        sections = [engine.section() for engine in engines]
        down = engines[0].section(name="down", url=nobody)
        async with SearchPool(pooled(*sections[:3], down, sections[3])) as pool:
            answer = await pool.search(REQUEST)
        assert (answer.outcome, answer.provider) == (SearchOutcome.OK, "google")
        assert [(each.provider, each.outcome) for each in answer.attempts] == [
            ("brave", SearchOutcome.QUOTA_SPENT),
            ("tavily", SearchOutcome.MALFORMED),
            ("serper", SearchOutcome.NOT_CONFIGURED),
            ("down", SearchOutcome.UNREACHABLE),
            ("google", SearchOutcome.OK),
        ]
        for said in ("brave: quota_spent (", "answered 429", "no key in the environment variable TEST_SERPER_KEY"):
            assert said in answer.detail

    @pytest.mark.asyncio
    async def test_finding_nothing_leads_to_the_next_too(self, start, pooled):
        first, second = await start("brave", []), await start("tavily")
        async with SearchPool(pooled(first.section(), second.section())) as pool:
            answer = await pool.search(REQUEST)
        assert (answer.outcome, answer.provider) == (SearchOutcome.OK, "tavily")
        assert answer.attempts[0].outcome is SearchOutcome.EMPTY


class TestWithoutResults:
    @pytest.mark.asyncio
    async def test_empty_is_empty_only_if_somebody_searched(self, start, pooled):
        first, second = await start("brave", []), await start("tavily")
        second.says({}, 500)
        async with SearchPool(pooled(first.section(), second.section())) as pool:
            answer = await pool.search(REQUEST)
        assert answer.outcome is SearchOutcome.EMPTY
        assert "tavily: server_error" in answer.detail

    @pytest.mark.asyncio
    async def test_one_reason_of_all_is_the_outcome(self, start, pooled):
        first, second = await start("brave"), await start("tavily")
        first.says({}, 500)
        second.says({}, 502)
        async with SearchPool(pooled(first.section(), second.section())) as pool:
            answer = await pool.search(REQUEST)
        assert (answer.outcome, answer.results) == (SearchOutcome.SERVER_ERROR, ())

    @pytest.mark.asyncio
    async def test_different_reasons_are_listed(self, start, pooled):
        first, second = await start("brave"), await start("tavily")
        first.says({}, 500)
        second.says({}, 401)
        async with SearchPool(pooled(first.section(), second.section())) as pool:
            answer = await pool.search(REQUEST)
        assert answer.outcome is SearchOutcome.ALL_FAILED
        assert "brave: server_error" in answer.detail
        assert "tavily: auth_refused" in answer.detail

    @pytest.mark.asyncio
    async def test_without_providers_nothing_is_configured(self):
        async with SearchPool(SearchSection()) as pool:
            answer = await pool.search(REQUEST)
        assert (answer.outcome, answer.detail) == (SearchOutcome.NOT_CONFIGURED, "no search provider is configured")


class TestSeveralAtOnce:
    @pytest.mark.asyncio
    async def test_their_results_are_merged_with_every_rank(self, start, pooled):
        first = await start("brave", found("https://a.example/", "https://b.example/?utm_source=x"))
        second = await start("tavily", found("https://b.example/", "https://c.example/"))
        async with SearchPool(pooled(first.section(), second.section(), answers=2)) as pool:
            answer = await pool.search(REQUEST)
        assert answer.provider == "brave, tavily"
        assert [(result.rank, result.ranks) for result in answer.results] == [
            (1, (("brave", 2), ("tavily", 1))),
            (2, (("brave", 1),)),
            (3, (("tavily", 2),)),
        ]

    @pytest.mark.asyncio
    async def test_they_run_at_the_same_time(self, start, pooled):
        engines = [await start(kind) for kind in ("brave", "tavily", "serper")]
        together = asyncio.Barrier(3)

        async def wait(request: web.Request) -> web.StreamResponse:
            await together.wait()
            return web.json_response({})

        for engine in engines:
            engine.answer = wait
        async with SearchPool(pooled(*(engine.section() for engine in engines), answers=3)) as pool:
            answer = await pool.search(REQUEST)
        assert {each.outcome for each in answer.attempts} == {SearchOutcome.EMPTY}

    @pytest.mark.asyncio
    async def test_the_order_of_preference_decides_not_who_answers_first(self, start, pooled):
        first, second = await start("brave", found("https://a.example/")), await start("tavily", found("https://b.example/"))
        answered = asyncio.Event()

        async def after(request: web.Request) -> web.StreamResponse:
            await answered.wait()
            return web.json_response({"web": {"results": [{"url": "https://a.example/", "title": "", "description": ""}]}})

        async def before(request: web.Request) -> web.StreamResponse:
            answered.set()
            return web.json_response({"results": [{"url": "https://b.example/", "title": "", "content": ""}]})

        first.answer, second.answer = after, before
        async with SearchPool(pooled(first.section(), second.section(), answers=2)) as pool:
            answer = await pool.search(REQUEST)
        assert [result.engine for result in answer.results] == ["brave", "tavily"]

    @pytest.mark.asyncio
    async def test_one_of_them_is_replaced_when_it_fails(self, start, pooled):
        engines = [await start(kind) for kind in ("brave", "tavily", "serper", "google")]
        engines[0].says({}, 500)
        async with SearchPool(pooled(*(engine.section() for engine in engines), answers=2)) as pool:
            answer = await pool.search(REQUEST)
        assert answer.provider == "tavily, serper"
        assert engines[3].seen == []


class TestTime:
    @pytest.mark.asyncio
    async def test_a_silent_provider_is_relieved_by_the_next(self, start, pooled):
        first, second = await start("brave"), await start("tavily")
        first.answer = never
        section = pooled(first.section(timeout_seconds=300), second.section(), slow_seconds=0.05)
        async with SearchPool(section) as pool:
            answer = await pool.search(REQUEST)
        assert (answer.outcome, answer.provider) == (SearchOutcome.OK, "tavily")
        assert {each.provider: each.outcome for each in answer.attempts} == {
            "tavily": SearchOutcome.OK,
            "brave": SearchOutcome.OVERTAKEN,
        }

    @pytest.mark.asyncio
    async def test_it_may_still_win(self, start, pooled):
        first, second = await start("brave"), await start("tavily")
        asked = asyncio.Event()

        async def late(request: web.Request) -> web.StreamResponse:
            await asked.wait()
            return web.json_response({"web": {"results": [{"url": "https://a.example/", "title": "", "description": ""}]}})

        async def silent(request: web.Request) -> web.StreamResponse:
            asked.set()
            return await never(request)

        first.answer, second.answer = late, silent
        async with SearchPool(pooled(first.section(), second.section(), slow_seconds=0.05)) as pool:
            answer = await pool.search(REQUEST)
        assert answer.provider == "brave"

    @pytest.mark.asyncio
    async def test_the_deadline_ends_it_with_what_is_there(self, start, pooled):
        first, second = await start("brave"), await start("tavily")
        first.answer = never
        async with SearchPool(pooled(first.section(), second.section(), answers=2)) as pool:
            answer = await pool.search(REQUEST, deadline=0.5)
        assert (answer.outcome, answer.provider) == (SearchOutcome.OK, "tavily")
        assert "brave: deadline (no answer in" in answer.detail

    @pytest.mark.asyncio
    async def test_if_nothing_is_there_the_deadline_is_the_outcome(self, start, pooled):
        first = await start("brave")
        first.answer = never
        async with SearchPool(pooled(first.section())) as pool:
            answer = await pool.search(REQUEST, deadline=0.05)
        assert answer.outcome is SearchOutcome.DEADLINE

    @pytest.mark.asyncio
    async def test_being_cut_short_counts_only_against_one_that_had_its_time(self, start, pooled):
        first = await start("brave")
        first.answer = never
        breaker = {"failures": 1}
        async with SearchPool(pooled(first.section(), breaker=breaker)) as pool:
            await pool.search(REQUEST, deadline=0.05)
            assert pool.health == {"brave": Health.CLOSED}
        async with SearchPool(pooled(first.section(), breaker=breaker, slow_seconds=0.01)) as pool:
            await pool.search(REQUEST, deadline=0.1)
            assert pool.health == {"brave": Health.OPEN}

    @pytest.mark.asyncio
    async def test_cancelling_stops_everything(self, start, pooled):
        first = await start("brave")
        arrived, left = asyncio.Event(), asyncio.Event()

        async def wait(request: web.Request) -> web.StreamResponse:
            arrived.set()
            try:
                await asyncio.sleep(600)
            finally:
                left.set()
            return web.Response()

        first.answer = wait
        async with SearchPool(pooled(first.section())) as pool:
            task = asyncio.create_task(pool.search(REQUEST))
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await left.wait()
            assert pool.health == {"brave": Health.CLOSED}


class TestHealth:
    @pytest.mark.asyncio
    async def test_a_sick_provider_is_not_asked_until_its_rest_is_over(self, start, pooled):
        now = [0.0]
        first, second = await start("brave"), await start("tavily")
        first.says({}, 500)
        section = pooled(first.section(), second.section(), breaker={"failures": 2, "rest_seconds": 30})
        async with SearchPool(section, clock=lambda: now[0]) as pool:
            answers = [await pool.search(REQUEST) for _ in range(4)]
            assert {answer.provider for answer in answers} == {"tavily"}
            assert len(first.seen) == 2
            assert pool.health == {"brave": Health.OPEN, "tavily": Health.CLOSED}
            assert answers[-1].attempts[0].outcome is SearchOutcome.RESTING
            assert "rests for another 30 s after server_error" in answers[-1].detail
            now[0] = 31.0
            first.answer = None
            assert (await pool.search(REQUEST)).provider == "brave"
            assert pool.health["brave"] is Health.CLOSED

    @pytest.mark.asyncio
    async def test_a_spent_quota_rests_as_long_as_the_provider_says(self, start, pooled):
        now = [0.0]
        first, second = await start("brave"), await start("tavily")
        first.says({}, 429, Retry_After="50")
        async with SearchPool(pooled(first.section(), second.section()), clock=lambda: now[0]) as pool:
            for now[0] in (0.0, 10.0, 49.0):
                await pool.search(REQUEST)
            assert len(first.seen) == 1
            now[0] = 51.0
            await pool.search(REQUEST)
            assert len(first.seen) == 2

    @pytest.mark.asyncio
    async def test_if_everybody_rests_nobody_is_asked_and_the_answer_says_so(self, start, pooled):
        first = await start("brave")
        first.says({}, 403)
        async with SearchPool(pooled(first.section())) as pool:
            await pool.search(REQUEST)
            answer = await pool.search(REQUEST)
        assert answer.outcome is SearchOutcome.RESTING
        assert "after auth_refused" in answer.detail
        assert len(first.seen) == 1

    @pytest.mark.asyncio
    async def test_of_many_searches_at_once_one_tries_a_provider_that_was_sick(self, start, pooled):
        now = [0.0]
        first, second = await start("brave"), await start("tavily")
        first.says({}, 429)
        section = pooled(first.section(), second.section())
        async with SearchPool(section, clock=lambda: now[0]) as pool:
            await pool.search(REQUEST)
            now[0] = 1000.0
            answers = await asyncio.gather(*(pool.search(REQUEST) for _ in range(20)))
        assert len(first.seen) == 2
        assert {answer.provider for answer in answers} == {"tavily"}

    @pytest.mark.asyncio
    async def test_a_hundred_searches_with_every_weather_never_raise(self, start, pooled):
        engines = [await start(kind) for kind in ("brave", "tavily", "serper")]
        weather = [({}, 500), (b"<", 200), ({}, 429), ([], 200), ({"results": 1, "organic": 1, "web": 1}, 200)]
        section = pooled(*(engine.section() for engine in engines), breaker={"failures": 1000, "quota_seconds": 0.001})
        outcomes = set()
        async with SearchPool(section) as pool:
            for turn in range(30):
                for engine in engines:
                    engine.says(*weather[turn % len(weather)])
                answers = await asyncio.gather(*(pool.search(REQUEST) for _ in range(4)))
                outcomes |= {answer.outcome for answer in answers}
        assert SearchOutcome.FAILED not in outcomes
        assert SearchOutcome.OK not in outcomes
        assert {SearchOutcome.SERVER_ERROR, SearchOutcome.MALFORMED} <= outcomes


def test_two_providers_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two providers are called 'brave'"):
        SearchSection.model_validate({"providers": [{"kind": "brave"}, {"kind": "brave"}]})
    two = [{"kind": "brave"}, {"kind": "brave", "name": "other"}]
    assert len(SearchSection.model_validate({"providers": two}).providers) == 2
