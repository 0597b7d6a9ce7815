"""Every engine against a server that speaks its documented format, in fair weather and in foul."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from aag_ray.config import ProviderSection
from aag_ray.web.search.answer import SearchAnswer, SearchOutcome
from aag_ray.web.search.api import open_session
from aag_ray.web.search.provider import Provider
from aag_ray.web.search.request import SearchRequest

KEY = "k3y/with+signs=and-secrets"
KINDS = ["searxng", "brave", "tavily", "serper", "google", "bing"]
KEYED = [kind for kind in KINDS if kind != "searxng"]
REQUEST = SearchRequest("capital of Peru")
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session() as opened:
        yield opened


async def ask(session: aiohttp.ClientSession, section: ProviderSection, request: SearchRequest = REQUEST) -> SearchAnswer:
    return await Provider(section, session).search(request)


class TestRequests:
    FULL = SearchRequest("Peru news", 7, "de-CH", "week", ("example.org", "*.Example.COM"), ("spam.example",), page=2)  # pyright: ignore[reportArgumentType]
    SITES = "Peru news site:example.org OR site:example.com -site:spam.example"
    GROUPED = "Peru news (site:example.org OR site:example.com) -site:spam.example"

    @pytest.mark.parametrize(
        ("kind", "path", "params"),
        [
            (
                "searxng",
                "/search",
                {"q": SITES, "format": "json", "language": "de-CH", "time_range": "week", "pageno": "2"},
            ),
            (
                "brave",
                "/web/search",
                {
                    "q": SITES,
                    "count": "7",
                    "offset": "1",
                    "search_lang": "de",
                    "country": "CH",
                    "freshness": "pw",
                    "text_decorations": "false",
                    "result_filter": "web",
                },
            ),
            (
                "google",
                "/customsearch/v1",
                {
                    "key": KEY,
                    "cx": "cx:1",
                    "q": SITES,
                    "num": "7",
                    "start": "8",
                    "lr": "lang_de",
                    "gl": "ch",
                    "dateRestrict": "w1",
                },
            ),
            (
                "bing",
                "/search",
                {
                    "q": GROUPED,
                    "count": "7",
                    "offset": "7",
                    "mkt": "de-CH",
                    "freshness": "Week",
                    "responseFilter": "Webpages",
                    "textDecorations": "false",
                },
            ),
        ],
    )
    @pytest.mark.asyncio
    async def test_get_engines_are_asked_in_their_own_words(self, start, session, kind, path, params):
        engine = await start(kind)
        await ask(session, engine.section(), self.FULL)
        (asked,) = engine.seen
        assert (asked.method, asked.path, asked.params) == ("GET", path, params)

    @pytest.mark.asyncio
    async def test_tavily_takes_domains_as_lists(self, start, session):
        engine = await start("tavily")
        request = SearchRequest("Peru", 50, "de", None, ("example.org",), ("spam.example",))
        await ask(session, engine.section(), request)
        (asked,) = engine.seen
        assert (asked.method, asked.path) == ("POST", "/search")
        assert asked.body == {
            "query": "Peru",
            "max_results": 20,
            "search_depth": "basic",
            "include_domains": ["example.org"],
            "exclude_domains": ["spam.example"],
        }

    @pytest.mark.asyncio
    async def test_serper_takes_a_body(self, start, session):
        engine = await start("serper")
        await ask(session, engine.section(), self.FULL)
        (asked,) = engine.seen
        assert (asked.method, asked.path) == ("POST", "/search")
        assert asked.body == {"q": self.SITES, "num": 7, "page": 2, "hl": "de", "gl": "ch", "tbs": "qdr:w"}

    @pytest.mark.parametrize(
        ("kind", "header", "value"),
        [
            ("brave", "x-subscription-token", KEY),
            ("tavily", "authorization", f"Bearer {KEY}"),
            ("serper", "x-api-key", KEY),
            ("bing", "ocp-apim-subscription-key", KEY),
        ],
    )
    @pytest.mark.asyncio
    async def test_the_key_goes_into_its_header(self, start, session, kind, header, value):
        engine = await start(kind)
        await ask(session, engine.section())
        assert engine.seen[0].headers[header] == value

    @each_kind
    @pytest.mark.asyncio
    async def test_a_plain_request_says_nothing_that_was_not_asked(self, start, session, kind):
        engine = await start(kind)
        await ask(session, engine.section())
        said = {**engine.seen[0].params, **(engine.seen[0].body or {})}
        assert not {"language", "search_lang", "hl", "gl", "lr", "mkt", "country", "setLang"} & said.keys()
        assert not {"freshness", "time_range", "tbs", "dateRestrict", "include_domains"} & said.keys()
        assert engine.seen[0].headers["user-agent"].startswith("aag-ray/")

    @pytest.mark.parametrize(
        ("kind", "freshness", "parameter", "value"),
        [
            ("searxng", "year", "time_range", "year"),
            ("brave", "day", "freshness", "pd"),
            ("tavily", "month", "time_range", "month"),
            ("serper", "year", "tbs", "qdr:y"),
            ("google", "month", "dateRestrict", "m1"),
            ("bing", "day", "freshness", "Day"),
        ],
    )
    @pytest.mark.asyncio
    async def test_freshness_has_a_word_in_every_engine(self, start, session, kind, freshness, parameter, value):
        engine = await start(kind)
        await ask(session, engine.section(), SearchRequest("q", freshness=freshness))
        assert {**engine.seen[0].params, **(engine.seen[0].body or {})}[parameter] == value

    @pytest.mark.asyncio
    async def test_bing_has_no_word_for_a_year_but_takes_days(self, start, session):
        engine = await start("bing")
        await ask(session, engine.section(), SearchRequest("q", freshness="year"))  # pyright: ignore[reportArgumentType]
        first, last = map(date.fromisoformat, engine.seen[0].params["freshness"].split(".."))
        assert last - first == timedelta(days=365)

    @pytest.mark.parametrize(
        ("language", "code"), [("ja", "jp"), ("zh", "zh-hans"), ("zh-TW", "zh-hant"), ("pt-BR", "pt-br"), ("fr", "fr")]
    )
    @pytest.mark.asyncio
    async def test_brave_has_codes_of_its_own(self, start, session, language, code):
        engine = await start("brave")
        await ask(session, engine.section(), SearchRequest("q", language=language))
        assert engine.seen[0].params["search_lang"] == code

    @pytest.mark.asyncio
    async def test_what_brave_would_refuse_of_a_long_query_is_left_out(self, start, session):
        engine = await start("brave")
        await ask(session, engine.section(), SearchRequest(" ".join(["word"] * 60)))
        await ask(session, engine.section(), SearchRequest(" ".join(["elephantine"] * 45)))
        await ask(session, engine.section(), SearchRequest("x" * 500))
        short, cut, one = (asked.params["q"] for asked in engine.seen)
        assert short == " ".join(["word"] * 50)
        assert 380 < len(cut) <= 400
        assert cut == " ".join(["elephantine"] * (len(cut.split())))
        assert one == "x" * 400

    @pytest.mark.parametrize(
        ("kind", "request_", "reason"),
        [
            ("brave", SearchRequest("q", page=11), "Brave has 10 pages, page=11 was asked for"),
            ("tavily", SearchRequest("q", page=2), "Tavily has one page of at most 20 results, page=2 was asked for"),
            ("google", SearchRequest("q", 10, page=11), "Google gives 100 results of a query, number 110 was asked for"),
        ],
    )
    @pytest.mark.asyncio
    async def test_a_page_that_an_engine_does_not_have_is_not_asked_for(self, start, session, kind, request_, reason):
        engine = await start(kind)
        answer = await ask(session, engine.section(), request_)
        assert (answer.outcome, answer.detail) == (SearchOutcome.REQUEST_REFUSED, reason)
        assert engine.seen == []


class TestResults:
    @pytest.mark.parametrize(
        ("kind", "written"),
        [
            ("searxng", "2024-03-05T00:00:00"),
            ("brave", "2024-03-05T12:30:00"),
            ("tavily", "Tue, 05 Mar 2024 12:30:00 GMT"),
            ("serper", "Mar 5, 2024"),
            ("google", "2024-03-05T12:30:00+02:00"),
            ("bing", "2024-03-05T12:30:00.0000000"),
        ],
    )
    @pytest.mark.asyncio
    async def test_they_are_the_same_whoever_found_them(self, start, session, kind, written):
        hits = [
            {
                "url": "https://a.example/1",
                "title": "<b>Lima</b> &amp; more",
                "text": "The <strong>capital</strong>\n is",
                "date": written,
            },
            {"url": "https://b.example/2", "title": "Second", "text": "5 < 6 and 7 > 6"},
        ]
        engine = await start(kind, hits)
        answer = await ask(session, engine.section(name="mine"))
        assert (answer.outcome, answer.detail, answer.provider) == (SearchOutcome.OK, "", "mine")
        first, second = answer.results
        assert (first.url, first.title, first.snippet) == ("https://a.example/1", "Lima & more", "The capital is")
        assert (second.title, second.snippet) == ("Second", "5 < 6 and 7 > 6")
        assert (first.published, second.published) == (date(2024, 3, 5), None)
        assert [(each.rank, each.engine, each.ranks) for each in answer.results] == [
            (1, "mine", (("mine", 1),)),
            (2, "mine", (("mine", 2),)),
        ]
        assert answer.seconds > 0

    @pytest.mark.parametrize(("kind", "score"), [("searxng", 1.0), ("tavily", 0.9), ("brave", None)])
    @pytest.mark.asyncio
    async def test_an_engines_own_score_is_kept_where_it_has_one(self, start, session, kind, score):
        engine = await start(kind)
        assert (await ask(session, engine.section())).results[0].score == score

    @pytest.mark.asyncio
    async def test_braves_further_snippets_are_text_too(self, start, session):
        engine = await start("brave")
        entry = {"url": "https://a.example/", "title": "A", "description": "one", "extra_snippets": ["two", "three"]}
        engine.says({"web": {"results": [entry]}})
        assert (await ask(session, engine.section())).results[0].snippet == "one two three"

    @each_kind
    @pytest.mark.asyncio
    async def test_nothing_found_is_not_a_failure(self, start, session, kind):
        engine = await start(kind, [])
        answer = await ask(session, engine.section())
        assert (answer.outcome, answer.results, answer.detail) == (SearchOutcome.EMPTY, (), "")

    @pytest.mark.parametrize(("kind", "rank"), [("searxng", 11), ("brave", 11), ("serper", 11), ("google", 11), ("bing", 11)])
    @pytest.mark.asyncio
    async def test_ranks_go_on_from_the_pages_before(self, start, session, kind, rank):
        engine = await start(kind)
        answer = await ask(session, engine.section(), SearchRequest("q", count=10, page=2))
        assert answer.results[0].rank == rank

    @each_kind
    @pytest.mark.asyncio
    async def test_no_more_than_asked_for_come_back(self, start, session, kind):
        engine = await start(kind, [{"url": f"https://{n}.example/", "title": "t", "text": "s"} for n in range(30)])
        answer = await ask(session, engine.section(), SearchRequest("q", count=5))
        assert [result.rank for result in answer.results] == [1, 2, 3, 4, 5]

    @each_kind
    @pytest.mark.asyncio
    async def test_other_domains_never_come_back_whatever_the_engine_does(self, start, session, kind):
        urls = ["https://example.org/", "https://sub.EXAMPLE.org:8443/x", "https://bad.example.org/", "https://notexample.org/"]
        engine = await start(kind, [{"url": url, "title": "t", "text": "s"} for url in urls])
        request = SearchRequest("q", include_domains=("example.org",), exclude_domains=("bad.example.org",))
        answer = await ask(session, engine.section(), request)
        assert [result.url for result in answer.results] == urls[:2]
        assert [result.rank for result in answer.results] == [1, 2]
        assert answer.detail == "2 results from other domains"

    @each_kind
    @pytest.mark.asyncio
    async def test_what_is_no_web_address_is_left_out_and_counted(self, start, session, kind):
        bad = [
            "",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "http://[::1",
            "/relative",
            "https:///none",
            "https://x/" + "y" * 5000,
        ]
        engine = await start(kind, [{"url": url, "title": "t", "text": "s"} for url in [*bad, "https://good.example/"]])
        answer = await ask(session, engine.section())
        assert [(result.url, result.rank) for result in answer.results] == [("https://good.example/", 8)]
        assert answer.detail == "7 results without a web address"

    @pytest.mark.asyncio
    async def test_if_none_has_one_the_answer_is_malformed(self, start, session):
        engine = await start("brave", [{"url": "nowhere", "title": "t", "text": "s"}])
        answer = await ask(session, engine.section())
        assert (answer.outcome, answer.detail) == (
            SearchOutcome.MALFORMED,
            f"{engine.url}: none of 1 results has a web address",
        )

    @pytest.mark.asyncio
    async def test_long_texts_and_control_characters_are_cut(self, start, session):
        engine = await start("tavily", [{"url": "https://a.example/", "title": "t\x00\u202e" * 900, "text": "s " * 90_000}])
        (result,) = (await ask(session, engine.section())).results
        assert result.title == "t" * 300
        assert len(result.snippet) <= 4000

    @pytest.mark.asyncio
    async def test_packed_answers_are_unpacked(self, start, session):
        engine = await start("brave")
        body = b'{"web": {"results": [{"url": "https://a.example/", "title": "A", "description": "B"}]}}'
        engine.says(gzip.compress(body), Content_Encoding="gzip")
        assert (await ask(session, engine.section())).results[0].title == "A"


class TestSearxng:
    @pytest.mark.asyncio
    async def test_engines_that_did_not_answer_are_named(self, start, session):
        engine = await start("searxng")
        hits = [{"url": "https://a.example/", "title": "A", "content": "B"}]
        engine.says({"results": hits, "unresponsive_engines": [["google", "CAPTCHA"], ["qwant", "too many requests"]]})
        answer = await ask(session, engine.section())
        assert (answer.outcome, answer.detail) == (
            SearchOutcome.OK,
            "google: CAPTCHA, qwant: too many requests did not answer",
        )

    @pytest.mark.asyncio
    async def test_if_that_is_why_there_is_nothing_it_is_a_failure(self, start, session):
        engine = await start("searxng")
        engine.says({"results": [], "unresponsive_engines": [["google", "CAPTCHA"]]})
        answer = await ask(session, engine.section())
        assert (answer.outcome, answer.detail) == (
            SearchOutcome.ENGINES_DOWN,
            f"{engine.url}: google: CAPTCHA did not answer",
        )

    @pytest.mark.asyncio
    async def test_an_instance_needs_no_key_but_may_have_one(self, start, session):
        engine = await start("searxng")
        await ask(session, engine.section())
        await ask(session, engine.section(key_env="TEST_SEARXNG_KEY"))
        assert [asked.headers.get("authorization") for asked in engine.seen] == [None, f"Bearer {KEY}"]

    @pytest.mark.asyncio
    async def test_an_address_may_have_a_path(self, start, session):
        engine = await start("searxng")
        await ask(session, engine.section(url=f"{engine.url}/searx/"))
        assert engine.seen[0].path == "/searx/search"


class TestRefusals:
    @each_kind
    @pytest.mark.parametrize(
        ("status", "outcome"),
        [
            (429, SearchOutcome.QUOTA_SPENT),
            (402, SearchOutcome.QUOTA_SPENT),
            (401, SearchOutcome.AUTH_REFUSED),
            (403, SearchOutcome.AUTH_REFUSED),
            (400, SearchOutcome.REQUEST_REFUSED),
            (404, SearchOutcome.REQUEST_REFUSED),
            (500, SearchOutcome.SERVER_ERROR),
            (502, SearchOutcome.SERVER_ERROR),
            (503, SearchOutcome.SERVER_ERROR),
            (204, SearchOutcome.MALFORMED),
            (302, SearchOutcome.REDIRECTED),
        ],
    )
    @pytest.mark.asyncio
    async def test_a_status_has_its_outcome(self, start, session, kind, status, outcome):
        engine = await start(kind)
        engine.says(b"" if status == 204 else b'{"message": "no"}', status)
        answer = await ask(session, engine.section())
        assert (answer.outcome, answer.results) == (outcome, ())
        assert f"{engine.url} answered {status}" in answer.detail

    @pytest.mark.parametrize(
        ("kind", "status", "body", "outcome"),
        [
            (
                "brave",
                422,
                {"type": "ErrorResponse", "error": {"code": "SUBSCRIPTION_TOKEN_INVALID", "status": 422}},
                SearchOutcome.AUTH_REFUSED,
            ),
            ("brave", 422, {"type": "ErrorResponse", "error": {"code": "VALIDATION"}}, SearchOutcome.REQUEST_REFUSED),
            ("brave", 429, {"type": "ErrorResponse", "error": {"code": "RATE_LIMITED"}}, SearchOutcome.QUOTA_SPENT),
            ("tavily", 401, {"detail": {"error": "Unauthorized: missing or invalid API key."}}, SearchOutcome.AUTH_REFUSED),
            (
                "tavily",
                432,
                {"detail": {"error": "This request exceeds your plan's set usage limit."}},
                SearchOutcome.QUOTA_SPENT,
            ),
            ("tavily", 433, {"detail": {"error": "This request exceeds the pay-as-you-go limit."}}, SearchOutcome.QUOTA_SPENT),
            ("serper", 403, {"message": "Unauthorized.", "statusCode": 403}, SearchOutcome.AUTH_REFUSED),
            ("serper", 400, {"message": "Not enough credits", "statusCode": 400}, SearchOutcome.QUOTA_SPENT),
            (
                "google",
                403,
                {"error": {"code": 403, "errors": [{"domain": "usageLimits", "reason": "dailyLimitExceeded"}]}},
                SearchOutcome.QUOTA_SPENT,
            ),
            ("google", 429, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}, SearchOutcome.QUOTA_SPENT),
            (
                "google",
                400,
                {"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}},
                SearchOutcome.AUTH_REFUSED,
            ),
            ("google", 400, {"error": {"code": 400, "status": "INVALID_ARGUMENT"}}, SearchOutcome.REQUEST_REFUSED),
            (
                "bing",
                401,
                {"_type": "ErrorResponse", "errors": [{"code": "InvalidAuthorization"}]},
                SearchOutcome.AUTH_REFUSED,
            ),
            ("bing", 403, {"error": {"code": "403", "message": "Out of call volume quota."}}, SearchOutcome.QUOTA_SPENT),
            ("bing", 400, {"_type": "ErrorResponse", "errors": [{"code": "InvalidRequest"}]}, SearchOutcome.REQUEST_REFUSED),
        ],
    )
    @pytest.mark.asyncio
    async def test_documented_errors_have_theirs(self, start, session, kind, status, body, outcome):
        engine = await start(kind)
        engine.says(body, status)
        assert (await ask(session, engine.section())).outcome is outcome

    @pytest.mark.parametrize(("header", "seconds"), [("120", 120.0), ("soon", None), ("", None)])
    @pytest.mark.asyncio
    async def test_a_time_to_come_back_is_passed_on(self, start, session, header, seconds):
        engine = await start("brave")
        engine.says({}, 429, Retry_After=header)
        assert (await ask(session, engine.section())).retry_after == seconds

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.asyncio
    async def test_a_redirect_is_not_followed(self, start, session, status):
        engine, elsewhere = await start("brave"), await start("brave")
        engine.says(b"", status, Location=f"{elsewhere.url}/web/search")
        assert (await ask(session, engine.section())).outcome is SearchOutcome.REDIRECTED
        assert elsewhere.seen == []


class TestNoAnswer:
    @each_kind
    @pytest.mark.parametrize(
        "body",
        [b"", b"<html>Sign in</html>", b'{"results": [', b"[1, 2]", b'"text"', b"null", b"\xff\xfe\xfa", b"[" * 200_000],
        ids=["nothing", "html", "cut off", "list", "string", "null", "no text", "nested"],
    )
    @pytest.mark.asyncio
    async def test_what_is_no_json_object_is_malformed(self, start, session, kind, body):
        engine = await start(kind)
        engine.says(body)
        answer = await ask(session, engine.section())
        assert answer.outcome is SearchOutcome.MALFORMED
        assert answer.detail.startswith(engine.url)

    @pytest.mark.parametrize(
        ("kind", "body", "reason"),
        [
            ("searxng", {"results": "none"}, "results is no list but str"),
            ("brave", {"web": []}, "web is no object but list"),
            ("brave", {"web": {"results": {"0": {}}}}, "web.results is no list but dict"),
            ("tavily", {"results": 3}, "results is no list but int"),
            ("serper", {"organic": {}}, "organic is no list but dict"),
            ("google", {"items": True}, "items is no list but bool"),
            ("bing", {"webPages": {"value": "x"}}, "webPages.value is no list but str"),
        ],
    )
    @pytest.mark.asyncio
    async def test_what_is_not_the_documented_form_is_malformed_and_says_where(self, start, session, kind, body, reason):
        engine = await start(kind)
        engine.says(body)
        answer = await ask(session, engine.section())
        assert (answer.outcome, answer.detail) == (SearchOutcome.MALFORMED, f"{engine.url}: {reason}")

    @each_kind
    @pytest.mark.asyncio
    async def test_fields_of_another_type_are_as_good_as_absent(self, start, session, kind):
        entry = {"url": "https://a.example/", "title": "t", "text": "s"}
        engine = await start(kind, [entry, {**entry, "title": 7, "text": ["x"], "date": {"y": 1}}])
        answer = await ask(session, engine.section())
        assert [(result.title, result.snippet) for result in answer.results] == [("t", "s"), ("", "")]

    @each_kind
    @pytest.mark.asyncio
    async def test_a_slow_engine_runs_out_of_time(self, start, session, kind):
        engine = await start(kind)

        async def never(request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(600)
            raise AssertionError

        engine.answer = never
        answer = await ask(session, engine.section(timeout_seconds=0.1))
        assert (answer.outcome, answer.detail) == (SearchOutcome.TIMEOUT, f"{engine.url} did not answer within 0.1 s")

    @pytest.mark.asyncio
    async def test_so_does_one_that_drips(self, start, session):
        engine = await start("brave")

        async def drip(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.02)

        engine.answer = drip
        assert (await ask(session, engine.section(timeout_seconds=0.2))).outcome is SearchOutcome.TIMEOUT

    @each_kind
    @pytest.mark.asyncio
    async def test_nobody_there_is_unreachable(self, start, session, kind, nobody):
        engine = await start(kind)
        answer = await ask(session, engine.section(url=nobody))
        assert answer.outcome is SearchOutcome.UNREACHABLE
        assert answer.detail.startswith(f"{nobody}: ")

    @pytest.mark.asyncio
    async def test_a_name_that_does_not_exist_is_unreachable(self, start, session):
        engine = await start("brave")
        answer = await ask(session, engine.section(url="http://nowhere.invalid"))
        assert answer.outcome is SearchOutcome.UNREACHABLE

    @pytest.mark.asyncio
    async def test_a_connection_that_breaks_is_unreachable(self, start, session):
        engine = await start("brave")

        async def breaks(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b'{"web"')
            assert request.transport is not None
            request.transport.abort()
            return response

        engine.answer = breaks
        assert (await ask(session, engine.section())).outcome is SearchOutcome.UNREACHABLE

    @each_kind
    @pytest.mark.asyncio
    async def test_a_large_answer_is_given_up(self, start, session, kind):
        engine = await start(kind)
        engine.says(b'{"a": "' + b"x" * 100_000 + b'"}')
        answer = await ask(session, engine.section(body_bytes=50_000))
        assert (answer.outcome, answer.detail) == (
            SearchOutcome.TOO_LARGE,
            f"{engine.url} answered with more than 50000 bytes",
        )

    @pytest.mark.asyncio
    async def test_an_endless_answer_is_given_up(self, start, session):
        engine = await start("brave")

        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(b" " * 65_536)

        engine.answer = endless
        assert (await ask(session, engine.section())).outcome is SearchOutcome.TOO_LARGE

    @pytest.mark.asyncio
    async def test_a_bomb_is_given_up(self, start, session):
        engine = await start("brave")
        engine.says(gzip.compress(b" " * 30_000_000), Content_Encoding="gzip")
        assert (await ask(session, engine.section())).outcome is SearchOutcome.TOO_LARGE

    @pytest.mark.parametrize(("coding", "body"), [("gzip", b"not gzip"), ("rot13", b"{}")])
    @pytest.mark.asyncio
    async def test_a_body_that_is_not_packed_as_it_says_is_malformed(self, start, session, coding, body):
        engine = await start("brave")
        engine.says(body, Content_Encoding=coding)
        assert (await ask(session, engine.section())).outcome is SearchOutcome.MALFORMED


class TestKeys:
    @pytest.mark.parametrize("kind", KEYED)
    @pytest.mark.asyncio
    async def test_without_a_key_nothing_is_sent(self, start, session, kind, monkeypatch):
        engine = await start(kind)
        monkeypatch.delenv(f"TEST_{kind.upper()}_KEY")
        answer = await ask(session, engine.section())
        assert (answer.outcome, answer.detail) == (
            SearchOutcome.NOT_CONFIGURED,
            f"no key in the environment variable TEST_{kind.upper()}_KEY",
        )
        assert engine.seen == []

    @pytest.mark.parametrize("kind", KEYED)
    @pytest.mark.asyncio
    async def test_the_usual_variable_is_looked_at_where_none_is_named(self, start, session, kind, monkeypatch):
        usual = {"bing": "BING_SEARCH_API_KEY"}.get(kind, f"{kind.upper()}_API_KEY")
        monkeypatch.setenv(usual, "usual-key\n")
        engine = await start(kind)
        assert (await ask(session, engine.section(key_env=None))).ok
        asked = engine.seen[0]
        assert any("usual-key" in value and "\n" not in value for value in [*asked.headers.values(), *asked.params.values()])

    @pytest.mark.asyncio
    async def test_what_cannot_be_a_key_is_refused_unseen(self, start, session, monkeypatch):
        engine = await start("brave")
        monkeypatch.setenv("TEST_BRAVE_KEY", "one\r\ntwo: three")
        answer = await ask(session, engine.section())
        assert answer.outcome is SearchOutcome.NOT_CONFIGURED
        assert "three" not in answer.detail
        assert engine.seen == []

    @pytest.mark.parametrize("kind", KEYED)
    @pytest.mark.parametrize("weather", ["echo", "echo in a redirect", "html", "nobody", "reset", "slow", "fine"])
    @pytest.mark.asyncio
    async def test_a_key_is_never_shown(self, start, session, kind, weather, nobody, caplog):
        caplog.set_level(logging.DEBUG)
        engine = await start(kind)
        section = engine.section(timeout_seconds=0.2)

        async def reset(request: web.Request) -> web.StreamResponse:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        async def slow(request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(600)
            return web.Response()

        async def echo(request: web.Request) -> web.StreamResponse:
            return web.Response(status=403, text=f"bad key {KEY} in {request.url} with {dict(request.headers)}")

        match weather:
            case "echo":
                engine.answer = echo
            case "echo in a redirect":
                engine.says(KEY.encode(), 302, Location=f"https://elsewhere.example/?key={KEY}")
            case "html":
                engine.says(f"<p>{KEY}".encode())
            case "nobody":
                section = engine.section(url=nobody)
            case "reset":
                engine.answer = reset
            case "slow":
                engine.answer = slow
        provider = Provider(section, session)
        answer = await provider.search(REQUEST)
        call = provider.dialect.ask(REQUEST, 10, KEY, section)
        shown = [answer, provider, provider.__dict__, section, section.model_dump(), call]
        for text in [*map(repr, shown), answer.detail, caplog.text]:
            assert KEY not in text
            assert "k3y%2F" not in text

    def test_a_config_can_hold_a_variables_name_but_no_password(self):
        with pytest.raises(ValueError, match="has a user or password in it"):
            ProviderSection(kind="searxng", url="https://user:pw@search.example")
        with pytest.raises(ValueError, match="pattern"):
            ProviderSection(kind="brave", key_env="BSA-secret/key")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "searxng"}, "kind searxng needs its url"),
        ({"kind": "bing"}, "kind bing needs its url"),
        ({"kind": "google"}, "kind google needs engine_id"),
        ({"kind": "brave", "url": "ftp://x"}, r"url='ftp://x' is not http\(s\)://"),
        ({"kind": "brave", "url": "https://x?key=1"}, r"is not http\(s\)://"),
        ({"kind": "altavista"}, "searxng.*brave.*tavily.*serper.*google.*bing"),
    ],
)
def test_a_provider_that_cannot_be_asked_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        ProviderSection.model_validate(values)


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        ("brave", "https://api.search.brave.com/res/v1"),
        ("tavily", "https://api.tavily.com"),
        ("serper", "https://google.serper.dev"),
        ("google", "https://www.googleapis.com"),
    ],
)
@pytest.mark.asyncio
async def test_the_documented_address_is_the_default(session, kind, base):
    section = ProviderSection(kind=kind, engine_id="cx")
    assert Provider(section, session).base == base


@pytest.mark.asyncio
async def test_cancelling_a_search_is_not_an_outcome(start, session):
    engine = await start("brave")
    arrived = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await asyncio.sleep(600)
        return web.Response()

    engine.answer = slow
    task = asyncio.create_task(ask(session, engine.section()))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.asyncio
async def test_relative_dates_are_counted_from_today(start, session):
    engine = await start("serper", [{"url": "https://a.example/", "title": "t", "text": "s", "date": "3 days ago"}])
    (result,) = (await ask(session, engine.section())).results
    assert result.published is not None
    assert abs((datetime.now(UTC).date() - result.published).days - 3) <= 1
