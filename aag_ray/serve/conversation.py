"""From either API's fields to a request for the policy, within the limits of the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aag_ray.answer.request import AnswerRequest, Filters, Mode, Role, Turn, Wishes
from aag_ray.config import ServeSection
from aag_ray.serve.errors import ApiError
from aag_ray.serve.schemas import PAGES_SHARE, AagOptions, ContextSize
from aag_ray.web.search.request import Freshness

_ROLES = {"system": Role.SYSTEM, "developer": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT}


def mode_of(model: str, section: ServeSection) -> Mode:
    """The mode that a model's name stands for. Raises ApiError 404 for any other name."""
    if model not in section.modes:
        known = ", ".join(section.modes)
        raise ApiError(404, f"there is no model {model[:60]!r}; there are {known}", code="model_not_found", param="model")
    return Mode(model)


def turns_of(said: Iterable[tuple[str, str]], section: ServeSection, param: str) -> tuple[Turn, ...]:
    """Turns from pairs of role and text. Raises ApiError 400 for too many, too long ones, half a character in one, or none of
    the user at the end."""
    limits = section.limits
    turns = tuple(Turn(_ROLES[role], text) for role, text in said)
    if len(turns) > limits.messages:
        raise _too_long(f"{len(turns)} messages are more than {limits.messages}", param)
    if not turns or turns[-1].role is not Role.USER:
        raise ApiError(400, f"{param} must end with a message of the user: the question", code="invalid_value", param=param)
    question = len(turns[-1].text)
    if question > limits.question_characters:
        raise _too_long(f"the question has {question} characters, more than {limits.question_characters}", param)
    total = sum(len(turn.text) for turn in turns)
    if total > limits.conversation_characters:
        raise _too_long(f"the conversation has {total} characters, more than {limits.conversation_characters}", param)
    try:
        "".join(turn.text for turn in turns).encode()
    except UnicodeEncodeError as error:
        half = f"{param} holds half of a surrogate pair, U+{ord(error.object[error.start]):X}, which is no character"
        raise ApiError(400, half, code="invalid_value", param=param) from None
    return turns


def request_of(
    turns: Sequence[Turn],
    mode: Mode,
    *,
    param: str,
    options: AagOptions | None,
    context_size: ContextSize | None,
    answer_tokens: int | None,
    domains: Sequence[str] = (),
    refused_domains: Sequence[str] = (),
) -> AnswerRequest:
    """The request, with what its client wants it to cost. Raises ApiError 400."""
    own = options or AagOptions()
    wishes = Wishes(own.seconds, own.pages, own.tokens, answer_tokens, PAGES_SHARE[context_size or "medium"])
    try:
        filters = Filters(
            own.language,
            Freshness(own.freshness) if own.freshness else None,
            (*domains, *(own.include_domains or ())),
            (*refused_domains, *(own.exclude_domains or ())),
        )
    except ValueError as error:
        raise ApiError(400, str(error), code="invalid_value", param="aag") from None
    try:
        return AnswerRequest(tuple(turns), mode, wishes, filters)
    except ValueError as error:
        raise ApiError(400, str(error), code="invalid_value", param=param) from None


def ignored_system(turns: Sequence[Turn], name: str) -> list[str]:
    """What a client should know: the readers here follow no instructions."""
    return [name] if any(turn.role is Role.SYSTEM and turn.text.strip() for turn in turns) else []


def _too_long(message: str, param: str) -> ApiError:
    return ApiError(400, message, code="context_length_exceeded", param=param)
