"""What is asked: a conversation, the mode, what it may cost, and where the web may be searched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from aag_ray.config import BudgetSection
from aag_ray.web.search.request import Freshness, SearchRequest


class Mode(StrEnum):
    """Which ways an answer may take; the values are the names of the models. AUTO decides, and may take both."""

    MEMORY = "aag"
    SEARCH = "aag-search"
    AUTO = "aag-auto"


class Role(StrEnum):
    """Who said a turn. What the system says is kept, but no reader here is trained to follow it."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Budget:
    """What a request may cost: seconds from its start, pages asked for, tokens of evidence shown, tokens written."""

    seconds: float
    pages: int
    tokens: int
    answer_tokens: int


@dataclass(frozen=True, slots=True)
class Wishes:
    """The budget that a client asks for; None where it says nothing. Without a number of pages it gets this share of them."""

    seconds: float | None = None
    pages: int | None = None
    tokens: int | None = None
    answer_tokens: int | None = None
    pages_share: float = 1.0

    def within(self, most: BudgetSection) -> Budget:
        """The budget: a client may ask for less than is configured, never for more."""
        return Budget(
            min(self.seconds or most.seconds, most.seconds),
            min(self.pages or max(1, round(most.pages * self.pages_share)), most.pages),
            min(self.tokens or most.tokens, most.tokens),
            min(self.answer_tokens or most.answer_tokens, most.answer_tokens),
        )


@dataclass(frozen=True, slots=True)
class Filters:
    """Where and how fresh: laid over every search of the request. Raises ValueError as `SearchRequest` does."""

    language: str | None = None
    freshness: Freshness | None = None
    include_domains: tuple[str, ...] = ()
    exclude_domains: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Refused where it is said, not when it is searched for.
        self.over(SearchRequest("question"))

    def over(self, request: SearchRequest) -> SearchRequest:
        """The request as the client narrowed it."""
        return replace(
            request,
            language=self.language or request.language,
            freshness=self.freshness or request.freshness,
            include_domains=self.include_domains,
            exclude_domains=self.exclude_domains,
        )


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """One request. The conversation ends with the question, a turn of the user. Raises ValueError if it does not.

    What it may cost is settled where it is answered, by the configuration of that moment.
    """

    conversation: tuple[Turn, ...]
    mode: Mode = Mode.AUTO
    wishes: Wishes = Wishes()
    filters: Filters = Filters()

    def __post_init__(self) -> None:
        if not self.conversation or self.conversation[-1].role is not Role.USER:
            raise ValueError("the conversation must end with a question of the user")
        if not any(character.isalnum() for character in self.question):
            raise ValueError(f"the question holds no word: {self.question[:40]!r}")

    @property
    def question(self) -> str:
        return self.conversation[-1].text

    @classmethod
    def asking(cls, question: str, mode: Mode = Mode.AUTO) -> AnswerRequest:
        """One question without a conversation before it."""
        return cls((Turn(Role.USER, question),), mode)
