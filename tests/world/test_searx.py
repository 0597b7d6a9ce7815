"""The search endpoint's parameters and answers."""

from __future__ import annotations

import datetime

import pytest

from aag_ray.world.index import PageIndex
from aag_ray.world.searx import DAYS, BadSearch, as_html, search
from aag_ray.world.site import Host, Site, SiteSection

SECTION = SiteSection(pages=400)


@pytest.fixture(scope="module")
def index() -> PageIndex:
    return PageIndex(Site(SECTION))


def origin(host: Host) -> str:
    return f"http://{host.address}:8081"


def hosts(found: dict) -> list[str]:
    return [row["parsed_url"][1].partition(":")[0] for row in found["results"]]


def test_an_answer_has_the_fields_of_searxng(index: PageIndex):
    found = search(index, SECTION, {"q": "capital of the country", "categories": "general", "safesearch": "1"}, origin)
    assert set(found) == {
        "query", "number_of_results", "results", "answers", "corrections", "infoboxes", "suggestions", "unresponsive_engines",
    }  # fmt: skip
    assert len(found["results"]) == 10
    for position, row in enumerate(found["results"], start=1):
        assert {"url", "title", "content", "engine", "engines", "score", "category", "publishedDate"} <= set(row)
        assert row["positions"] == [position]
        assert row["url"].startswith("http://127.0.0.")
        assert datetime.datetime.fromisoformat(row["publishedDate"]).date() <= SECTION.today


def test_pages_of_results_do_not_overlap(index: PageIndex):
    urls = [row["url"] for page in "123" for row in search(index, SECTION, {"q": "capital", "pageno": page}, origin)["results"]]
    assert len(urls) == len(set(urls)) == 30
    assert search(index, SECTION, {"q": "capital", "pageno": "999"}, origin)["results"] == []


@pytest.mark.parametrize("name", DAYS)
def test_a_time_range_counts_back_from_the_web_s_own_day(index: PageIndex, name: str):
    found = search(index, SECTION, {"q": "capital country", "time_range": name}, origin)
    oldest = SECTION.today - datetime.timedelta(days=DAYS[name])
    assert all(row["publishedDate"][:10] >= oldest.isoformat() for row in found["results"])


@pytest.mark.parametrize(("language", "only"), [("de", {"127.0.0.8"}), ("fr-FR", {"127.0.0.8"}), ("ES", {"127.0.0.8"})])
def test_a_language_is_a_filter(index: PageIndex, language: str, only: set[str]):
    found = search(index, SECTION, {"q": "Europa Europe Asia Asien", "language": language}, origin)
    assert set(hosts(found)) <= only


@pytest.mark.parametrize("language", ["", "all", "auto"])
def test_no_language_is_no_filter(index: PageIndex, language: str):
    asked = {"q": "capital", "language": language}
    assert (
        search(index, SECTION, asked, origin)["number_of_results"]
        == search(index, SECTION, {"q": "capital"}, origin)["number_of_results"]
    )


def test_sites_are_chosen_and_refused(index: PageIndex):
    assert set(hosts(search(index, SECTION, {"q": "capital site:travel.world.test"}, origin))) == {"127.0.0.3"}
    assert set(hosts(search(index, SECTION, {"q": "site:127.0.0.4 capital"}, origin))) == {"127.0.0.4"}
    assert "127.0.0.10" not in hosts(search(index, SECTION, {"q": "capital -site:spam.world.test"}, origin))
    assert search(index, SECTION, {"q": "capital site:elsewhere.test"}, origin)["results"] == []
    assert len(search(index, SECTION, {"q": "capital site:world.test"}, origin)["results"]) == 10


def test_bias_puts_wrong_pages_first_and_loses_none(index: PageIndex):
    question = index.site.world.questions["test"][0].question
    plain = search(index, SECTION, {"q": question}, origin)
    biased = search(index, SECTION, {"q": question, "bias": "spam"}, origin)
    assert hosts(biased)[:3] == ["127.0.0.10"] * 3
    urls = [row["url"] for row in biased["results"]]
    assert len(set(urls)) == 10
    kept = [row["url"] for row in plain["results"] if row["parsed_url"][1] != "127.0.0.10:8081"]
    assert [url for url in urls if "127.0.0.10" not in url] == kept[: len([url for url in urls if "127.0.0.10" not in url])]
    told = SECTION.model_copy(update={"bias": "spam"})
    assert search(index, told, {"q": question}, origin) == biased
    assert search(index, told, {"q": question, "bias": "none"}, origin) == plain


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "No query"),
        ({"q": "  "}, "No query"),
        ({"q": "x", "pageno": "0"}, "parameter pageno"),
        ({"q": "x", "pageno": "two"}, "parameter pageno"),
        ({"q": "x", "pageno": "٣"}, "parameter pageno"),
        ({"q": "x", "time_range": "decade"}, "parameter time_range: day, week, month, year are allowed"),
        ({"q": "x", "bias": "ads"}, "parameter bias: none and spam are allowed"),
    ],
)
def test_a_wrong_parameter_is_named(index: PageIndex, asked: dict[str, str], said: str):
    with pytest.raises(BadSearch, match=said):
        search(index, SECTION, asked, origin)


def test_people_get_a_page_of_links(index: PageIndex):
    html = as_html(search(index, SECTION, {"q": "<b>capital</b>"}, origin))
    assert html.count('<article class="result">') == 10
    assert "<b>" not in html
