"""The page of cases: everything is shown, nothing is executed."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from aag_ray.evaluate.cases import render_cases


class Page(HTMLParser):
    """Which tags stand open and which text a reader sees; void elements are not closed."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.seen: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.seen.append(data)


def test_no_text_of_a_case_becomes_markup(result: dict[str, Any]) -> None:
    html = render_cases(result)
    page = Page(html)
    assert page.open == []
    assert not page.tags & {"script", "img", "b", "link", "iframe"}
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "default-src 'none'" in html


def test_a_reader_sees_the_texts_as_they_are(result: dict[str, Any]) -> None:
    text = "".join(Page(render_cases(result)).seen)
    for shown in ("<script>alert(1)</script>", "Paris · Paris & Seine", '"France"', "<b>Paris</b>", "日本の首都は?", "東京"):
        assert shown in text
    assert "Lyon" not in text


def test_right_answers_are_marked_and_empty_ones_named(result: dict[str, Any]) -> None:
    html = render_cases(result)
    assert '<dt>AAG: document + adapter</dt><dd class="right">✓ paris</dd>' in html
    assert "<dt>Oracle compressed document</dt><dd><em>nothing</em></dd>" in html
    assert html.index("<dt>Zero-shot") < html.index("<dt>AAG: document") < html.index("<dt>Oracle")


def test_documents_say_whether_they_hold_an_answer(result: dict[str, Any]) -> None:
    html = render_cases(result)
    assert "The document holds an accepted answer." in html
    assert "No document." in html


def test_a_result_without_cases_is_still_a_page() -> None:
    assert "No cases were kept." in render_cases({"systems": {"aag": {}}})
