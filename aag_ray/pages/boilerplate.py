"""What on a page is not its own text: navigation, banners, teasers, sharing, comments of others.

Elements are judged by landmark, role and the words in class and id; blocks by how much of them is link. An element that is
marked like boilerplate but holds most of the page's prose is not boilerplate: wanted text goes first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from aag_ray.pages.characters import words
from aag_ray.pages.page import BlockKind, Piece


class Region(IntEnum):
    """How an element is marked. What stands in no marked element is PLAIN."""

    PLAIN = 0
    CONTENT = 1
    BOILERPLATE = 2
    MARGIN = 3
    HINT = 4


@dataclass(slots=True)
class Draft:
    """A piece with what is needed to judge it: characters inside links, and the regions it stands in."""

    piece: Piece
    link_characters: int
    region: int


ROLES = words(
    """
    navigation banner contentinfo complementary search menu menubar menuitem toolbar dialog alertdialog alert
    tablist tab form button tooltip status
    """
)
_TAGS = {"aside": Region.HINT, "footer": Region.HINT, "header": Region.MARGIN, "form": Region.MARGIN}
_TAGS |= {"article": Region.CONTENT, "main": Region.CONTENT}

_ANYWHERE = r"cookie|consent|gdpr|dsgvo|breadcrumb|newsletter|sidebar|side-bar|sharedaddy|addtoany|addthis"
_AS_A_WORD = r"""
    share sharing shares shariff social(?:s|media|ize)? related(?!-to) (?:you-?)?might-also recommend\w* jp-relatedposts
    outbrain taboola nav navbar navi navigation menu\w* submenu toolbar topbar masthead footer skip-?link\w* pagination pager
    page-?links post-?nav\w* search-?(?:form|box|bar) advert\w* ads? anzeige\w* subscri\w* login signup sign-?in
    comment-?(?:s|list|form|respond|reply|area|section|body|content|meta|author|wrap\w*)? disqus\w* trackback\w* pingback\w*
    tag-?(?:list|cloud|links) cat-links mw-editsection mw-jump-link navbox catlinks printfooter
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


