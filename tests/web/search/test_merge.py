"""Several lists as one: each page once, with every engine's rank."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from aag_ray.web.search.answer import SearchResult
from aag_ray.web.search.merge import merged
from aag_ray.web.urls import canonical_url


def results(engine: str, *urls: str) -> list[SearchResult]:
    return [SearchResult(url, url, engine, rank, engine, ranks=((engine, rank),)) for rank, url in enumerate(urls, 1)]


def test_two_spellings_of_a_url_are_one_page():
    ours = results("a", "https://Example.org:443/x?b=2&a=1&utm_source=a#top", "https://other.example/")
    theirs = results("b", "https://third.example/", "https://example.org/x?a=1&b=2")
    first, *others = merged([ours, theirs])
    assert first.url == ours[0].url
    assert first.ranks == (("a", 1), ("b", 2))
    assert first.rank == 1
    assert [(other.url, other.rank, other.ranks) for other in others] == [
        ("https://third.example/", 2, (("b", 1),)),
        ("https://other.example/", 3, (("a", 2),)),
    ]


def test_what_one_engine_leaves_out_another_may_know():
    ours = SearchResult("https://x.example/", "", "short", 1, "a", None, 0.5, (("a", 1),))
    theirs = SearchResult("https://x.example/", "Title", "a longer snippet", 4, "b", date(2024, 1, 2), None, (("b", 4),))
    (page,) = merged([[ours], [theirs]])
    assert (page.title, page.snippet, page.published, page.engine, page.score) == (
        "Title",
        "a longer snippet",
        date(2024, 1, 2),
        "a",
        0.5,
    )


def test_a_page_that_an_engine_has_twice_keeps_its_better_rank():
    (page,) = merged([results("a", "https://x.example/#one", "https://x.example/#two")])
    assert page.ranks == (("a", 1),)


def test_one_list_keeps_its_order():
    urls = [f"https://{number}.example/" for number in range(20)]
    assert [page.url for page in merged([results("a", *urls)])] == urls


URLS = st.sampled_from([f"http://{host}.example/{path}" for host in "abc" for path in ("", "x", "x#y", "x?utm_id=1")])


@given(st.lists(st.lists(URLS, max_size=6), max_size=4))
def test_nothing_is_lost_nothing_comes_twice(lists):
    every = [results(f"e{number}", *urls) for number, urls in enumerate(lists)]
    pages = merged(every)
    keys = [canonical_url(page.url) for page in pages]
    assert set(keys) == {canonical_url(url) for urls in lists for url in urls}
    assert len(set(keys)) == len(keys)
    assert [page.rank for page in pages] == list(range(1, len(pages) + 1))
    found = {(engine, key) for page, key in zip(pages, keys, strict=True) for engine, _ in page.ranks}
    assert found == {(result.engine, canonical_url(result.url)) for each in every for result in each}
