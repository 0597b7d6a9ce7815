"""Prometheus metrics through Ray: how one is described, how it is kept, and those of the pipelines.

Ray exports each under `ray_` and its name, on every node, with labels of its own (node, worker, session).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.util.metrics import Counter, Gauge, Histogram

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0)


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric: a gauge, a histogram of seconds if its name ends in `_seconds`, or a counter, whose name ends in `_total`."""

    name: str
    about: str
    labels: tuple[str, ...] = ()
    gauge: bool = False

    def __post_init__(self) -> None:
        if not self.name.startswith("aag_") or self.name.endswith(("_seconds", "_total")) == self.gauge:
            raise ValueError(f"{self.name}: a metric is called aag_..._seconds or aag_..._total, and neither if it is a gauge")

    @property
    def exported(self) -> frozenset[str]:
        """The names of its time series in Prometheus."""
        series = ("_bucket", "_count", "_sum") if self.name.endswith("_seconds") else ("",)
        return frozenset(f"ray_{self.name}{each}" for each in series)


class Meters:
    """Counts, times and shows what `measures` describe. For one process, which is connected to Ray."""

    def __init__(self, measures: Iterable[Measure]) -> None:
        self._kept: dict[str, Any] = {}
        for each in measures:
            if each.gauge:
                self._kept[each.name] = Gauge(each.name, each.about, tag_keys=each.labels)
            elif each.name.endswith("_seconds"):
                self._kept[each.name] = Histogram(each.name, each.about, boundaries=[*SECONDS], tag_keys=each.labels)
            else:
                self._kept[each.name] = Counter(each.name, each.about, tag_keys=each.labels)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter. Raises KeyError for a name, ValueError for a missing label, that was not described."""
        if amount > 0:  # Ray refuses an increment of nothing
            self._kept[name].inc(amount, {label: str(value) for label, value in labels.items()})

    def time(self, name: str, seconds: float, **labels: str) -> None:
        """Add one duration to a histogram. Raises as `count`."""
        self._kept[name].observe(seconds, {label: str(value) for label, value in labels.items()})

    def set(self, name: str, value: float, **labels: str) -> None:
        """Show how much there is of something now. Raises as `count`."""
        self._kept[name].set(value, {label: str(text) for label, text in labels.items()})


PIPELINES = (
    Measure("aag_rows_total", "Rows that a stage of a pipeline finished, by outcome", ("stage", "outcome")),
    Measure("aag_row_seconds", "Seconds that one row took, where a stage says so: a fetch of the crawl", ("stage",)),
    Measure("aag_row_bytes_total", "Bytes that a stage received from the network", ("stage",)),
    Measure("aag_row_tokens_total", "Tokens of the documents that a stage read and of those that it kept", ("stage", "kind")),
)


class RowMeters(Meters):
    """The pipelines'. Rows are counted where they are stored, so that a batch that is done again counts once."""

    def __init__(self) -> None:
        super().__init__(PIPELINES)

    def stored(self, stage: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take in rows that are finished: `outcome`, and of `seconds`, `bytes`, `origin_tokens`, `tokens` what they have."""
        for row in rows:
            self.count("aag_rows_total", stage=stage, outcome=row.get("outcome", "ok"))
            if row.get("seconds"):
                self.time("aag_row_seconds", row["seconds"], stage=stage)
            self.count("aag_row_bytes_total", row.get("bytes", 0), stage=stage)
            self.count("aag_row_tokens_total", row.get("origin_tokens", 0), stage=stage, kind="read")
            self.count("aag_row_tokens_total", row.get("tokens", 0), stage=stage, kind="kept")
