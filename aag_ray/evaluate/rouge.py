"""ROUGE-L (Lin 2004, W04-1013): how long a sequence of words, not necessarily adjacent, two texts have in common."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import regex

# Chinese and Japanese have no spaces between words: each character counts as one.
_WORDS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]|[\p{L}\p{N}\p{M}--[\p{Han}\p{Hiragana}\p{Katakana}]]+", regex.V1)


def rouge_l(prediction: str, answers: Sequence[str]) -> float:
    """F1 of the longest common subsequence of lower-case words, unstemmed, 0..1, the best over the accepted answers.

    The whole text is one sequence (sentence level). Raises ValueError without answers.
    """
    if not answers:
        raise ValueError("a question without an accepted answer cannot be scored")
    said = words(prediction)
    return max(_f1(said, words(answer)) for answer in answers)


def words(text: str) -> list[str]:
    """The words of a text in lower case without punctuation, a Chinese or Japanese character each for itself."""
    return _WORDS.findall(text.lower())


def common_length(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """The length of the longest common subsequence, by bits: one step for each item of `b` (Allison and Dix 1986)."""
    places: dict[Hashable, int] = defaultdict(int)
    for place, item in enumerate(a):
        places[item] |= 1 << place
    row = 0
    for item in b:
        reached = row | places.get(item, 0)
        row = reached & ((reached - (row << 1 | 1)) ^ reached)
    return row.bit_count()


def _f1(said: list[str], accepted: list[str]) -> float:
    return 2 * common_length(said, accepted) / (len(said) + len(accepted)) if said and accepted else 0.0
