"""When a span supports a sentence: a lexical rule, stated in full, that no model has a say in.

The facts of a sentence are its content words that are not in the question (all of them, if every one is). A span supports it if

1. every fact that is not written in lower case stands in the span: names, numbers, and words of scripts without case;
2. at least a share `threshold` of all its facts stands in the span;
3. every name and number of the question stands on the span's page or in its title.

This is support by words. It cannot see a negation or who did what to whom; it does see an invented name, number or place.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

import regex

from aag_ray.answer.words import content_words, words

_CASED = regex.compile(r"[\p{L}\p{M}]*\p{Lu}[\p{L}\p{M}]*|\p{N}+(?:[.,:/]\p{N}+)*")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a sentence says beyond its question: `strict` words must all be found, of `loose` ones a share."""

    strict: frozenset[str]
    loose: frozenset[str]

    @property
    def facts(self) -> frozenset[str]:
        return self.strict | self.loose

    def missing(self, span: Collection[str]) -> frozenset[str]:
        """The facts that are not among the words of a span."""
        return self.facts.difference(span)

    def share(self, span: Collection[str]) -> float:
        """The share of the facts that a span holds; 0 for a claim without any."""
        return 1 - len(self.missing(span)) / len(self.facts) if self.facts else 0.0

    def held_by(self, span: Collection[str], threshold: float) -> bool:
        """Conditions 1 and 2."""
        return bool(self.facts) and self.strict.issubset(span) and self.share(span) >= threshold


def claim(sentence: str, question: str) -> Claim:
    """The facts of a sentence of an answer to `question`. A sentence without content words claims nothing."""
    composed = unicodedata.normalize("NFKC", sentence)
    said = frozenset(content_words(composed))
    facts = said.difference(words(question)) or said
    lower = {word for word in facts if word.islower() and word not in _written_otherwise(composed)}
    return Claim(strict=facts - lower, loose=frozenset(lower))


def subjects(question: str) -> frozenset[str]:
    """Names and numbers of a question, except that its first word is capitalised anyway."""
    composed = unicodedata.normalize("NFKC", question).strip()
    _, _, rest = composed.partition(" ")
    return frozenset(word for name in _CASED.findall(rest) for word in content_words(name))


def _written_otherwise(text: str) -> frozenset[str]:
    """Case-folded words that are somewhere written with a capital."""
    return frozenset(word for name in _CASED.findall(text) for word in words(name))
