"""Articles, lists and home pages as the HTML of their sites: 20 to 150 kilobytes, most of it not the article, as usual."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from html import escape

from aag_ray.world.articles import Article, Chapter, article
from aag_ray.world.site import LISTED, ORDINARY, Host, Page, Site, Style
from aag_ray.world.site_wording import COMMENTS, HIDDEN, SURROUNDINGS, USERS, Surroundings

Origin = Callable[[Host], str]  # "http://127.0.0.2:8081" of a host, or its name's
RECORD = 128  # characters of one record of the state that sites send along
RELATED = 6
COMMENTED = (Style.NEWS, Style.BLOG, Style.FORUM)


@dataclass(frozen=True)
class Frame:
    """What every page of a host shares. `state` and `talk` are cut to length by each page."""

    words: Surroundings
    head: str
    top: str
    bottom: str
    state: str
    talk: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rendered:
    """One page as sent, and what stands on it: hrefs as written, and texts around the article."""

    html: str
    links: tuple[str, ...]
    boilerplate: tuple[str, ...]


class Markup:
    """Writes the pages of a site. `origin` says how other hosts are called in links."""

    def __init__(self, site: Site) -> None:
        self.site = site

    @cached_property
    def frames(self) -> dict[int, Frame]:
        return {host.number: _frame(host, self.site.section.seed) for host in (*self.site.ordinary, self.site.spam)}

    def page(self, page: Page, origin: Origin) -> Rendered:
        """The HTML of an article's page."""
        told, site, host = article(self.site, page), self.site, page.host
        frame, words = self.frames[host.number], self.frames[host.number].words
        choices = random.Random(hash((site.section.seed, page.number)))
        path, listed, count = site.path(page), f"/list/{page.at // LISTED + 1}", site.count(host)
        steps = (-1, *range(1, RELATED))
        near = [site.page(host, (page.at + step) % count) for step in steps if count > 1]
        related = [(site.path(other), site.entity(other).name) for other in near]
        elsewhere = [(origin(other.host) + site.path(other), other.host.style) for other in self._elsewhere(page)]
        spam = site.about(Style.SPAM, page.entity) if host.style in COMMENTED else None
        advice = [origin(spam.host) + site.path(spam)] if spam else []
        said = choices.randrange(len(frame.talk)) if host.style is not Style.STATISTICS else 0
        *_, advert, share, more, comments = words.classes
        language = site.language(page)
        parts = [
            f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n',
            _head(told, words, f"{origin(host)}{path}", site.day(page).isoformat(), language),
            frame.head, frame.top,
            f'<div class="breadcrumb"><a href="/">Home</a> &rsaquo; <a href="{listed}">{listed[1:]}</a> &rsaquo; ',
            f"<span>{escape(told.name)}</span></div>\n",
            _body(told, words, site.day(page).strftime("%-d %B %Y"), f'<div class="{advert}">{words.advert}</div>\n'),
            f'<div class="{share}">{words.share}</div>\n',
            f'<div class="{more}"><h2>{words.related}</h2><ul>',
            *(f'<li><a href="{href}">{escape(name)}</a></li>' for href, name in related),
            *(f'<li><a class="external" href="{href}">{name}</a></li>' for href, name in elsewhere),
            f'</ul></div>\n<div class="{comments}" id="comments"><h2>{words.comments}</h2>\n',
            *frame.talk[:said],
            *(f'<div class="comment"><p>See <a rel="nofollow ugc" href="{href}">here</a>.</p></div>\n' for href in advice),
            "</div>\n", frame.bottom,
            '<script id="state" type="application/json">[', frame.state[: choices.randint(40, 700) * RECORD], "{}]</script>\n",
            "</body>\n</html>\n",
        ]  # fmt: skip
        links = ("/", listed, *(href for href, _ in (*related, *elsewhere)), *advice, *_CHROME)
        texts = (words.cookie, words.advert, words.share, words.footer, HIDDEN, *COMMENTS[: min(said, 3)])
        return Rendered("".join(parts), tuple(dict.fromkeys(links)), texts)

    def listing(self, host: Host, number: int) -> Rendered:
        """The `number`-th page (from 1) of a host's list of articles. Raises IndexError if there is none."""
        site, last = self.site, self.site.lists(host)
        if not 1 <= number <= last:
            raise IndexError(f"{host.name} has {last} list pages, none with the number {number}")
        begin = (number - 1) * LISTED
        pages = [site.page(host, index) for index in range(begin, min(begin + LISTED, site.count(host)))]
        rows = [(site.path(page), site.entity(page).name) for page in pages]
        near = {number - 1, number + 1, 1, last, *range(10, last, 10)} - {number}
        steps = [(f"/list/{at}", str(at)) for at in sorted(near) if 1 <= at <= last]
        return self._links(host, f"All pages, {number} of {last}", rows, steps)

    def home(self, host: Host, more: tuple[str, ...] = ()) -> Rendered:
        """A host's front page, with links to `more`."""
        site = self.site
        newest = [site.page(host, index) for index in range(min(10, site.count(host)))]
        rows = [(site.path(page), site.entity(page).name) for page in newest] + [(href, href.strip("/")) for href in more]
        return self._links(host, f"Welcome to {self.frames[host.number].words.site}", rows, [("/list/1", "All pages")])

    def plain(self, host: Host, title: str, text: str) -> Rendered:
        """A page of a host with one paragraph."""
        return self._links(host, title, [], [], text)

    def _links(
        self, host: Host, title: str, rows: list[tuple[str, str]], steps: list[tuple[str, str]], text: str = ""
    ) -> Rendered:
        frame = self.frames[host.number]
        parts = [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f"<title>{escape(title)} | {escape(frame.words.site)}</title>\n{frame.head}{frame.top}",
            f"<main><h1>{escape(title)}</h1>\n",
            f"<p>{escape(text)}</p>\n" if text else "", "<ul>\n",
            *(f'<li><a href="{href}">{escape(name)}</a></li>\n' for href, name in rows),
            '</ul></main>\n<div class="pagination">', *(f'<a href="{href}">{name}</a> ' for href, name in steps),
            f"</div>\n{frame.bottom}</body>\n</html>\n",
        ]  # fmt: skip
        links = tuple(dict.fromkeys((*(href for href, _ in (*rows, *steps)), *_CHROME)))
        return Rendered("".join(parts), links, (frame.words.cookie, frame.words.footer))

    def _elsewhere(self, page: Page) -> list[Page]:
        """Pages of the next two styles about the same entity."""
        if page.host.style not in ORDINARY:
            return []
        at = ORDINARY.index(page.host.style)
        others = (self.site.about(ORDINARY[(at + step) % len(ORDINARY)], page.entity) for step in (1, 2, 3))
        return [other for other in others if other is not None]


