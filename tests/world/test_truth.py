"""The machine-readable truth about a web."""

from __future__ import annotations

import json

import pytest
from selectolax.lexbor import LexborHTMLParser

from aag_ray.web.fetched import FetchOutcome
from aag_ray.world.retrieval import has_answer
from aag_ray.world.serve import LocalWeb
from aag_ray.world.site import SiteSection

KINDS = {"home", "list", "about", "private", "article", "duplicate", "spam", "redirect", "broken", "hostile"}


@pytest.fixture(scope="module")
def web() -> LocalWeb:
    web = LocalWeb(SiteSection(pages=1200))
    web.port = 8081  # nothing is asked here
    return web


@pytest.fixture(scope="module")
def rows(web: LocalWeb) -> list[dict]:
    return list(web.truth())


def test_every_url_stands_once_with_a_kind_and_a_known_outcome(rows: list[dict]):
    pages = [row for row in rows if row["row"] == "page"]
    assert len({row["url"] for row in pages}) == len(pages)
    assert {row["kind"] for row in pages} == KINDS
    assert {row["outcome"] for row in pages} <= {outcome.value for outcome in FetchOutcome}
    assert sum(row["kind"] == "article" for row in pages) == 1200
    json.dumps(rows)


def test_every_link_of_an_ordinary_page_is_a_row_itself(rows: list[dict]):
    known = {row["url"] for row in rows if row["row"] == "page"}
    for row in rows:
        if row["row"] == "page" and row["kind"] != "private":
            assert set(row["links"]) <= known, row["url"]


def test_kept_and_dropped_texts_never_overlap(rows: list[dict]):
    for row in rows:
        if row["row"] == "page":
            assert not [phrase for phrase in row["drop"] if any(phrase in text for text in row["keep"])], row["url"]


def test_articles_have_texts_to_keep_and_to_drop(rows: list[dict], web: LocalWeb):
    for row in [row for row in rows if row.get("kind") == "article"][::50]:
        assert len(row["keep"]) >= 6
        assert len(row["drop"]) >= 5
        assert row["canonical"] == row["url"]
        host = web.site.by_name[row["host"]]
        page = web.site.find(host, row["url"].removeprefix(web.origin(host)))
        assert page is not None
        title = LexborHTMLParser(web.markup.page(page, web.origin).html).css_first("h1")
        assert title is not None
        assert title.text() == row["title"]


def test_every_test_question_has_gold_and_spam_pages(rows: list[dict], web: LocalWeb):
    by_url = {row["url"]: row for row in rows if row["row"] == "page"}
    questions = [row for row in rows if row["row"] == "question"]
    assert len(questions) == len(web.site.world.questions["test"])
    for question in questions:
        assert question["gold"], question["id"]
        assert len(question["spam"]) == 1
        for url in question["gold"]:
            row = by_url[url]
            assert row["entity"] == question["entity"]
            assert row["kind"] == "article"
            shown = [shown for _, shown in row["facts"]]
            assert has_answer("\n".join([*row["keep"], *shown, row["entity"]]), question["answers"])
        assert by_url[question["spam"][0]]["kind"] == "spam"
