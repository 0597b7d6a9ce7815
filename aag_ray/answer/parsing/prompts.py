"""What is said to a parser's model: three short tasks that one adapter learns.

rewrite: a conversation -> its last question, on its own.
decide:  a question and the day -> whether the web is needed, one word, so that its probability is the decision's.
search:  the same -> the searches.

The texts of the last two together are one JSON object in the grammar of `aag_ray.answer.parsed`: its frame and the question are
given, the model only writes what it decides.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from aag_ray.answer.parsed import MAX_CHARACTERS, MAX_QUERIES
from aag_ray.web.search.request import Freshness

TURNS = 4
TURN_CHARACTERS = 240
YES, NO = " true", " false"
_SEARCHES = ', "queries": ['
# The texts of `search_target`, without its newline: JSON as `json.dumps` writes it, of strings that hold something to see.
_LETTER, _ESCAPED = r'[^"\\\x00-\x1f\x7f-\x9f]', r'\\["\\]'
_BLANKS = r"\x20\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_TEXT = rf'"(?:{_LETTER[:-1]}{_BLANKS}]|{_ESCAPED})(?:{_LETTER}|{_ESCAPED}){{0,{MAX_CHARACTERS - 1}}}"'
_LANGUAGE = '(?:null|"[a-z]{2,3}(?:-[A-Z]{2})?")'
_FRESHNESS = f'"(?:{"|".join(["none", *Freshness])})"'
_SEARCH = rf'\{{"q": {_TEXT}, "lang": {_LANGUAGE}, "freshness": {_FRESHNESS}\}}'
SEARCHES = rf"{_SEARCH}(?:, {_SEARCH}){{0,{MAX_QUERIES - 1}}}\]\}}"


def rewrite_prompt(conversation: Sequence[tuple[str, str]]) -> str:
    """(speaker, text) pairs, of which the last few are shown, each cut to a line."""
    lines = [f"{speaker.capitalize()}: {_line(text)}" for speaker, text in conversation[-TURNS:]]
    return "\n".join(["Make the last question understandable on its own.", *lines, "Question:"])


def rewrite_target(question: str) -> str:
    return f" {_line(question)}\n"


def decide_prompt(question: str, today: date) -> str:
    """Continued by YES or NO. The day stands in words and in numbers: searches name months and years."""
    asked = json.dumps(question, ensure_ascii=False)
    return (
        f"Today is {today:%A}, {today.day} {today:%B} {today.year}. Does the request need a web search, and which?\n"
        f'{{"question": {asked}, "search":'
    )


def search_prompt(question: str, today: date) -> str:
    """Continued by `search_target`."""
    return f"{decide_prompt(question, today)}{YES}{_SEARCHES}"


def search_target(queries: Sequence[dict[str, Any]]) -> str:
    return f"{json.dumps(list(queries), ensure_ascii=False)[1:]}}}\n"


def whole_output(question: str, search: bool, written: str = "") -> str:
    """The JSON object that the frame makes with what the model wrote of its searches."""
    asked = f'{{"question": {json.dumps(question, ensure_ascii=False)}, "search":'
    return f"{asked}{YES}{_SEARCHES}{written}" if search else f'{asked}{NO}, "queries": []}}'


def _line(text: str) -> str:
    return " ".join(text.split())[:TURN_CHARACTERS]
