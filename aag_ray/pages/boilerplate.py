"""What on a page is not its own text: navigation, banners, teasers, sharing, comments of others.

Elements are judged by landmark, role and the words in class and id; blocks by how much of them is link. An element that is
marked like boilerplate but holds most of the page's prose is not boilerplate: wanted text goes first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from aag_ray.pages.characters import words
from aag_ray.pages.page import BlockKind, Piece


class Region(IntEnum):
    """How an element is marked. What stands in no marked element is PLAIN."""

    PLAIN = 0
    CONTENT = 1
    BOILERPLATE = 2
    MARGIN = 3
    HINT = 4


class Draft(NamedTuple):
    """A piece with what is needed to judge it: characters inside links, the region it stands in, characters of prose.

    Prose is what is outside links in a block that is long enough to be a sentence.
    """

    piece: Piece
    link_characters: int
    region: int
    prose: int

    @classmethod
    def of(cls, piece: Piece, link_characters: int, region: int) -> Draft:
        own = len(piece.text) - link_characters
        return cls(piece, link_characters, region, own if own > _SENTENCE else 0)


ROLES = words(
    """
    navigation banner contentinfo complementary search menu menubar menuitem toolbar dialog alertdialog alert
    tablist tab form button tooltip status
    """
)
LANDMARKS = {"aside": Region.HINT, "footer": Region.HINT, "header": Region.MARGIN, "form": Region.MARGIN}
LANDMARKS |= {"article": Region.CONTENT, "main": Region.CONTENT}

_ANYWHERE = r"cookie|consent|gdpr|dsgvo|breadcrumb|newsletter|sidebar|side-bar|sharedaddy|addtoany|addthis"
_AS_A_WORD = r"""
    share sharing shares shariff social(?:s|media|ize)? related(?!-to) (?:you-?)?might-also recommend\w* jp-relatedposts
    outbrain taboola nav navbar navi navigation menu\w* submenu toolbar topbar masthead footer skip-?link\w* pagination pager
    page-?links post-?nav\w* search-?(?:form|box|bar) advert\w* ads? anzeige\w* subscri\w* login signup sign-?in
    comment-?(?:s|list|form|respond|reply|area|section|body|content|meta|author|wrap\w*)? disqus\w* trackback\w* pingback\w*
    tag-?(?:list|cloud|links) cat-links affiliate\w* mw-editsection mw-jump-link navbox catlinks printfooter
"""
# Names that authors also give to text of their own: they count only where the element holds little prose.
_AS_A_HINT = r"""
    bottom-?bar foot toc banner sponsor\w* promo\w* popup modal overlay lightbox widget\w*
    infobar notice alert rating\w* vote\w*
    copyright imprint respond tags meta-?links post-?meta entry-?meta entry-?footer byline author-?(?:box|info|bio|card)
    about-?author print-?only no-?print screen-reader-text sr-only visually-?hidden hatnote search
"""


def _as_words(patterns: str) -> str:
    return rf"(?<![a-z])(?:{'|'.join(patterns.split())})(?![a-z])"


_WORDS = re.compile(f"{_ANYWHERE}|{_as_words(_AS_A_WORD)}")
_HINTS = re.compile(_as_words(_AS_A_HINT))
_CONTENT = re.compile(
    r"""(?<![a-z])(?: (?:entry|post|article|page|story|blog|news|single|text|main|node)[-_]?(?:content|body|text|inhalt)
    | articlebody | content-?(?:main|body|text|inner) | mw-parser-output | inhalt )(?![a-z])""",
    re.VERBOSE,
)
# Words that describe an element beside what it is: what a theme files it under, what it has or lacks, its variant.
_ASIDE_REMARK = re.compile(r"(?:tag|category|cat|has|no|not|with|without|is|hide|show|js|col|term|status|type|format)[-_]")
_ARTICLE_HEADER = re.compile(r"article|post|entry|single|content|title|story|head-?line", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NEVER = frozenset(("html", "body", "main", "article"))
_RESCUE_SHARE = 0.08
_RESCUED_FROM = 150
_NAMES_READ = 400
_TELLING = frozenset(("class", "id", "role", "itemprop"))
_HINTED_BELOW = 30
_TRUSTED_SHARE = 0.3
_FOCUS_SHARE = 0.8
_SAYS_SOMETHING = 60
_TEXT_ABOVE = 80
_SENTENCE = 40
# An element with this mark and fewer characters is dropped whatever else is on the page.
NEVER_KEPT_BELOW = {Region.BOILERPLATE: _RESCUED_FROM, Region.HINT: _HINTED_BELOW}


def region_of(tag: str, attributes: Mapping[str, str | None]) -> Region:
    """How an element is marked by its name, role, class and id."""
    if tag in _NEVER or _TELLING.isdisjoint(attributes):
        return LANDMARKS.get(tag, Region.PLAIN)
    classes, identity, role = attributes.get("class"), attributes.get("id"), attributes.get("role")
    if attributes.get("itemprop") == "articleBody" and (role or "").lower() not in ROLES:
        return Region.CONTENT
    return _named(tag, classes and classes[:_NAMES_READ], identity and identity[:_NAMES_READ], role and role[:_NAMES_READ])


@lru_cache(maxsize=16384)
def _named(tag: str, classes: str | None, identity: str | None, role: str | None) -> Region:
    if role and role.lower() in ROLES:
        return Region.BOILERPLATE
    if role == "main":
        return Region.CONTENT
    mark = _by_words(classes) if classes else Region.PLAIN
    if identity and (named := _by_word(identity)):
        mark = min(mark or named, named)
    if mark:
        return mark
    if tag == "header" and _ARTICLE_HEADER.search(f"{classes} {identity}"):
        return Region.PLAIN
    return LANDMARKS.get(tag, Region.PLAIN)


@lru_cache(maxsize=16384)
def _by_words(classes: str) -> Region:
    """What the first in the order of Region says of the marked words among an element's classes."""
    return min(filter(None, map(_by_word, classes.split())), default=Region.PLAIN)


