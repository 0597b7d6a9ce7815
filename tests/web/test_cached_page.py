"""How long a page may be used without asking, and what a cache keeps of it."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.web.cached_page import CachedPage, fresh_seconds
from aag_ray.web.fetched import FetchOutcome

NOW = 1_800_000_000.0


def date(offset: float) -> str:
    return formatdate(NOW + offset, usegmt=True)


FRESHNESS = [
    ({}, 77.0),
    ({"Cache-Control": "max-age=60"}, 60.0),
    ({"cache-control": "PUBLIC, Max-Age=60"}, 60.0),
    ({"Cache-Control": 'max-age="60"'}, 60.0),
    ({"Cache-Control": "max-age=60, s-maxage=5"}, 5.0),
    ({"Cache-Control": "max-age=60", "Age": "50"}, 10.0),
    ({"Cache-Control": "max-age=60", "Age": "500"}, 0.0),
    ({"Cache-Control": "max-age=never"}, 0.0),
    ({"Cache-Control": "max-age=-1"}, 0.0),
    ({"Cache-Control": "no-cache, max-age=60"}, 0.0),
    ({"Cache-Control": "no-store"}, None),
    ({"Cache-Control": "max-age=60, no-store"}, None),
    ({"Cache-Control": "private"}, None),
    ({"Vary": "*"}, None),
    ({"Vary": "Accept-Encoding"}, 77.0),
    ({"Expires": date(90), "Date": date(0)}, 90.0),
    ({"Expires": date(-90), "Date": date(0)}, 0.0),
    ({"Expires": "0"}, 0.0),
    ({"Expires": date(90), "Date": date(0), "Cache-Control": "max-age=5"}, 5.0),
]


@pytest.mark.parametrize(("headers", "seconds"), FRESHNESS, ids=str)
def test_freshness_is_what_the_server_said(headers: dict[str, str], seconds: float | None):
    assert fresh_seconds(tuple(headers.items()), 77.0) == seconds


header_text = st.text(st.characters(codec="utf-8"), max_size=30)


@given(st.dictionaries(st.sampled_from(["cache-control", "expires", "date", "age", "vary"]), header_text))
def test_any_headers_have_a_freshness(headers: dict[str, str]):
    fresh = fresh_seconds(tuple(headers.items()), 77.0)
    assert fresh is None or fresh >= 0


pages = st.builds(
    CachedPage,
    final_url=st.text(max_size=50),
    status=st.integers(200, 299),
    headers=st.lists(st.tuples(header_text, header_text), max_size=5).map(tuple),
    fetched_at=st.floats(0, 4e9),
    checked_at=st.floats(0, 4e9),
    fresh_until=st.floats(0, 4e9),
    body=st.binary(max_size=300),
    record=st.text(max_size=20),
)


@given(pages)
def test_a_page_comes_back_from_its_bytes(page: CachedPage):
    assert CachedPage.unpack(page.pack()) == page


def test_a_page_is_given_out_as_fetched_from_a_cache():
    page = CachedPage("http://a.example/end", 200, (("Content-Type", "text/html"),), 1.0, 2.0, 3.0, b"<p>x", "w:0:1")
    fetched = page.fetched("http://a.example/")
    assert fetched.outcome is FetchOutcome.OK
    assert (fetched.url, fetched.final_url) == ("http://a.example/", "http://a.example/end")
    assert (fetched.content_type, fetched.body, fetched.record) == ("text/html", b"<p>x", "w:0:1")
    assert fetched.from_cache


def test_validators_become_conditions():
    page = CachedPage("u", 200, (("ETag", '"a"'), ("LAST-MODIFIED", "yesterday")), 0, 0, 0)
    assert page.conditions == {"If-None-Match": '"a"', "If-Modified-Since": "yesterday"}
    assert CachedPage("u", 200, (("ETag", "a\r\nX: y"),), 0, 0, 0).conditions == {}


def test_a_304_replaces_what_it_says_anew_and_keeps_the_rest():
    page = CachedPage("u", 200, (("ETag", '"a"'), ("Content-Type", "text/html")), 1.0, 1.0, 1.0, b"x")
    renewed = page.renewed((("etag", '"b"'), ("Cache-Control", "max-age=9"), ("Content-Length", "0")), 100.0, 77.0)
    assert dict(renewed.headers) == {"Content-Type": "text/html", "etag": '"b"', "Cache-Control": "max-age=9"}
    assert (renewed.fetched_at, renewed.checked_at, renewed.fresh_until) == (1.0, 100.0, 109.0)
    assert renewed.body == b"x"
