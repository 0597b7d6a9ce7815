"""What is on a page beside its own text goes; the text itself stays, whatever its theme calls it."""

import pytest

from aag_ray.pages.blocks import read_page
from aag_ray.pages.boilerplate import Region, region_of

PROSE = "This sentence is the page's own text and it is long enough to be taken for prose by anybody who reads it. "


def texts(body: str) -> list[str]:
    page = read_page(f"<!doctype html><body>{body}").page
    return [] if page is None else [page.text_of(block) for block in page.blocks]


def page_around(extra: str) -> str:
    return " ".join(texts(f"<h1>Title</h1><div><p>{PROSE * 4}</p>{extra}<p>{PROSE * 4}</p></div>"))


UNWANTED = [
    "<div class='cookie-banner'>UNWANTED we use cookies on this site and you may accept all of them</div>",
    "<div id='onetrust-consent-sdk'>UNWANTED</div>",
    "<div class='social-share'>UNWANTED</div>",
    "<ul class='breadcrumb'><li>UNWANTED</ul>",
    "<aside><p>UNWANTED</p></aside>",
    "<footer><p>UNWANTED</p></footer>",
    "<div role='navigation'>UNWANTED</div>",
    "<section class='relatedArticles'><h2>UNWANTED</h2><p>UNWANTED other text</p></section>",
    "<div id='comments'><p>UNWANTED I think so too, and so does everybody else who has ever been there.</p></div>",
    "<form class='newsletter-signup'>UNWANTED</form>",
    "<h2>UNWANTED More on this</h2><ul><li><a href=/x>UNWANTED another article</a></ul>",
    "<p><a href=/1>UNWANTED one</a> | <a href=/2>UNWANTED two</a></p>",
    "<h3>UNWANTED nothing below</h3><h3>UNWANTED again</h3><h2>Next</h2>",
]


@pytest.mark.parametrize("extra", UNWANTED)
def test_boilerplate_goes(extra: str):
    found = page_around(extra)
    assert "UNWANTED" not in found
    assert found.count(PROSE.strip()) == 8


WANTED = [
    "<article class='post tag-menu category-newsletter has-sidebar'><p>WANTED</p></article>",
    "<div class='field--label-hidden'><p>WANTED</p></div>",
    "<div class='text-shadow'><p>WANTED</p></div>",
    "<section class='Section--Ads'><p>WANTED</p></section>",
    "<div class='content-sidebar-wrap'><p>WANTED</p></div>",
    "<p>WANTED A sentence with <a href=/x>a link in the middle of it</a>, as sentences on the web have them.</p>",
    "<h2>WANTED A heading</h2><p>with text below it</p>",
    "<header class='entry-header'><p>WANTED</p></header>",
    "<ul><li>WANTED short</ul>",
    "<pre><a href=/x>WANTED</a></pre>",
]


@pytest.mark.parametrize("extra", WANTED)
def test_the_page_s_own_text_stays(extra: str):
    assert "WANTED" in page_around(extra)


def test_an_element_that_holds_most_of_the_prose_is_not_boilerplate_whatever_its_name():
    assert PROSE.strip() in " ".join(texts(f"<div class='sidebar widget'><p>{PROSE * 10}</p></div><p>{PROSE}</p>"))


def test_a_content_element_with_most_of_the_prose_is_the_page_with_its_title_and_lead():
    body = (
        f"<p>Before.</p><h1>Title</h1><p>Lead. {PROSE}</p><p>12 May</p><div class='article-body'><p>{PROSE * 9}</p></div>"
        "<div><p>A teaser of something else.</p></div>"
    )
    assert [text[:5] for text in texts(body)] == ["Title", "Lead.", "This "]


def test_the_header_of_a_page_goes_and_that_of_an_article_stays():
    assert "Brand" not in " ".join(texts(f"<header>Brand</header><p>{PROSE}</p>"))
    assert "Lead" in " ".join(texts(f"<article><header><p>Lead</p></header><p>{PROSE}</p></article>"))


def test_a_page_of_links_alone_is_its_links():
    assert texts("<ul><li><a href=/1>First</a><li><a href=/2>Second</a></ul>") == ["First", "Second"]


@pytest.mark.parametrize("tag", ["html", "body", "main", "article"])
def test_the_page_itself_is_never_boilerplate(tag: str):
    assert region_of(tag, {"class": "sidebar cookie menu", "id": "footer"}) is not Region.BOILERPLATE


def test_names_in_camel_case_are_words():
    assert region_of("div", {"class": "siteFooter"}) is Region.BOILERPLATE
    assert region_of("div", {"class": "footerless"}) is Region.PLAIN


def test_a_lead_above_the_content_element_is_the_page_s_own_without_any_title():
    assert texts(f"<p>Lead. {PROSE}</p><div class='article-body'><p>{PROSE * 9}</p></div>")[0].startswith("Lead.")


def test_a_link_in_the_run_of_the_text_stays_and_a_row_of_links_goes():
    link, row = (
        "<p><a href=/x>WANTED essay</a></p>",
        "<p><a href=/y>UNWANTED first</a> | <a href=/z>the second</a></p>",
    )
    found = texts(f"<div><p>{PROSE * 4}</p>{link}<p>{PROSE}</p>{row}</div>")
    assert "WANTED essay" in found
    assert "UNWANTED" not in " ".join(found)


def test_a_heading_that_is_a_sentence_stays_with_nothing_below_it():
    deck = "The mayor said on Friday that the bridge will be open again before the winter"
    assert deck in texts(f"<h1>Title</h1><h2>{deck}</h2><h2>Short</h2><h2>Next</h2><p>{PROSE * 3}</p>")


def test_words_around_boilerplate_inside_a_sentence_keep_the_sentence_whole():
    assert texts("<p>Please <a class=login href=/l>log in</a> to read on.</p>") == ["Please log in to read on."]


@pytest.mark.parametrize("mark", ["class=sidebar", "role=banner", "class=comments"])
def test_a_page_in_which_all_is_marked_as_boilerplate_is_read_with_it(mark: str):
    assert texts(f"<div {mark}><p>Short and all there is.</p></div><div {mark}><p>And this.</p></div>") == [
        "Short and all there is.",
        "And this.",
    ]


@pytest.mark.parametrize(
    ("name", "region"),
    [
        ("tag-menu", Region.PLAIN),
        ("content-wrap", Region.PLAIN),
        ("article__sidebar--left", Region.BOILERPLATE),
        ("block--sidebar", Region.PLAIN),
        ("siteNav", Region.BOILERPLATE),
        ("widget", Region.HINT),
    ],
)
def test_each_word_of_a_class_is_judged_alone_and_the_best_for_the_text_decides(name: str, region: Region):
    assert region_of("div", {"class": f"row {name} col-8"}) is region
    assert region_of("div", {"class": f"entry-content {name}"}) is Region.CONTENT
    assert region_of("div", {"class": "row", "id": name}) is region
