"""The tagged form, its windows, and back to the page's text."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.pages.page import BlockKind, Metadata, Page, Piece, assemble
from aag_ray.pages.spans import Span, split_spans
from aag_ray.pages.tag_output import parse_tolerant
from aag_ray.pages.tags import escape, tagged, text_of, unescape, windows

TAG = re.compile(r"</?T-\d+>")
HOSTILE = st.lists(
    st.sampled_from(
        ["<T-1>", "</T-1>", "<t-2>", "< T - 3 >", "<TAG-4>", "[T-5]", "&lt;T-1>", "&amp;lt;", "&", "<", "</", "<T", "[", "T-1>"]
    )
    | st.sampled_from(["<|im_end|>", "</Reference Materials>", "<User Query>", "a. ", "b! ", "\n", "次。"])
    | st.text(max_size=4)
).map("".join)


def page_of(*texts: str) -> Page:
    page = assemble([Piece(BlockKind.PARAGRAPH, text) for text in texts], "https://a.example/", Metadata(), 10**6).page
    assert page is not None
    return page


def words(text: str) -> int:
    return len(TAG.sub(" ", text).split())


@given(HOSTILE | st.text())
def test_escaping_is_reversible(text: str):
    assert unescape(escape(text)) == text


@given(HOSTILE)
def test_page_text_never_forms_a_tag(text: str):
    escaped = escape(text)
    assert not TAG.search(escaped)
    assert "<|" not in escaped
    assert not parse_tolerant(escaped, 10**6).numbers
    assert not re.search(r"</?\s*(?:Reference|User)", escaped, re.IGNORECASE)


@given(st.lists(HOSTILE, min_size=1, max_size=5))
def test_the_tagged_form_gives_back_the_page(texts: list[str]):
    page = assemble([Piece(BlockKind.PARAGRAPH, text) for text in texts], "", Metadata(), 10**6).page
    if page is None:
        return
    spans = split_spans(page)
    form = tagged(page, spans)
    assert unescape(TAG.sub("", form)) == page.text.strip()
    assert TAG.findall(form) == [tag for s in spans for tag in (f"<T-{s.number}>", f"</T-{s.number}>")]
    for span in spans:
        between = form.split(f"<T-{span.number}>")[1].split(f"</T-{span.number}>")[0]
        assert unescape(between) == page.text[span.start : span.end]


def test_the_form_of_the_reference():
    page = page_of("One. Two.", "Three <T-9>.")
    assert tagged(page, split_spans(page)) == "<T-1>One.</T-1> <T-2>Two.</T-2>\n<T-3>Three &lt;T-9>.</T-3>"


def test_ordinary_markup_in_code_stays_readable():
    assert escape("<table> a < b && c[0] &nbsp;") == "<table> a < b && c[0] &nbsp;"


@given(st.lists(st.integers(1, 12), min_size=1, max_size=20), st.integers(4, 40), st.data())
def test_windows_cover_every_span_within_their_limit(sizes: list[int], limit: int, data: st.DataObject):
    page = page_of(*("word " * (size - 1) + f"end{size}." for size in sizes))
    spans = split_spans(page)
    overlap = data.draw(st.integers(0, limit // 2))
    cut = list(windows(page, spans, words, limit=limit, overlap=overlap))
    assert cut[0].first == 1
    assert cut[-1].last == len(spans)
    for window in cut:
        assert window.text == tagged(page, spans[window.first - 1 : window.last])
        assert window.tokens == words(window.text)
        assert window.tokens <= limit or window.first == window.last
    for one, following in pairwise(cut):
        assert one.first < following.first <= one.last + 1
        assert following.last > one.last
        shared = spans[following.first - 1 : one.last]
        assert sum(words(page.text[s.start : s.end]) for s in shared) <= overlap


def test_windows_are_cut_between_blocks_and_overlap_by_whole_ones():
    page = page_of("One two. Three four.", "Five six.", "Seven eight nine.", "Ten eleven.")
    cut = list(windows(page, split_spans(page), words, limit=6, overlap=3))
    assert [(window.first, window.last) for window in cut] == [(1, 3), (3, 4), (4, 5)]


def test_a_block_longer_than_a_window_is_cut_between_spans():
    page = page_of("One two three. " * 4)
    assert [(w.first, w.last) for w in windows(page, split_spans(page), words, limit=7)] == [(1, 2), (3, 4)]


def test_a_span_longer_than_a_window_says_so():
    page = page_of("a b c d e f g h.")
    assert [(w.first, w.last, w.tokens) for w in windows(page, split_spans(page), words, limit=4)] == [(1, 1, 8)]


def test_a_window_counts_what_it_holds_and_not_the_sum_of_its_parts():
    page = page_of("a.", "b.", "c.")
    joined = list(windows(page, split_spans(page), len, limit=26))
    assert all(window.tokens <= 26 for window in joined)


@pytest.mark.parametrize(("limit", "overlap"), [(0, 0), (10, 6), (10, -1)])
def test_windows_that_cannot_advance_are_refused(limit: int, overlap: int):
    page = page_of("a.")
    with pytest.raises(ValueError, match=f"overlap={overlap}.*limit={limit}"):
        list(windows(page, split_spans(page), words, limit=limit, overlap=overlap))


def test_tags_back_to_text_with_gaps():
    page = page_of("One. Two. Three.", "Four.")
    spans = split_spans(page)
    assert text_of(page, spans, [2, 1]) == "One. Two."
    assert text_of(page, spans, [4, 1, 3, 3]) == "One.\n\nThree.\nFour."
    assert text_of(page, spans, [1, 4], gap=" [...] ") == "One. [...] Four."
    assert text_of(page, spans, []) == ""


def test_a_tag_that_is_not_on_the_page_is_an_error_and_never_the_whole_page():
    page = page_of("One. Two.")
    for numbers in ([0], [3], [1, 99]):
        with pytest.raises(KeyError, match=r"https://a.example/ has spans 1 to 2"):
            text_of(page, split_spans(page), numbers)


def test_no_spans_no_text():
    assert tagged(page_of("x"), ()) == ""
    assert list(windows(page_of("x"), (), words, limit=5)) == []
    assert text_of(page_of("x"), [Span(1, 0, 1, 0)], [1]) == "x"
