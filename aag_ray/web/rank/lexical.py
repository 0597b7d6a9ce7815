"""Words in common: BM25 over the few texts of one question."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

import regex

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_RUN = regex.compile(rf"(?P<unspaced>(?:[{_UNSPACED}]\p{{M}}*)+)|(?:(?![{_UNSPACED}])[\p{{L}}\p{{N}}\p{{M}}])+")
_LETTER = regex.compile(r"\X")


def words(text: str) -> list[str]:
    """Case-folded words; pairs of characters in scripts without spaces, where a dictionary would be needed for words."""
    found: list[str] = []
    for run in _RUN.finditer(unicodedata.normalize("NFKC", text).casefold()):
        if not run["unspaced"]:
            found.append(run[0])
            continue
        letters = _LETTER.findall(run[0])
        found += ["".join(pair) for pair in pairwise(letters)] or letters
    return found


def question_words(query: str) -> list[str]:
    """The words of a question that say what it is about: without function words, unless there are no others.

    In a dozen texts a word as "which" may stand in one only, and would then count as the rarest of all.
    """
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    all_words = words(query)
    return [word for word in all_words if word not in STOPWORDS_EN_PLUS] or all_words


def bm25(query: str, texts: Sequence[str]) -> list[float]:
    """Each text's BM25 score for the query (Lucene's variant, k1 = 1.5, b = 0.75); 0 without a word in common."""
    import bm25s

    corpus = [words(text) for text in texts]
    asked = set(question_words(query)) & {word for each in corpus for word in each}
    if not asked:
        return [0.0] * len(texts)
    index = bm25s.BM25()
    index.index(corpus, show_progress=False)
    return [float(score) for score in index.get_scores(sorted(asked))]
