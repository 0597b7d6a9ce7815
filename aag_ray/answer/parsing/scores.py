"""How good the decisions of a parser are: right ones, wrong ones of each kind, what they cost, and whether its chances hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aag_ray.answer.parsed import ParsedRequest, ParseOutcome
from aag_ray.answer.parsing.examples import Labelled
from aag_ray.config import CostsSection
from aag_ray.evaluate.extraction import calibration
from aag_ray.evaluate.intervals import Interval, bootstrap, paired_difference
from aag_ray.evaluate.metrics import exact_match, f1


@dataclass(frozen=True, slots=True)
class Decisions:
    """What one system decided on the same examples: whether to search, and where it has one its probability for that."""

    searched: tuple[bool, ...]
    chance: tuple[float, ...] | None = None
    threshold: float | None = None

    @classmethod
    def at(cls, chance: Sequence[float], threshold: float) -> Decisions:
        return cls(tuple(value >= threshold for value in chance), tuple(chance), threshold)

    @classmethod
    def all(cls, searched: bool, count: int) -> Decisions:
        return cls((searched,) * count)


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores decisions against labels. Intervals are bootstrapped over examples, in percent; costs are per 100 requests."""

    examples: Sequence[Labelled]
    costs: CostsSection
    samples: int
    seed: int

    def score(self, decisions: Decisions) -> dict[str, Any]:
        """Of one system: shares, cost, calibration, and the share right by every kind of request."""
        labels = [each.needed for each in self.examples]
        right = self.right(decisions)
        missed = [float(label and not searched) for label, searched in zip(labels, decisions.searched, strict=True)]
        needless = [float(searched and not label) for label, searched in zip(labels, decisions.searched, strict=True)]
        scored: dict[str, Any] = {
            "threshold": decisions.threshold,
            "accuracy": self._interval(right),
            "missed": self._interval(missed),
            "needless": self._interval(needless),
            "missed_of_needed": self._share(missed, labels),
            "needless_of_known": self._share(needless, [not label for label in labels]),
            "cost": self._interval(self.cost(decisions)),
            "cost_of_missed": self.costs.missed * 100 * sum(missed) / len(missed),
            "cost_of_needless": self.costs.needless * 100 * sum(needless) / len(needless),
            "searched": self._interval([float(value) for value in decisions.searched]),
            "by_kind": {kind: self._interval([right[n] for n in rows]) for kind, rows in self.kinds().items()},
        }
        if decisions.chance is not None:
            measured = calibration(decisions.chance, labels)
            scored["calibration"] = {"ece": measured.ece, "bins": [each._asdict() for each in measured.bins]}
        return scored

    def right(self, decisions: Decisions) -> list[float]:
        return [float(e.needed == searched) for e, searched in zip(self.examples, decisions.searched, strict=True)]

    def cost(self, decisions: Decisions) -> list[float]:
        """What each decision cost, 0 for a right one."""
        return [
            self.costs.missed * (each.needed and not searched) + self.costs.needless * (searched and not each.needed)
            for each, searched in zip(self.examples, decisions.searched, strict=True)
        ]

    def difference(self, one: Decisions, other: Decisions) -> dict[str, Any]:
        """How much better the first decides: points of accuracy, and cost per 100 requests that it saves."""
        accuracy = paired_difference(self.right(one), self.right(other), self.samples, self.seed)
        saved = paired_difference(self.cost(other), self.cost(one), self.samples, self.seed)
        return {"accuracy": accuracy.to_dict(), "saved": saved.to_dict()}

    def kinds(self) -> dict[str, list[int]]:
        """The numbers of the examples of every need, language and form that there is."""
        groups: dict[str, list[int]] = {}
        for number, each in enumerate(self.examples):
            example = each.example
            names = [f"need: {example.need}", f"language: {example.language}"]
            names += ["in a conversation"] if example.follow_up else ["on its own"]
            names += ["new wording"] if example.new_wording else []
            for name in names:
                groups.setdefault(name, []).append(number)
        return dict(sorted(groups.items()))

    def _interval(self, values: Sequence[float]) -> dict[str, Any]:
        return bootstrap(values, self.samples, self.seed).to_dict()

    def _share(self, values: Sequence[float], among: Sequence[bool]) -> dict[str, Any] | None:
        chosen = [value for value, counted in zip(values, among, strict=True) if counted]
        return self._interval(chosen) if chosen else None


def score_writing(written: Sequence[tuple[Labelled, str, ParsedRequest]], samples: int, seed: int) -> Mapping[str, Any]:
    """How good the written fields are, of (example, rewritten question, what was parsed): each a mean with its interval.

    A search that fell back to the raw question counts as what it is: its words, no language, no freshness.
    """
    rows: dict[str, list[float]] = {}
    for each, question, parsed in written:
        example, query = each.example, parsed.queries[0]
        scores = {
            "in_grammar": float(parsed.outcome is ParseOutcome.PARSED),
            "keywords_exact": exact_match(query.query, [example.query]),
            "keywords_f1": f1(query.query, [example.query]),
            "language": float(query.language == example.language),
            "freshness": float((query.freshness or "none") == example.freshness),
        }
        if example.follow_up:
            scores |= {
                "rewritten_exact": exact_match(question, [example.question]),
                "rewritten_f1": f1(question, [example.question]),
            }
        for name, value in scores.items():
            rows.setdefault(name, []).append(value)
    intervals: dict[str, Interval] = {name: bootstrap(values, samples, seed) for name, values in rows.items()}
    return {name: interval.to_dict() for name, interval in intervals.items()}
