"""Questions that every passage answers: how one of its sentences goes on."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from aag_ray import prompts
from aag_ray.pages.spans import sentences
from aag_ray.records import Passage

FEWEST_WORDS = 3  # with which a sentence begins
MOST_WORDS = 5  # that are asked for
OPAQUE = re.compile(r"(?<!\w)(?:\d(?:[\d.,]*\d)?|[A-Z]{2,})(?!\w)")  # numbers and capitals, which nothing but the text tells
_CLAUSE_ENDS = ".,;:!?"


def recited(passage: Passage, draw: random.Random) -> tuple[str, str] | None:
    """The beginning of one of a passage's sentences as a question, and as its answer what follows there: the words up to the
    next mark, and at most five. Half of what is asked for begins with a number or with capitals, where the sentence has any.
    None if no sentence has four words, which may be because its script has no spaces.
    """
    text = passage.text
    told = [words for start, end in sentences(text) if len(words := text[start:end].split()) > FEWEST_WORDS]
    if not told:
        return None
    words = draw.choice(told)
    places = range(FEWEST_WORDS, len(words))
    opaque = [place for place in places if OPAQUE.search(words[place])]
    begun = draw.choice(opaque if opaque and draw.random() < 0.5 else places)
    rest = _clause(words[begun : begun + MOST_WORDS])
    return (prompts.recital_question(" ".join(words[:begun]), passage.title), rest) if rest else None


def _clause(words: Sequence[str]) -> str:
    """The words up to the first that a mark ends, without that mark."""
    last = next((place for place, word in enumerate(words) if word[-1] in _CLAUSE_ENDS), len(words) - 1)
    return " ".join(words[: last + 1]).rstrip(_CLAUSE_ENDS)
