"""What ranking works on and what it gives back, with the reason for every place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Generic, TypeVar

from aag_ray.web.search.answer import SearchResult

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class PageText:
    """A page that was read: its search result, its cleaned text, and what it says of itself."""

    result: SearchResult
    text: str
    title: str = ""
    published: date | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """What one ranker said of an item: its rank (1 is best, equal values share one) by `value`, and what that added.

    `contribution` is `weight` * `strength` / (k + rank); `strength` is below 1 only for age. Of `stuffing`, which takes away
    and ranks nothing, it is the part of the other signals' sum that is lost, below 0.
    """

    name: str
    rank: int
    value: float
    weight: float
    contribution: float


class DropReason(StrEnum):
    """Why an item is not among the kept ones."""

    HOST_CAP = "host_cap"
    NEAR_DUPLICATE = "near_duplicate"
    BELOW_LIMIT = "below_limit"


@dataclass(frozen=True, slots=True)
class Ranked(Generic[Item]):
    """An item at its place, which counts from 1. `score` is the sum of its signals' contributions."""

    item: Item
    rank: int
    score: float
    signals: tuple[Signal, ...]

    def signal(self, name: str) -> Signal | None:
        return next((signal for signal in self.signals if signal.name == name), None)


@dataclass(frozen=True, slots=True)
class Dropped(Generic[Item]):
    """An item that was left out; its `rank` is the place it had before. `detail` names the host or the original's URL."""

    ranked: Ranked[Item]
    reason: DropReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Ranking(Generic[Item]):
    """The kept items, best first, and those left out, in the same order: together all that came in."""

    kept: tuple[Ranked[Item], ...]
    dropped: tuple[Dropped[Item], ...] = ()

    @property
    def items(self) -> list[Item]:
        return [ranked.item for ranked in self.kept]
