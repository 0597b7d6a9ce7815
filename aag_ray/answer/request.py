"""What is asked: a conversation, the mode, what it may cost, and where the web may be searched."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from aag_ray.config import AnswerSection, BudgetSection
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

    @classmethod
    def of(cls, section: BudgetSection) -> Budget:
        return cls(section.seconds, section.pages, section.tokens, section.answer_tokens)

    def at_most(self, other: Budget) -> Budget:
        """The smaller of both in everything: a client may ask for less, never for more."""
        return Budget(
            min(self.seconds, other.seconds),
            min(self.pages, other.pages),
            min(self.tokens, other.tokens),
            min(self.answer_tokens, other.answer_tokens),
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
    """One request. The conversation ends with the question, a turn of the user. Raises ValueError if it does not."""

    conversation: tuple[Turn, ...]
    mode: Mode = Mode.AUTO
    budget: Budget = field(default_factory=lambda: Budget.of(AnswerSection().budget))
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
