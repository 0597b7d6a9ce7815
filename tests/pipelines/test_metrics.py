"""What the pipelines report: rows by stage and outcome, each counted once, as Prometheus reads them."""

import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import cloudpickle

from aag_ray.pipelines.metrics import PIPELINES, Measure, Meters
from aag_ray.pipelines.rows import ActorPool, run_rows

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's workers cannot import a test module


@pytest.fixture(scope="module")
def metrics() -> Iterator[str]:
    """Where a Ray that reports every second shows its metrics."""
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=80_000_000,
        include_dashboard=False,
        configure_logging=False,
        _system_config={"metrics_report_interval_ms": 1000},
    )
    node = ray.nodes()[0]
    yield f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    ray.shutdown()


def lines(metrics: str, name: str, total: float) -> dict[str, float]:
    """The series of a metric by its labels, once all has been reported: `total` in sum."""
    until = time.monotonic() + 60
    while True:
        with urllib.request.urlopen(metrics) as reply:
            told = [line for line in reply.read().decode().splitlines() if line.startswith(f"ray_{name}{{")]
        found = {line.partition("{")[2].partition("}")[0]: float(line.rpartition(" ")[2]) for line in told}
        if sum(found.values()) == total or time.monotonic() > until:
            return found
        time.sleep(0.2)


class Doubles:
    def __call__(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if any(row["value"] < 0 for row in rows):
            raise ValueError("below nothing")
        return [row | {"value": 2 * row["value"], "outcome": "ok", "tokens": 3, "detail": ""} for row in rows]


def failed(row: dict[str, Any], detail: str) -> dict[str, Any]:
    return row | {"outcome": "failed", "tokens": 0, "detail": detail}


def test_rows_are_counted_once_by_stage_and_outcome(metrics: str, tmp_path: Path):
    rows = [{"id": str(number), "value": number - 1} for number in range(6)]
    pool = ActorPool(batch=3, cpus_per_actor=0.5)
    for _ in range(2):  # the second time there is nothing left to do
        run_rows(rows, Doubles, {}, tmp_path, failed=failed, pool=pool, name="doubles", stage="doubling")
    found = lines(metrics, "aag_rows_total", 6)
    counts = {
        outcome: sum(count for labels, count in found.items() if f'outcome="{outcome}"' in labels)
        for outcome in ("ok", "failed")
    }
    assert counts == {"ok": 5, "failed": 1}
    assert all('stage="doubling"' in labels for labels in found)
    assert list(lines(metrics, "aag_row_tokens_total", 15).values()) == [15]


def test_a_metric_says_its_unit_and_the_names_of_its_series():
    assert Measure("aag_things_total", "").exported == {"ray_aag_things_total"}
    assert Measure("aag_wait_seconds", "").exported == {f"ray_aag_wait_seconds_{end}" for end in ("bucket", "count", "sum")}
    for name in ("aag_wait", "things_total", "aag_bytes"):
        with pytest.raises(ValueError, match=r"a metric is called aag_\.\.\._seconds or aag_\.\.\._total"):
            Measure(name, "")


def test_what_is_not_described_cannot_be_counted(metrics: str):
    meters = Meters(PIPELINES)
    with pytest.raises(KeyError):
        meters.count("aag_unheard_of_total")
    with pytest.raises(ValueError, match="outcome"):
        meters.count("aag_rows_total", stage="crawl")
    meters.count("aag_row_bytes_total", 0, stage="nothing")
    assert not [labels for labels in lines(metrics, "aag_row_bytes_total", 0) if "nothing" in labels]
