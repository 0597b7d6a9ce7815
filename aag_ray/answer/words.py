"""Words as answers and spans are compared by: letters and digits, whatever their case, accents composed."""

from __future__ import annotations

import unicodedata

import regex

# Scripts without spaces count by character, all others by word.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = regex.compile(rf"[{_UNSPACED}]\p{{M}}*|\p{{N}}+(?:[.,:/]\p{{N}}+)*|(?:(?![{_UNSPACED}])[\p{{L}}\p{{M}}])+")
_GROUPED = regex.compile(r"\p{N}{1,3}(?:,\p{N}{3})+(?:\.\p{N}+)?")

# Words that carry no fact, in the languages of the embedded web. Negations do.
_FUNCTION_WORDS = """
    a an and are as at be been but by for from had has have he her his i in is it its of on or she so that the their there
    they this to was were which who with
    am auf aus bei das dem den der des die ein eine einem einen einer eines er es für hat im ist mit sie sind und von war zu zur
    au aux avec ce cette dans de des du elle en est et il la le les leur l d par pour que qui sa se son sont sur un une
    al con del e el era es esta fue la las lo los por que se su sus un una y
"""
_FUNCTION = frozenset(_FUNCTION_WORDS.split())


def words(text: str) -> list[str]:
    """The words of a text in order, NFKC and case-folded. `1,250` and `1250` are the same number."""
    found = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return [word.replace(",", "") if _GROUPED.fullmatch(word) else word for word in found]


def content_words(text: str) -> list[str]:
    """The words that carry facts."""
    return [word for word in words(text) if word not in _FUNCTION]


def stands_in(part: list[str], whole: list[str]) -> bool:
    """Whether the words of `part` follow each other in `whole`."""
    size = len(part)
    return size > 0 and any(whole[start : start + size] == part for start in range(len(whole) - size + 1))


def say_the_same(one: str, other: str) -> bool:
    """Whether one of two answers holds the other, word by word: "Lima" and "It is Lima." do, "Lima" and "Cusco" do not."""
    left, right = content_words(one), content_words(other)
    return stands_in(left, right) or stands_in(right, left)
