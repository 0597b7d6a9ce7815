"""What can be searched for, and which results a request lets back in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.web.search.request import Freshness, SearchRequest


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"query": " \n"}, "empty query"),
        ({"count": 0}, "count=0 and page=1 must be at least 1"),
        ({"page": 0}, "count=10 and page=0"),
        ({"language": "German"}, "language='German' is not a code as de or de-CH"),
        ({"language": "de_CH"}, "'de_CH'"),
        ({"freshness": "decade"}, "decade"),
        ({"include_domains": ("",)}, "'' is not a domain"),
        ({"include_domains": ("example.org OR site:evil.example",)}, "is not a domain"),
        ({"exclude_domains": ("https://example.org/x",)}, "is not a domain"),
        ({"exclude_domains": ("example.org/path",)}, "is not a domain"),
        ({"include_domains": ("a@example.org",)}, "is not a domain"),
    ],
)
def test_what_cannot_be_asked_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        SearchRequest(**{"query": "q", **values})


def test_a_query_is_one_line():
    assert SearchRequest("  capital \n of\tPeru ").query == "capital of Peru"


def test_domains_are_spelt_as_hosts_are():
    request = SearchRequest("q", include_domains=("*.Example.ORG.", "bücher.example"))
    assert request.include_domains == ("example.org", "xn--bcher-kva.example")


def test_freshness_may_be_a_word():
    assert SearchRequest("q", freshness="week").freshness is Freshness.WEEK  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("include", "exclude", "query"),
    [
        ((), (), "q"),
        (("a.example",), (), "q site:a.example"),
        (("a.example", "b.example"), (), "q site:a.example OR site:b.example"),
        ((), ("x.example", "y.example"), "q -site:x.example -site:y.example"),
        (("a.example",), ("x.a.example",), "q site:a.example -site:x.a.example"),
    ],
)
def test_domains_can_be_said_with_operators(include, exclude, query):
    assert SearchRequest("q", include_domains=include, exclude_domains=exclude).query_with_sites == query


def test_several_domains_can_be_grouped():
    assert SearchRequest("q", include_domains=("a.example", "b.example")).with_sites("({})") == (
        "q (site:a.example OR site:b.example)"
    )
    assert SearchRequest("q", include_domains=("a.example",)).with_sites("({})") == "q site:a.example"


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://example.org/", True),
        ("https://EXAMPLE.org./x", True),
        ("http://deep.sub.example.org:8080/", True),
        ("https://notexample.org/", False),
        ("https://example.org.evil.example/", False),
        ("https://evil.example/?u=example.org", False),
        ("https://example.org@evil.example/", False),
        ("https://bad.example.org/", False),
        ("https://very.bad.example.org/", False),
        ("https://xn--bcher-kva.example/", True),
        ("https://bücher.example/", True),
    ],
)
def test_a_result_belongs_to_a_domain_or_not(url, wanted):
    request = SearchRequest("q", include_domains=("example.org", "bücher.example"), exclude_domains=("bad.example.org",))
    assert request.wants(url) is wanted


LABELS = st.lists(st.text("abcxyz", min_size=1, max_size=3), min_size=2, max_size=4)


@given(LABELS, LABELS)
def test_a_host_is_wanted_exactly_if_its_labels_end_as_the_domains_do(host, name):
    request = SearchRequest("q", include_domains=(".".join(name),))
    assert request.wants(f"https://{'.'.join(host)}/") is (host[-len(name) :] == name)
