"""What HTML may cost a parser: hostile markup is refused before it is parsed, because a parse cannot be interrupted.

Parsing is linear for what people write. It is quadratic in the depth of the tree (every start tag looks up through the open
elements), quadratic in the attributes of one tag (each is compared with those before), and formatting elements that are left
open are made anew in every later block. This is a first fence of three cheap passes over the text and sees markup as an
honest page writes it; who runs untrusted pages also gives each worker a time limit.
"""

from __future__ import annotations

import re

from aag_ray.pages.characters import words
from aag_ray.pages.page import PageOutcome

MAX_ATTRIBUTES = 500
# Nodes that formatting elements may add to what is written, as a multiple of `max_nodes`: cheap in the parser, counted after.
_NODES_MADE = 10
_TAG = re.compile(r"</?[a-zA-Z][^\s/>]*+")
_FORMATS = words("b big code em font i nobr s small strike strong tt u")
# Elements that hold nothing or that a next one closes: left open they do not make the tree deeper.
_SHALLOW = words(
    """
    area base br col embed hr img input link meta param source track wbr p li dt dd option optgroup tr td th tbody
    thead tfoot colgroup rp rt html head body script style
    """
)
_ATTRIBUTE = r"""[\s/]*+=?+[^\s/>=]++(?:\s*+=\s*+(?:"[^"]*+"?+|'[^']*+'?+|[^\s>"'][^\s>]*+)?+)?+"""
_RAW = "script|style|textarea|title|xmp"
_RAW_ELEMENT = rf"<(?i:{_RAW})(?=[\s>])[^>]*+>[^<]*+(?:<(?!/(?i:{_RAW}))[^<]*+)*+"
_ORDINARY = re.compile(
    rf"""(?:
      [^<]++ | <(?![a-zA-Z]|!--) | <!--(?:(?!-->)[^-]*+-)*+(?:->)?+ | {_RAW_ELEMENT}
    | <[a-zA-Z][^\s/>]*+ (?:{_ATTRIBUTE}){{0,{MAX_ATTRIBUTES}}}+ (?!{_ATTRIBUTE})
    )*+""",
    re.VERBOSE,
)
_RAW_TEXT = re.compile(_RAW_ELEMENT)
_FOREIGN = re.compile("<(?:svg|math)", re.IGNORECASE)


class TooMuch(Exception):
    """HTML or a tree beyond a limit. `outcome` says which one."""

    def __init__(self, outcome: PageOutcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome


def check_markup(html: str, max_characters: int, max_nodes: int, max_depth: int) -> None:
    """Raise TooMuch for HTML that is too long or that a parser would turn into too large or too deep a tree."""
    if len(html) > max_characters:
        raise TooMuch(PageOutcome.TOO_LARGE, f"{len(html)} characters of HTML, allowed are {max_characters}")
    opened = html.count("<")
    if opened > 2 * max_nodes:
        raise TooMuch(PageOutcome.TOO_MANY_NODES, f"{opened} tags, allowed are {max_nodes} nodes")
    ordinary = _ORDINARY.match(html)
    if ordinary is not None and ordinary.end() < len(html):
        raise TooMuch(PageOutcome.TOO_LARGE, f"a tag with more than {MAX_ATTRIBUTES} attributes at {ordinary.end()}")
    if opened * opened <= 4 * _NODES_MADE * max_nodes:  # even if half of them were formats made anew in the other half
        return
    tags = _TAG.findall(html)
    if not _FOREIGN.search(html):  # in a drawing the content of a script is markup
        tags = _TAG.findall(_RAW_TEXT.sub("", html))
    _check_nesting(tags, max_nodes, max_depth)


def _check_nesting(tags: list[str], max_nodes: int, max_depth: int) -> None:
    """A close tag closes only its own name, so that tags nobody opened do not hide depth."""
    left_open: dict[str, int] = {}
    depth = formats = most_formats = 0
    for tag in tags:
        closes = tag[1] == "/"
        name = tag[2:].lower() if closes else tag[1:].lower()
        if name in _SHALLOW:
            continue
        if closes:
            if not left_open.get(name):
                continue
            step = -1
        else:
            step = 1
        left_open[name] = left_open.get(name, 0) + step
        depth += step
        if name in _FORMATS:
            formats += step
            most_formats = max(most_formats, formats)
        elif depth - formats > 4 * max_depth:  # some authors forget to close; the tree itself is measured afterwards
            raise TooMuch(
                PageOutcome.TOO_DEEP, f"more than {4 * max_depth} elements are left open, allowed is a depth of {max_depth}"
            )
    if most_formats * len(tags) > _NODES_MADE * max_nodes:
        raise TooMuch(
            PageOutcome.TOO_MANY_NODES,
            f"{most_formats} formatting elements left open over {len(tags)} tags, allowed are {max_nodes} nodes",
        )