@lru_cache(maxsize=65536)
def _by_word(word: str) -> Region:
    word = _CAMEL.sub("-", word).lower().partition("--")[0]
    around_content = "content" in word and ("wrap" in word or "sidebar" in word)
    if around_content or "label-hidden" in word or _ASIDE_REMARK.match(word):
        return Region.PLAIN
    if _CONTENT.search(word):
        return Region.CONTENT
    if _WORDS.search(word):
        return Region.BOILERPLATE
    return Region.HINT if _HINTS.search(word) else Region.PLAIN


def own_text(
    drafts: Sequence[Draft], regions: Sequence[tuple[int, Region]], passed_over: Sequence[int] = ()
) -> list[Piece] | None:
    """The pieces that are the page's own, in order. `regions[i]` is (its parent, how it is marked), parents first.

    `passed_over` has the characters of prose in each marked element that is not among the drafts. None if these may be the
    page itself, which must then be read with them.
    """
    prose = _prose_below(drafts, regions)
    whole = prose[0] + sum(passed_over)
    dropped, in_content = [False] * len(regions), [False] * len(regions)
    for index, (parent, mark) in enumerate(regions):
        rescued = prose[index] >= max(_RESCUED_FROM, _RESCUE_SHARE * whole)
        boilerplate = (
            (mark is Region.BOILERPLATE and not rescued)
            or (mark is Region.MARGIN and not in_content[parent] and not rescued)
            or (mark is Region.HINT and prose[index] < _HINTED_BELOW)
        )
        dropped[index] = dropped[parent] or boilerplate
        in_content[index] = in_content[parent] or mark is Region.CONTENT
    kept = [draft for draft in drafts if not dropped[draft.region]]
    # A page of which so little is left is marked otherwise than by these rules.
    if sum(draft.prose for draft in kept) < _TRUSTED_SHARE * whole:
        if passed_over:
            return None
        kept = list(drafts)
    kept = _focused(kept, regions)
    own = _with_something_below(kept)
    if passed_over and not (own or kept):
        return None
    return [draft.piece for draft in own or kept or drafts]  # a page of links alone is its links


def _prose_below(drafts: Sequence[Draft], regions: Sequence[tuple[int, Region]]) -> list[int]:
    """Characters of prose in each region and the regions inside it."""
    prose = [0] * len(regions)
    for draft in drafts:
        prose[draft.region] += draft.prose
    for index in range(len(regions) - 1, 0, -1):
        prose[regions[index][0]] += prose[index]
    return prose


def _focused(drafts: list[Draft], regions: Sequence[tuple[int, Region]]) -> list[Draft]:
    """What stands in the smallest content element with most of the prose, and the title and the prose above it."""
    prose = _prose_below(drafts, regions)
    marked = [index for index, (_, mark) in enumerate(regions) if mark is Region.CONTENT]
    focus = min((index for index in marked if prose[index] >= _FOCUS_SHARE * prose[0]), key=prose.__getitem__, default=0)
    inside = [False] * len(regions)
    inside[focus] = True
    for index in range(1, len(regions)):
        inside[index] = inside[index] or inside[regions[index][0]]
    begun = False
    kept = []
    for draft in drafts:
        title = draft.piece.kind is BlockKind.HEADING and draft.piece.level == 1
        begun = begun or inside[draft.region]
        if inside[draft.region] or (not begun and (title or draft.prose)):
            kept.append(draft)
    return kept


def _with_something_below(drafts: list[Draft]) -> list[Draft]:
    """Without blocks that are links, and without short headings over nothing or over such links.

    Headings of level 1 stay, and a paragraph that is a link in the run of the text.
    """
    kept: list[Draft] = []
    heads_something = 0  # the highest level of heading that has text of its own below it at this place; 0 is none
    for draft, above in reversed([*zip(drafts, [None, *drafts], strict=False)]):
        kind, text, level = draft.piece
        links = _is_links(draft)
        if kind is BlockKind.HEADING:
            if level > 1 and (links or (level >= heads_something and len(text) < _SAYS_SOMETHING)):
                continue
            heads_something = level
        elif links and not (kind is BlockKind.PARAGRAPH and _goes_on(draft, above)):
            heads_something = 0
            continue
        else:
            heads_something = 7
        kept.append(draft)
    return kept[::-1]


def _goes_on(link: Draft, above: Draft | None) -> bool:
    """Whether a block that is one link stands in the run of a text: right below prose, in the same element."""
    one = link.link_characters >= len(link.piece.text)
    return one and above is not None and above.region == link.region and above.prose > _TEXT_ABOVE


def _is_links(draft: Draft) -> bool:
    kind, text, _ = draft.piece
    return kind is not BlockKind.CODE and draft.link_characters > 0.85 * len(text)
