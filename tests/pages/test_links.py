"""Where a page leads: absolute, once each, and nowhere a crawler must not go."""

from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aag_ray.config import PagesSection
from aag_ray.pages.links import MAX_LINKS, read_links

HERE = "https://a.example/dir/page.html"


@pytest.mark.parametrize(
    ("href", "target"),
    [
        ("x", "https://a.example/dir/x"),
        ("/x", "https://a.example/x"),
        ("//b.example/x", "https://b.example/x"),
        ("?q=1", "https://a.example/dir/page.html?q=1"),
        (" https://b.example/a b#part ", "https://b.example/a b"),
    ],
)
def test_links_are_absolute_and_without_fragment(href: str, target: str):
    assert read_links(f'<a href="{href}">x</a>', HERE) == (target,)


_START = st.sampled_from(["", "/", "/", "//", "?", "https://h.example", "http://h:81/", "HTTP://h.example/", "http://h..x/"])
_PIECES = st.lists(
    st.sampled_from(["/", "//", ".", "..", "a", "b-c.html", "?", "x=1", "&y", "#", ";", ":", "@", "%20", "~", "é"])
)


@settings(max_examples=2000, deadline=None)
@given(
    base=st.sampled_from(["https://a.example", HERE, "http://a.example:8443/x/?y=/z", "http://[::1]:81/x"]),
    href=st.builds(lambda start, pieces: start + "".join(pieces), _START, _PIECES),
)
def test_a_link_means_what_the_standard_library_says(base: str, href: str):
    target = urldefrag(urljoin(base, href)).url
    assert read_links(f'<a href="{href}">x</a>', base) == ((target,) if urlsplit(target).hostname else ())


@pytest.mark.parametrize(
    "href", ["mailto:a@b.example", "javascript:alert(1)", "data:text/html,x", "ftp://a.example/", "http://[", "http://"]
)
def test_what_is_no_page_is_left_out(href: str):
    assert read_links(f'<a href="{href}">x</a>', HERE) == ()


def test_a_base_changes_what_relative_links_mean():
    assert read_links('<base href="/other/"><a href="x">x</a>', HERE) == ("https://a.example/other/x",)
    assert read_links('<base href="javascript:0"><a href="x">x</a>', HERE) == ("https://a.example/dir/x",)


def test_every_target_once_in_the_order_of_the_page():
    html = '<a href="b">1</a><map><area href="a"></map><a href="b#2">2</a><a>none</a>'
    assert read_links(html, HERE) == ("https://a.example/dir/b", "https://a.example/dir/a")


@pytest.mark.parametrize("content", ["nofollow", "noindex, NoFollow", "none"])
def test_a_page_that_asks_not_to_be_followed_is_not(content: str):
    assert read_links(f'<meta name="ROBOTS" content="{content}"><a href="x">x</a>', HERE) == ()


def test_a_link_that_asks_not_to_be_followed_is_not():
    html = '<a href="x" rel="external nofollow">x</a><a href="y" rel="next">y</a>'
    assert read_links(html, HERE) == ("https://a.example/dir/y",)


def test_hostile_markup_leads_nowhere():
    assert read_links("<div>" * 5000 + '<a href="x">x</a>', HERE, PagesSection(max_depth=100)) == ()
    assert len(read_links("".join(f'<a href="{n}">x</a>' for n in range(MAX_LINKS + 9)), HERE)) == MAX_LINKS
