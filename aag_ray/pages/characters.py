"""The characters that a cleaned text may hold: what a reader of the page sees, in one form.

Invisible characters can hide orders to a model inside a harmless sentence, and half a surrogate pair cannot be stored.
"""

from __future__ import annotations

import re

# Controls, soft hyphen, bidirectional overrides, word joiner and invisible operators, byte-order mark, tag characters.
# Zero-width (non-)joiners stay: Persian, Indic scripts and emoji are spelled with them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    """`text` without invisible characters; half a surrogate pair becomes U+FFFD. White space stays as it is."""
    if text.isprintable():
        return text
    return _SURROGATE.sub("\ufffd", _INVISIBLE.sub("", text))


def folded(text: str) -> str:
    """Visible text on one line, every run of white space one space."""
    line = " ".join(text.split())
    return line if line.isprintable() else " ".join(visible(text).split())


def folded_lines(text: str) -> str:
    """Visible code: lines and indentation kept, without blank lines around it and without white space at line ends."""
    lines = [line.rstrip() for line in visible(text.expandtabs(4)).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    first = next((number for number, line in enumerate(lines) if line), 0)
    return "\n".join(lines[first:])


def words(text: str) -> frozenset[str]:
    """The words of a list that is written as text."""
    return frozenset(text.split())