_CHROME = ("/", "/list/1", "/about", "/private/desk")


def _frame(host: Host, seed: int) -> Frame:
    words = SURROUNDINGS[host.style]
    choices = random.Random(hash((seed, host.number, 1)))
    nav, cookie, *_ = words.classes
    rules = "".join(
        f".{host.style}-{number}{{margin:{choices.randrange(40)}px;color:#{choices.randrange(2**24):06x};display:block}}\n"
        for number in range(choices.randint(150, 700))
    )
    head = (
        f'<meta name="viewport" content="width=device-width">\n<style>\n{rules}</style>\n</head>\n<body class="{host.style}">\n'
    )
    menu = "".join(f'<li><a href="{href}">{name}</a></li>' for href, name in zip(_CHROME, _MENU, strict=True))
    top = (
        f'<a class="skip-link" href="#content">Skip to content</a>\n<header class="masthead"><b>{words.site}</b>\n'
        f'<nav class="{nav}"><ul>{menu}</ul></nav></header>\n'
        f'<div class="{cookie}"><p>{words.cookie}</p><button>OK</button></div>\n'
        f'<div style="display:none">{HIDDEN}</div><noscript><p>Please enable JavaScript.</p></noscript><!-- build {seed} -->\n'
    )
    bottom = f'<footer class="site-footer"><p>{words.footer}</p></footer>\n<script>window.ready=1;</script>\n'
    records = (f'{{"id":{number},"key":"{choices.getrandbits(128):032x}"' for number in range(701))
    state = "".join(f"{record:<{RECORD - 2}}}}," for record in records)
    talk = tuple(
        f'<div class="comment" id="c{number}"><div class="comment-author">{choices.choice(USERS)}</div>'
        f'<div class="comment-body"><p>{COMMENTS[number % len(COMMENTS)]}</p></div>'
        f'<a class="vote" href="#c{number}">Like</a></div>\n'
        for number in range(2 * len(COMMENTS))
    )
    return Frame(words, head, top, bottom, state, talk)