_WORDS = re.compile(f"{_ANYWHERE}|{_as_words(_AS_A_WORD)}", re.IGNORECASE)
_HINTS = re.compile(_as_words(_AS_A_HINT), re.IGNORECASE)
_CONTENT = re.compile(
    r"""(?<![a-z])(?: (?:entry|post|article|page|story|blog|news|single|text|main|node)[-_]?(?:content|body|text|inhalt)
    | articlebody | content-?(?:main|body|text|inner) | mw-parser-output | inhalt )(?![a-z])""",
    re.IGNORECASE | re.VERBOSE,
)
# Words that describe an element beside what it is: what a theme files it under, what it has or lacks, its variant.
_ASIDE_REMARKS = re.compile(
    r"(?<!\S)(?:tag|category|cat|has|no|not|with|without|is|hide|show|js|col|term|status|type|format)[-_]\S*|--[\w-]+|\S*label-hidden|"
    r"\S*content\S*(?:wrap|sidebar)\S*|\S*(?:wrap|sidebar)\S*content\S*",
    re.IGNORECASE,
)
_ARTICLE_HEADER = re.compile(r"article|post|entry|single|content|title|story|head-?line", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NEVER = frozenset(("html", "body", "main", "article"))
_RESCUE_SHARE = 0.15
_RESCUED_FROM = 300
_HINTED_BELOW = 150
_TRUSTED_SHARE = 0.12
_FOCUS_SHARE = 0.8


def region_of(tag: str, attributes: Mapping[str, str | None]) -> Region:
    """How an element is marked by its name, role, class and id."""
    if tag in _NEVER:
        return _TAGS.get(tag, Region.PLAIN)
    role = attributes.get("role")
    if role and role.lower() in ROLES:
        return Region.BOILERPLATE
    if role == "main" or attributes.get("itemprop") == "articleBody":
        return Region.CONTENT
    named = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"
    if len(named) > 1 and (marked := _by_words(named[:400])) is not Region.PLAIN:
        return marked
    if tag == "header" and _ARTICLE_HEADER.search(named):
        return Region.PLAIN
    return _TAGS.get(tag, Region.PLAIN)


@lru_cache(maxsize=65536)
def _by_words(words: str) -> Region:
    words = _ASIDE_REMARKS.sub(" ", _CAMEL.sub("-", words))
    if _CONTENT.search(words):
        return Region.CONTENT
    if _WORDS.search(words):
        return Region.BOILERPLATE
    return Region.HINT if _HINTS.search(words) else Region.PLAIN


def own_text(drafts: Sequence[Draft], regions: Sequence[tuple[int, Region]]) -> list[Piece]:
    """The pieces that are the page's own, in order. `regions[i]` is (its parent, how it is marked), parents first."""
    prose = _prose_below(drafts, regions)
    dropped, in_content = [False] * len(regions), [False] * len(regions)
    for index, (parent, mark) in enumerate(regions):
        rescued = prose[index] >= max(_RESCUED_FROM, _RESCUE_SHARE * prose[0])
        boilerplate = (
            (mark is Region.BOILERPLATE and not rescued)
            or (mark is Region.MARGIN and not in_content[parent] and not rescued)
            or (mark is Region.HINT and prose[index] < _HINTED_BELOW)
        )
        dropped[index] = dropped[parent] or boilerplate
        in_content[index] = in_content[parent] or mark is Region.CONTENT
    kept = [draft for draft in drafts if not dropped[draft.region]]
    if sum(map(_prose, kept)) < _TRUSTED_SHARE * prose[0]:  # such a page is marked otherwise than by these rules
        kept = list(drafts)
    kept = _focused(kept, regions)
    own = _with_something_below(kept)
    return [draft.piece for draft in own or kept or drafts]  # a page of links alone is its links


def _prose_below(drafts: Sequence[Draft], regions: Sequence[tuple[int, Region]]) -> list[int]:
    """Characters of prose in each region and the regions inside it."""
    prose = [0] * len(regions)
    for draft in drafts:
        prose[draft.region] += _prose(draft)
    for index in range(len(regions) - 1, 0, -1):
        prose[regions[index][0]] += prose[index]
    return prose


def _focused(drafts: list[Draft], regions: Sequence[tuple[int, Region]]) -> list[Draft]:
    """What stands in the smallest content element with most of the prose, and the title and lead above it."""
    prose = _prose_below(drafts, regions)
    marked = [index for index, (_, mark) in enumerate(regions) if mark is Region.CONTENT]
    focus = min((index for index in marked if prose[index] >= _FOCUS_SHARE * prose[0]), key=prose.__getitem__, default=0)
    inside = [False] * len(regions)
    inside[focus] = True
    for index in range(1, len(regions)):
        inside[index] = inside[index] or inside[regions[index][0]]
    begun = titled = False
    kept = []
    for draft in drafts:
        title = draft.piece.kind is BlockKind.HEADING and draft.piece.level == 1
        begun = begun or inside[draft.region]
        titled = titled or title
        if inside[draft.region] or (title and not begun) or (titled and not begun and _prose(draft)):
            kept.append(draft)
    return kept


def _with_something_below(drafts: list[Draft]) -> list[Draft]:
    """Without blocks that are links, and without headings over nothing or over such links. Headings of level 1 stay."""
    kept: list[Draft] = []
    heads_something = 0  # the highest level of heading that has text of its own below it at this place; 0 is none
    for draft in reversed(drafts):
        links = _is_links(draft)
        if draft.piece.kind is BlockKind.HEADING:
            level = draft.piece.level
            if level > 1 and (links or level >= heads_something):
                continue
            heads_something = level
        elif links:
            heads_something = 0
            continue
        else:
            heads_something = 7
        kept.append(draft)
    return kept[::-1]


def _prose(draft: Draft) -> int:
    """Characters outside links in a block that is long enough to be a sentence."""
    own = len(draft.piece.text) - draft.link_characters
    return own if own > 40 else 0


def _is_links(draft: Draft) -> bool:
    kind, text, _ = draft.piece
    return kind is not BlockKind.CODE and draft.link_characters > 0.85 * len(text)
