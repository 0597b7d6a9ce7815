"""How an engine's API is spoken: what is sent for a request, and what its answer holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aag_ray.config import ProviderSection
from aag_ray.web.search.request import SearchRequest


class Malformed(ValueError):
    """An answer that is not in the documented form. The message says where."""


class Refused(ValueError):
    """A request that this engine has no way to answer. The message says why."""


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request below a provider's base URL: a POST if there is a `json` body, else a GET.

    Its texts hold the key, so it shows nothing of itself.
    """

    path: str
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Hit:
    """One result as the engine wrote it, in its order."""

    url: str
    title: str
    snippet: str
    published: str = ""
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer holds. `down` says which of the engines behind a metasearch did not answer."""

    hits: list[Hit]
    down: str = ""


@dataclass(frozen=True, slots=True)
class Dialect:
    """An engine's API. `ask` may raise Refused, `read` Malformed.

    `base` is the documented address ("" if there is none), `key_env` the usual variable of its key ("" if it has none),
    `most` its largest page. `quota` and `auth` are words by which an error tells what its status does not.
    """

    base: str
    key_env: str
    most: int
    ask: Callable[[SearchRequest, int, str, ProviderSection], Call]
    read: Callable[[Mapping[str, Any]], Reading]
    quota: tuple[str, ...] = ()
    auth: tuple[str, ...] = ()


def listed(data: Mapping[str, Any], *path: str) -> list[Mapping[str, Any]]:
    """The objects of the list at `path`; none if it is absent or null. Raises Malformed if something else stands there."""
    found: Any = data
    for at, name in enumerate(path):
        if found is None:
            return []
        if not isinstance(found, Mapping):
            raise Malformed(f"{'.'.join(path[:at])} is no object but {type(found).__name__}")
        found = found.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise Malformed(f"{'.'.join(path)} is no list but {type(found).__name__}")
    return [entry for entry in found if isinstance(entry, Mapping)]


def text(entry: Mapping[str, Any], name: str) -> str:
    """A text field, "" where it is absent or something else."""
    value = entry.get(name)
    return value if isinstance(value, str) else ""


def number(entry: Mapping[str, Any], name: str) -> float | None:
    """A number field, None where it is absent or something else."""
    value = entry.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def some(**parameters: str) -> dict[str, str]:
    """The parameters that say something. A trailing _ of a name is dropped."""
    return {name.rstrip("_"): value for name, value in parameters.items() if value}