_MENU = ("Home", "All pages", "About us", "Staff")


def _head(told: Article, words: Surroundings, url: str, day: str, language: str) -> str:
    title, lead = escape(told.title), escape(told.lead)
    linked = {
        "@context": "https://schema.org", "@type": "Article", "headline": told.title, "datePublished": day,
        "inLanguage": language, "mainEntityOfPage": url, "publisher": {"@type": "Organization", "name": words.site},
    }  # fmt: skip
    described = json.dumps(linked).replace("</", "<\\/")
    return (
        f'<title>{title} | {words.site}</title>\n<link rel="canonical" href="{url}">\n'
        f'<meta name="description" content="{lead}">\n'
        f'<meta property="og:title" content="{title}">\n<meta property="og:type" content="article">\n'
        f'<meta property="og:url" content="{url}">\n<meta property="og:locale" content="{language}">\n'
        f'<meta property="article:published_time" content="{day}T08:00:00Z">\n'
        f'<script type="application/ld+json">{described}</script>\n'
    )


def _body(told: Article, words: Surroundings, day: str, advert: str) -> str:
    """The article itself, with an advertisement in its middle."""
    chapters = [_chapter(chapter) for chapter in told.chapters]
    parts = [
        f'<main id="content"><article class="{words.classes[3]}">\n<h1>{escape(told.title, False)}</h1>\n',
        f'<p class="byline">{day}</p>\n', _infobox(told, words), f"<p>{escape(told.lead, False)}</p>\n",
        *chapters[:2], advert, *chapters[2:], "</article></main>\n",
    ]  # fmt: skip
    return "".join(parts)


def _infobox(told: Article, words: Surroundings) -> str:
    name, rows = words.classes[2], [(label, escape(shown, False)) for _, label, shown in told.facts]
    if words.infobox == "table":
        cells = "".join(f'<tr><th scope="row">{label}</th><td>{shown}</td></tr>\n' for label, shown in rows)
        return f'<table class="{name}"><caption>{escape(told.name, False)}</caption>\n{cells}</table>\n' if rows else ""
    if words.infobox == "dl":
        return f'<dl class="{name}">\n{"".join(f"<dt>{label}</dt><dd>{shown}</dd>" for label, shown in rows)}</dl>\n'
    items = "".join(f"<li><b>{label}:</b> {shown}</li>\n" for label, shown in rows)
    return f'<ul class="{name}">\n{items}</ul>\n' if rows else ""


def _chapter(chapter: Chapter) -> str:
    text = "".join(f"<p>{escape(paragraph, False)}</p>\n" for paragraph in chapter.paragraphs)
    if chapter.table:
        header, *rows = chapter.table
        top = "".join(f"<th>{cell}</th>" for cell in header)
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell, False)}</td>' for cell in row)}</tr>\n" for row in rows)
        text += f"<table><thead><tr>{top}</tr></thead><tbody>\n{body}</tbody></table>\n"
    return f"<h2>{escape(chapter.heading, False)}</h2>\n{text}"
