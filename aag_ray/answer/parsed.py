"""What a parser says of a request: whether the web is needed, what to search for, and the question on its own.

{"question": str, "search": bool, "queries": [{"q": str, "lang": str | null, "freshness": "none" | "day" | …}]}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aag_ray.web.search.request import LANGUAGE, Freshness, SearchRequest

MAX_QUERIES = 4
MAX_CHARACTERS = 400


class ParseOutcome(StrEnum):
    """PARSED by a model; UNTRAINED by rules that nobody trained; FELL_BACK to searching with the raw question."""

    PARSED = "parsed"
    UNTRAINED = "untrained"
    FELL_BACK = "fell_back"


class ParseError(ValueError):
    """An output that is not in the grammar. The message says where."""


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """`question` stands on its own. `needed` is the probability that the web is needed, None where nobody estimated it;
    `log_odds` what a trained parser's model says of the question alone, before memory's answer is weighed. The tokens are those
    that a model read and wrote for all of it."""

    question: str
    search: bool
    queries: tuple[SearchRequest, ...] = ()
    outcome: ParseOutcome = ParseOutcome.PARSED
    detail: str = ""
    needed: float | None = None
    log_odds: float | None = None
    prompt_tokens: int = 0
    new_tokens: int = 0

    @property
    def time_sensitive(self) -> bool:
        return any(query.freshness is not None for query in self.queries)

    def to_row(self) -> dict[str, Any]:
        shown = [{"q": each.query, "lang": each.language, "freshness": each.freshness or "none"} for each in self.queries]
        return {
            "question": self.question, "search": self.search, "queries": shown,
            "outcome": self.outcome.value, "detail": self.detail, "needed": self.needed,
        }  # fmt: skip


def read_parsed(output: str) -> ParsedRequest:
    """Read a model's output strictly: one JSON object in the grammar and nothing beside it. Raises ParseError."""
    try:
        value = json.loads(output)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"not JSON: {error}") from None
    _keys(value, {"question", "search", "queries"}, "the object")
    question, search, queries = value["question"], value["search"], value["queries"]
    if not isinstance(search, bool):
        raise ParseError(f"search must be true or false, not {search!r}")
    if not isinstance(queries, list) or len(queries) > MAX_QUERIES:
        raise ParseError(f"queries must be a list of at most {MAX_QUERIES}")
    if search and not queries:
        raise ParseError("search is true but there are no queries")
    return ParsedRequest(_text(question, "question"), search, tuple(_query(each) for each in queries))


def fallback(question: str, detail: str) -> ParsedRequest:
    """Search with the raw question: what is done when a parser fails."""
    return ParsedRequest(question, True, (SearchRequest(question[:MAX_CHARACTERS]),), ParseOutcome.FELL_BACK, detail)


def _query(value: Any) -> SearchRequest:
    _keys(value, {"q", "lang", "freshness"}, "a query")
    language, freshness = value["lang"], value["freshness"]
    if language is not None and (not isinstance(language, str) or not LANGUAGE.fullmatch(language)):
        raise ParseError(f"lang={language!r} is not null or a code as de or de-CH")
    if freshness != "none" and freshness not in list(Freshness):
        raise ParseError(f"freshness={freshness!r} is none of none, {', '.join(Freshness)}")
    return SearchRequest(
        _text(value["q"], "q"), language=language, freshness=None if freshness == "none" else Freshness(freshness)
    )


def _keys(value: Any, names: set[str], what: str) -> None:
    if not isinstance(value, dict) or set(value) != names:
        found = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise ParseError(f"{what} must have the keys {', '.join(sorted(names))}, not {found}")


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_CHARACTERS:
        raise ParseError(f"{name} must be text of 1 to {MAX_CHARACTERS} characters, not {str(value)[:40]!r}")
    return value.strip()
