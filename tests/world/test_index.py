"""The search engine of the local web."""

from __future__ import annotations

import datetime

import pytest

from aag_ray.world.index import MAX_QUERY_WORDS, PageIndex, Query
from aag_ray.world.site import Site, SiteSection, Style
from aag_ray.world.truth import gold_pages


@pytest.fixture(scope="module")
def index() -> PageIndex:
    return PageIndex(Site(SiteSection(pages=1600)))


def test_every_article_is_in_it(index: PageIndex):
    assert index.size == sum(1 for _ in index.site.articles())


def test_test_questions_find_pages_that_answer_them(index: PageIndex):
    questions = index.site.world.questions["test"]
    found = {1: 0, 5: 0, 10: 0}
    for question in questions:
        gold = set(gold_pages(index.site, question))
        assert gold, question.id
        pages = [hit.page for hit in index.search(Query(question.question, language="en"), 10)[0]]
        for k in found:
            found[k] += any(page in gold for page in pages[:k])
    recall = {k: count / len(questions) for k, count in found.items()}
    print("gold recall@k", recall)
    assert recall[10] >= 0.95
    assert recall[1] >= 0.7


def test_hits_are_in_order_and_pages_follow_one_another(index: PageIndex):
    query = Query("capital of the country with many cities")
    first, count = index.search(query, 10)
    second, _ = index.search(query, 10, offset=10)
    scores = [hit.score for hit in (*first, *second)]
    assert scores == sorted(scores, reverse=True)
    assert len({hit.page for hit in (*first, *second)}) == 20
    assert count > 20
    assert [hit.page for hit in index.search(query, 20)[0]] == [hit.page for hit in (*first, *second)]


def test_symbols_are_not_common_words(index: PageIndex):
    number = next(number for number in index.site.catalogue.of_kind["element"] if index.site.about(Style.NEWS, number))
    symbol = index.site.catalogue.entities[number].values("symbol")[0][0]
    hits, _ = index.search(Query(f"Which element has the symbol {symbol}?"), 10)
    assert any(hit.page.entity == number for hit in hits)


def test_a_snippet_is_the_text_of_the_page_that_fits_best(index: PageIndex):
    question = next(row for row in index.site.world.questions["test"] if row.relation == "capital")
    hits, _ = index.search(Query(question.question, language="en"), 5)
    assert any(question.answers[0] in hit.snippet for hit in hits)
    assert all(len(hit.snippet) <= 300 for hit in hits)


def test_filters_leave_only_what_they_say(index: PageIndex):
    site = index.site
    since = (site.section.today - datetime.timedelta(days=31)).toordinal()
    text = "capital Hauptstadt capitale"
    assert {site.language(hit.page) for hit in index.search(Query(text, language="de"), 50)[0]} == {"de"}
    recent, _ = index.search(Query(text, since=since), 50)
    assert recent
    assert all(site.day(hit.page).toordinal() >= since for hit in recent)
    only = index.search(Query(text, hosts=("news.world.test", "blog.world.test")), 50)[0]
    assert {hit.page.host.name for hit in only} == {"news.world.test", "blog.world.test"}
    without = index.search(Query(text, refused=("spam.world.test",)), 200)[0]
    assert "spam.world.test" not in {hit.page.host.name for hit in without}
    assert {hit.page.host.style for hit in index.search(Query(text, style=Style.SPAM), 50)[0]} == {Style.SPAM}


@pytest.mark.parametrize("text", ["", "  ", "?!", "the a an", "zzzzqqqq"])
def test_nothing_is_found_for_nothing(index: PageIndex, text: str):
    assert index.search(Query(text), 10) == ([], 0)


@pytest.mark.parametrize("text", ['"unclosed AND (OR', "title:x^9 -y *", "capital " * 5000, "\x00 capital", "+355 .al"])
def test_no_query_is_too_strange(index: PageIndex, text: str):
    hits, count = index.search(Query(text), 10)
    assert len(hits) <= 10 <= MAX_QUERY_WORDS
    assert count >= len(hits)


def test_two_indexes_of_one_site_find_the_same(index: PageIndex):
    again = PageIndex(index.site)
    for question in index.site.world.questions["test"][:40]:
        assert again.search(Query(question.question), 10) == index.search(Query(question.question), 10)
