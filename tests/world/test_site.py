"""The plan of the local web: hosts, pages, paths and days follow from numbers alone."""

from __future__ import annotations

import datetime
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aag_ray.config import RAY_PORTS
from aag_ray.world import World
from aag_ray.world.site import ORDINARY, Site, SiteSection, Style


@pytest.fixture(scope="module")
def site() -> Site:
    return Site(SiteSection(pages=1200, hosts=11))


def test_hosts_come_in_the_order_of_the_styles_and_have_addresses_of_their_own(site: Site):
    assert [host.style for host in site.ordinary] == [*ORDINARY, *ORDINARY[:3]]
    assert [host.style for host in site.hosts[11:]] == [Style.SPAM, Style.HOSTILE, Style.SEARCH]
    assert len({host.address for host in site.hosts}) == len({host.name for host in site.hosts}) == 14
    assert all(host.address.startswith("127.0.0.") for host in site.hosts)
    assert site.ordinary[8].name == "encyclopaedia-2.world.test"


def test_the_articles_are_as_many_as_asked_for_spread_evenly(site: Site):
    counts = [site.count(host) for host in site.ordinary]
    assert sum(counts) == 1200
    assert max(counts) - min(counts) <= 1


def test_every_path_leads_back_to_its_page(site: Site):
    pages = list(site.articles())
    assert len({(page.host, site.path(page)) for page in pages}) == len(pages)
    for page in pages:
        assert site.find(page.host, site.path(page)) == page
        assert site.numbered(page.number) == page


def test_a_page_about_an_entity_is_on_one_host_of_its_style(site: Site):
    for page in site.articles():
        assert site.about(page.host.style, page.entity, page.edition) == page
    assert site.about(Style.TRAVEL, site.catalogue.of_kind["element"][0]) is None


@given(
    path=st.one_of(
        st.text(), st.from_regex(r"/(wiki|post|t|data)/[a-z-]{1,12}(--[0-9]{1,30})?(/[0-9]*|\.html)?", fullmatch=True)
    )
)
def test_any_other_path_is_no_page(site: Site, path: str):
    for host in site.hosts:
        page = site.find(host, path)
        assert page is None or site.path(page) == path


@pytest.mark.parametrize("path", ["/wiki/peru/", "/wiki/Peru", "/wiki/peru--1", "/wiki/peru--0", "/wiki/peru--999999999999"])
def test_another_spelling_of_a_path_is_no_page(site: Site, path: str):
    assert all(site.find(host, path) is None for host in site.hosts)


def test_there_are_editions_when_the_entities_are_used_up():
    site = Site(SiteSection(pages=60_000, hosts=8))
    host = site.ordinary[0]
    last = site.page(host, site.count(host) - 1)
    assert last.edition == 1
    assert site.path(last).endswith("--2")
    assert site.find(host, site.path(last)) == last


def test_every_test_question_is_about_the_first_entities(site: Site, world: World):
    asked = {(row.id.split("-")[1], row.entity) for row in world.questions["test"]}
    assert {(entity.kind, entity.name) for entity in site.catalogue.entities[: len(asked)]} == asked


def test_days_go_back_from_today_and_are_mostly_recent(site: Site):
    today = site.section.today
    ages = [(today - site.day(page)).days for page in site.articles()]
    assert min(ages) >= 0
    assert max(ages) <= 2400
    assert sum(age <= 366 for age in ages) > len(ages) / 3
    assert sum(age <= 7 for age in ages) > 20


def test_mirrors_are_in_three_other_languages(site: Site):
    spoken = Counter(site.language(page) for page in site.articles())
    assert set(spoken) == {"en", "de", "fr", "es"}
    assert all(site.language(page) == "en" for page in site.articles() if page.host.style is not Style.MIRROR)


def test_another_day_or_seed_is_another_web(site: Site):
    later = Site(site.section.model_copy(update={"today": datetime.date(2026, 2, 1)}))
    page = site.page(site.ordinary[2], 5)
    assert later.day(page) - site.day(page) == datetime.timedelta(days=17)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hosts": 0}, "hosts"),
        ({"hosts": 201, "pages": 1000}, "hosts"),
        ({"pages": 7}, "pages=7 are fewer than hosts=8"),
        ({"port": 70_000}, "port"),
        ({"port": min(RAY_PORTS)}, "one of Ray's own ports"),
        ({"bias": "ads"}, "bias"),
        ({"crawl_delay": -1}, "crawl_delay"),
    ],
)
def test_an_impossible_web_is_refused(settings: dict[str, object], said: str):
    with pytest.raises(ValidationError, match=said):
        SiteSection.model_validate(settings)


def test_a_page_that_is_not_there_is_named(site: Site):
    with pytest.raises(IndexError, match=r"encyclopaedia.world.test has \d+ articles, none with the number 5000"):
        site.page(site.ordinary[0], 5000)
