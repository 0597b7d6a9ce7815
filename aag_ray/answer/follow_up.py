"""Follow-up questions made to stand on their own."""

from __future__ import annotations

from typing import Protocol

from aag_ray.answer.request import AnswerRequest, Role
from aag_ray.answer.words import words

SHORT_ANSWER_WORDS = 12
_PRONOUNS = """
    he she it they him her them his hers its their theirs this that these those there then one ones former latter
"""
_POINTING = frozenset(_PRONOUNS.split())
_OPENINGS = (["and"], ["what", "about"], ["how", "about"], ["or"], ["but"])


class Rewriter(Protocol):
    """Makes the last question of a conversation understandable without the conversation."""

    async def rewrite(self, request: AnswerRequest) -> str: ...


class LastExchange:
    """Untrained, English only: a question that points back gets the last question and a short answer put in front.

    That makes good keywords and no good prose; a trained parser writes the question anew.
    """

    async def rewrite(self, request: AnswerRequest) -> str:
        asked = [turn.text for turn in request.conversation[:-1] if turn.role is Role.USER]
        said = [turn.text for turn in request.conversation[:-1] if turn.role is Role.ASSISTANT]
        if not asked or not points_back(request.question):
            return request.question
        answer = said[-1] if said and len(words(said[-1])) <= SHORT_ANSWER_WORDS else ""
        return " ".join(" ".join(filter(None, [asked[-1], answer, request.question])).split())


def points_back(question: str) -> bool:
    """Whether an English question needs what was said before: it has a pronoun, or opens as a follow-up."""
    said = words(question)
    return not _POINTING.isdisjoint(said) or any(said[: len(opening)] == opening for opening in _OPENINGS)
