"""What is true of the local web: for every URL what a fetcher and a cleaner should make of it, for every question its pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from aag_ray.records import Question
from aag_ray.world.articles import Article, article
from aag_ray.world.retrieval import has_answer
from aag_ray.world.site import ORDINARY, Host, Page, Site, Style
from aag_ray.world.site_markup import Rendered
from aag_ray.world.site_wording import PRIVATE
from aag_ray.world.traps import trap_paths, traps

if TYPE_CHECKING:
    from aag_ray.world.serve import LocalWeb


def page_truth(web: LocalWeb) -> Iterator[dict[str, Any]]:
    """A row for each URL: {"row": "page", "url", "host", "style", "kind", "outcome", "status", "links", "keep", "drop", …}.

    `kind` is home, list, about, article, spam, private, redirect, broken or hostile; `outcome` a value of
    `aag_ray.web.fetched.FetchOutcome` under its default limits and `web.allow`. Articles also have entity, entity_kind,
    edition, language, date, title, canonical and facts (label and text of each row of their infobox). Texts in `keep` stand
    in the page's own text, those in `drop` around it or hidden in it.
    """
    for host in (*web.site.ordinary, web.site.spam):
        yield _row(web, host, "/", "home", web.markup.home(host, web.more(host)))
        for number in range(1, web.site.lists(host) + 1):
            yield _row(web, host, f"/list/{number}", "list", web.markup.listing(host, number))
        yield _row(web, host, "/about", "about", web.markup.plain(host, "About us", ""))
        private = _row(web, host, "/private/desk", "private", web.markup.plain(host, "Staff", PRIVATE))
        yield private | {"outcome": "robots_disallowed", "links": []}
        for page in web.site.pages(host):
            yield article_truth(web, page)
        for path in web.more(host):
            if path.startswith("/go/"):
                yield _row(web, host, path, "redirect") | {"status": 301}
            elif "?" in path:
                yield article_truth(web, web.site.page(host, 0)) | {"url": web.origin(host) + path, "kind": "duplicate"}
    hostile = web.site.hostile
    yield _row(web, hostile, "/", "home") | {"links": [web.origin(hostile) + path for path in trap_paths(hostile.style)]}
    for trap in traps():
        for host in web.site.hosts:
            if host.style is trap.style:
                row = _row(web, host, trap.path, trap.kind)
                yield row | {"outcome": trap.outcome, "status": trap.status, "keep": list(trap.keep), "drop": list(trap.drop)}


def article_truth(web: LocalWeb, page: Page) -> dict[str, Any]:
    """The row of one article."""
    told, entity = article(web.site, page), web.site.entity(page)
    kind = "spam" if page.host.style is Style.SPAM else "article"
    row = _row(web, page.host, web.site.path(page), kind, web.markup.page(page, web.origin))
    return row | {
        "keep": kept(told), "entity": entity.name, "entity_kind": entity.kind, "edition": page.edition,
        "language": web.site.language(page), "date": web.site.day(page).isoformat(), "title": told.title,
        "canonical": row["url"], "facts": [[label, shown] for _, label, shown in told.facts],
    }  # fmt: skip


def kept(told: Article) -> list[str]:
    """The sentences of an article that its page must not lose: title, lead and paragraphs."""
    return [told.title, told.lead, *(text for chapter in told.chapters for text in chapter.paragraphs)]


def question_truth(web: LocalWeb) -> Iterator[dict[str, Any]]:
    """A row for each test question: {"row": "question", "id", "question", "answers", "entity", "gold", "spam"}.

    `gold` are the URLs of articles about the question's entity that state an accepted answer, `spam` those with wrong ones.
    """
    for question in web.site.world.questions["test"]:
        number = web.site.catalogue.by_name[question.id.split("-")[1], question.entity]
        gold = gold_pages(web.site, question)
        spam = web.site.about(Style.SPAM, number)
        yield {
            "row": "question", "id": question.id, "question": question.question, "answers": list(question.answers),
            "entity": question.entity, "gold": [web.url(page) for page in gold], "spam": [web.url(spam)] if spam else [],
        }  # fmt: skip


def gold_pages(site: Site, question: Question) -> list[Page]:
    """The articles of ordinary hosts about a question's entity whose text holds an accepted answer."""
    number = site.catalogue.by_name[question.id.split("-")[1], question.entity]
    pages = [page for style in ORDINARY if (page := site.about(style, number))]
    return [page for page in pages if has_answer("\n".join(article(site, page).texts()), question.answers)]


def _row(web: LocalWeb, host: Host, path: str, kind: str, rendered: Rendered | None = None) -> dict[str, Any]:
    url = web.origin(host) + path
    links = [urljoin(url, link) for link in rendered.links] if rendered else []
    return {
        "row": "page", "url": url, "host": host.name, "style": str(host.style), "kind": kind, "outcome": "ok", "status": 200,
        "links": links, "keep": [], "drop": list(rendered.boilerplate) if rendered else [],
    }  # fmt: skip
