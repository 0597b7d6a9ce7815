"""Pages as HTML: real in size and shape, the article and nothing else as their own text, links that are all known."""

from __future__ import annotations

import json
import re

import pytest
from selectolax.lexbor import LexborHTMLParser, LexborNode

from aag_ray.world.articles import article
from aag_ray.world.site import Host, Page, Site, SiteSection
from aag_ray.world.site_markup import Markup


@pytest.fixture(scope="module")
def markup() -> Markup:
    return Markup(Site(SiteSection(pages=400)))


def origin(host: Host) -> str:
    return f"http://{host.address}:8081"


def some(markup: Markup) -> list[Page]:
    return [page for host in (*markup.site.ordinary, markup.site.spam) for page in list(markup.site.pages(host))[::7]]


def parsed(html: str) -> LexborHTMLParser:
    tree = LexborHTMLParser(html)
    tree.strip_tags(["script", "style"])
    return tree


def first(tree: LexborHTMLParser, selector: str) -> LexborNode:
    node = tree.css_first(selector)
    assert node is not None, selector
    return node


def test_pages_have_the_size_of_real_ones(markup: Markup):
    sizes = [len(markup.page(page, origin).html.encode()) for page in some(markup)]
    assert min(sizes) >= 20_000
    assert max(sizes) <= 150_000
    assert 40_000 < sum(sizes) / len(sizes) < 110_000


def test_every_text_of_the_article_is_shown(markup: Markup):
    for page in some(markup):
        text = " ".join(first(parsed(markup.page(page, origin).html), "article").text(separator=" ").split())
        told = article(markup.site, page)
        for sentence in (told.title, told.lead, *(text for chapter in told.chapters for text in chapter.paragraphs)):
            assert sentence in text


def test_boilerplate_is_on_the_page_and_not_in_the_article(markup: Markup):
    for page in some(markup):
        rendered = markup.page(page, origin)
        own = "\n".join(article(markup.site, page).texts())
        everything = first(parsed(rendered.html), "body").text(separator=" ")
        for phrase in rendered.boilerplate:
            assert phrase in everything
            assert phrase not in own


def test_declared_links_are_those_in_the_html(markup: Markup):
    host = markup.site.ordinary[0]
    pages = [markup.page(page, origin) for page in some(markup)]
    for rendered in (*pages, markup.home(host), markup.listing(host, 1), markup.plain(host, "About", "Text")):
        hrefs = [node.attributes.get("href") or "" for node in LexborHTMLParser(rendered.html).css("a[href]")]
        assert {href for href in hrefs if not href.startswith("#")} == set(rendered.links)


def test_a_page_says_in_its_head_what_it_is(markup: Markup):
    for page in some(markup):
        html, site = markup.page(page, origin).html, markup.site
        tree = LexborHTMLParser(html)
        url, day = origin(page.host) + site.path(page), site.day(page).isoformat()
        linked = json.loads(first(tree, "script[type='application/ld+json']").text())
        assert first(tree, "link[rel=canonical]").attributes["href"] == linked["mainEntityOfPage"] == url
        assert linked["datePublished"] == day
        assert (first(tree, "meta[property='article:published_time']").attributes["content"] or "").startswith(day)
        assert first(tree, "html").attributes["lang"] == site.language(page)
        assert first(tree, "meta[property='og:title']").attributes["content"] == article(site, page).title


def test_state_that_sites_send_along_is_json(markup: Markup):
    for page in some(markup)[::5]:
        state = re.search(r'id="state" type="application/json">(.*?)</script>', markup.page(page, origin).html, re.DOTALL)
        assert state is not None
        assert len(json.loads(state[1])) > 40


def test_pagination_reaches_every_list_and_lists_reach_every_article():
    markup = Markup(Site(SiteSection(pages=1700, hosts=1)))
    site, host = markup.site, markup.site.ordinary[0]
    seen, waiting = set(), [1]
    found: set[str] = set()
    while waiting:
        number = waiting.pop()
        if number not in seen:
            seen.add(number)
            links = markup.listing(host, number).links
            waiting += [int(link.removeprefix("/list/")) for link in links if link.startswith("/list/")]
            found |= set(links)
    assert seen == set(range(1, site.lists(host) + 1))
    assert {site.path(page) for page in site.pages(host)} <= found
    with pytest.raises(IndexError, match="has 34 list pages, none with the number 35"):
        markup.listing(host, 35)


def test_the_same_page_is_the_same_bytes_in_another_process_too(markup: Markup):
    again = Markup(Site(markup.site.section))
    for page in some(markup):
        assert markup.page(page, origin).html == again.page(page, origin).html
