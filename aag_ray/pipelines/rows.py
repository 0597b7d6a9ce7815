"""Row-wise work on a pool of actors (Ray Data) that survives any kill: every input row ends in exactly one output row."""

from __future__ import annotations

import functools
import logging
import pickle
import re
import shutil
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import ray
from ray import cloudpickle
from ray.data import ActorPoolStrategy, DataContext, Dataset, TaskPoolStrategy
from ray.exceptions import RayError
from ray.util.annotations import RayDeprecationWarning
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from aag_ray.artifacts import RunError, fingerprint, read_table, write_atomically, write_table
from aag_ray.pipelines.metrics import RowMeters
from aag_ray.pipelines.row_files import each_row

Row = dict[str, Any]
Worker = Callable[[list[Row]], list[Row]]

TRIES = 2
SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True, slots=True)
class ActorPool:
    """How many actors may work at once, what each one occupies, and how many rows it is given at a time.

    A `light` worker holds little. It lives in processes that Ray keeps for any task, and is there at once when work with the
    same arguments goes on: for many short calls, where to start actors each time would take longer than their work.
    `ordered` results come in the order of the batches, so a slow one holds the others back; only a batch that ended a light
    worker's process comes last.
    """

    batch: int
    actors: int = 1
    cpus_per_actor: float = 1.0
    gpus_per_actor: float = 0.0
    light: bool = False
    ordered: bool = False


def run_rows(
    rows: Sequence[Row],
    worker: Callable[..., Worker],
    arguments: Mapping[str, Any],
    folder: Path,
    *,
    failed: Callable[[Row, str], Row],
    pool: ActorPool,
    name: str,
    stage: str | None = None,
) -> list[Row]:
    """Give every row (with a unique `id`) to `worker(**arguments)` and return one row for each, in input order.

    The result is also `folder/<name>.parquet`. Until it is complete, finished batches are kept in `folder/parts`; a later
    call goes on from there by row id, so `folder` belongs to one set of inputs (see `artifacts.Stage.start`). A batch in
    which the worker raises is tried again row by row. A row that raises alone, or that ends its process `TRIES` times,
    becomes `failed(row, detail)`, which has the worker's columns. `stage` is what the metrics call this work,
    `name` if it is not given. Ray must be initialised. Raises RunError if `folder` cannot be written or no worker can be
    built.
    """
    table, parts = folder / f"{name}.parquet", folder / "parts"
    done = {row["id"]: row for row in (read_table(table) if table.exists() else [])}
    left = [row for row in rows if row["id"] not in done]
    work = stream_rows(left, worker, arguments, parts, failed=failed, pool=pool, name=name, stage=stage or name)
    done |= {row["id"]: row for row in work}
    results = [done[row["id"]] for row in rows]
    write_table(table, results)
    shutil.rmtree(parts)
    return results


def stream_rows(
    rows: Sequence[Row],
    worker: Callable[..., Worker],
    arguments: Mapping[str, Any],
    parts: Path,
    *,
    failed: Callable[[Row, str], Row],
    pool: ActorPool,
    name: str,
    stage: str,
    together: Callable[[Row], str] | None = None,
) -> Iterator[Row]:
    """As `run_rows`, but each row as it is finished, none of them held. `parts` keeps them, in files numbered in that order:
    a later call gives the same rows in the same order before it goes on with others. Rows with an equal `together(row)` share
    one batch, even one that is then larger than `pool.batch`."""
    left = {str(row["id"]): row for row in rows}
    if len(left) < len(rows):
        twice = next(row_id for row_id, count in Counter(str(row["id"]) for row in rows).items() if count > 1)
        raise ValueError(f"{name}: the id {twice!r} stands on more than one row")
    write_atomically(parts / "name", name)  # says at once, and by whom, if the folder cannot be written
    files = sorted(parts.glob("*.parquet"))
    for row in each_row(files):
        if left.pop(row["id"], None):
            yield row
    progress, meters = _Progress(name, len(rows), len(rows) - len(left)), RowMeters()
    size = min(pool.batch, -(-len(left) // pool.actors) or 1) if pool.light else pool.batch  # some for everyone, who is there
    batches = _batches([*left.values()], size, together)
    for number, batch in enumerate(_work(batches, worker, arguments, failed, pool, name), len(files)):
        write_table(parts / f"{number:06}.parquet", batch)
        meters.stored(stage, batch)
        progress.advance(len(batch))
        for row in batch:
            del left[row["id"]]
            yield row
    if left:
        raise RunError(f"{name}: {len(left)} of {len(rows)} rows have no result, first {next(iter(left))!r}")


def _batches(rows: list[Row], size: int, together: Callable[[Row], str] | None) -> list[list[Row]]:
    if together is None:
        return [rows[start : start + size] for start in range(0, len(rows), size)]
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(together(row), []).append(row)
    batches: list[list[Row]] = []
    for group in groups.values():
        if batches and len(batches[-1]) + len(group) <= size:
            batches[-1] += group
        else:
            batches.append(list(group))
    return batches


def _work(
    batches: list[list[Row]],
    worker: Callable[..., Worker],
    arguments: Mapping[str, Any],
    failed: Callable[[Row, str], Row],
    pool: ActorPool,
    name: str,
) -> Iterator[list[Row]]:
    """Batches of results, as they are finished. They come to the driver, so no folder must be shared by the nodes."""
    if not batches:
        return
    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = sys.stderr.isatty()
    context.execution_options.preserve_order = pool.ordered
    context.op_resource_reservation_enabled = False  # one operator has none to share with, and waits a second for its part
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # that there are no bars is no warning
    made: dict[str, Any] = {"worker": worker, "arguments": dict(arguments), "failed": failed}
    actors = min(pool.actors, len(batches))
    room: dict[str, Any] = {"num_cpus": min(pool.cpus_per_actor, _largest_node_cpus()), "num_gpus": pool.gpus_per_actor or None}
    try:
        if pool.light:
            left = {batch[0]["id"]: batch for batch in batches}
            call: Any = _in_lasting_process
            given = (cloudpickle.dumps(made),)  # type: ignore[reportPrivateImportUsage]  # as Ray's documentation imports it
            with warnings.catch_warnings():  # no parameter of its own says how often a task is tried
                warnings.simplefilter("ignore", RayDeprecationWarning)
                dataset = _dataset(batches).map(call, fn_args=given, compute=TaskPoolStrategy(actors), max_retries=0, **room)
            dataset.context.max_errored_blocks = -1  # what a process that died had begun is left to actors, who count
            for results in _results(dataset):
                del left[results[0]["id"]]
                yield results
            batches = [*left.values()]
        if batches:
            # On the driver's own node: lost with any other, it would take the work with it.
            here: Any = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
            made["tries"] = ray.remote(num_cpus=0, scheduling_strategy=here)(_Tries).remote()
            compute = ActorPoolStrategy(min_size=1, max_size=actors, max_tasks_in_flight_per_actor=2)
            dataset = _dataset(batches).map(cast(Any, _RowWorker), fn_constructor_kwargs=made, compute=compute, **room)
            yield from _results(dataset)
    except RayError as error:
        raise RunError(f"{name}: the workers cannot go on: {_cause(error)}") from error


def _dataset(batches: list[list[Row]]) -> Dataset:
    # One block per batch: a block is what Ray Data delivers, and does again if its worker is lost. Pickled, because Arrow
    # would guess a type for each field.
    return ray.data.from_items([{"rows": pickle.dumps(batch)} for batch in batches], override_num_blocks=len(batches))


def _results(dataset: Dataset) -> Iterator[list[Row]]:
    # Without prefetching, which would hold a finished batch back until the next one is finished too.
    for item in dataset.iter_batches(batch_size=1, batch_format="numpy", prefetch_batches=0):
        yield pickle.loads(cast(Any, item)["rows"][0])


def _in_lasting_process(item: dict[str, Any], made: bytes) -> dict[str, Any]:
    return _lasting(made)(item)


@functools.lru_cache(maxsize=1)
def _lasting(made: bytes) -> _RowWorker:
    return _RowWorker(**pickle.loads(made))


def _cause(error: RayError) -> str:
    """The message of the exception itself, all its lines, without the frames of Ray and of the worker around it."""
    text = str(error).strip()
    starts = [match.start() for match in re.finditer(r"^[\w.]+: ", text, re.MULTILINE)]
    return text[starts[-1] :] if starts else text


def _largest_node_cpus() -> float:
    """An actor that asks for more than any node has would wait for ever: a laptop's one core must do."""
    return max((node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]), default=0.0) or float("inf")


class _Tries:
    """An actor that counts how often each batch was begun and not ended: it remembers what a worker that died cannot."""

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}

    def begin(self, key: str) -> int:
        self._begun[key] = self._begun.get(key, 0) + 1
        return self._begun[key]

    def end(self, key: str) -> None:
        self._begun.pop(key, None)


class _RowWorker:
    """One actor of the pool: it holds a worker and keeps a bad row from harming the others."""

    def __init__(self, worker: Callable[..., Worker], arguments: dict[str, Any], failed: Any, tries: Any = None) -> None:
        self._worker = worker(**arguments)
        self._failed = failed
        self._tries = tries

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        return {"rows": pickle.dumps(self._results(pickle.loads(item["rows"])))}

    def _results(self, rows: list[Row]) -> list[Row]:
        if self._tries is None:
            return self._tried(rows)
        key = fingerprint([row["id"] for row in rows])
        begun: int = ray.get(self._tries.begin.remote(key))
        if begun > TRIES:
            if len(rows) == 1:
                return [self._failed(rows[0], f"its worker process died {TRIES} times on this row")]
            return [result for row in rows for result in self._results([row])]
        results = self._tried(rows)
        self._tries.end.remote(key)  # calls keep their order: the next row begins only when this one has ended
        return results

    def _tried(self, rows: list[Row]) -> list[Row]:
        try:
            results = self._worker(rows)
            found, expected = [row["id"] for row in results], [row["id"] for row in rows]
            if found != expected:
                raise ValueError(f"the worker answered the ids {found} to {expected}")
            return results
        except Exception as error:
            if len(rows) == 1:
                return [self._failed(rows[0], f"{type(error).__name__}: {error}")]
            return [result for row in rows for result in self._results([row])]


class _Progress:
    """Plain lines where no terminal shows Ray Data's bars: rows done, rows in all, seconds left."""

    def __init__(self, name: str, total: int, done: int) -> None:
        self._name, self._total, self._done, self._already = name, total, done, done
        self._started = self._said = time.monotonic()
        if done and not sys.stderr.isatty():
            print(f"{name}: {done}/{total} rows are there already", flush=True)

    def advance(self, rows: int) -> None:
        self._done += rows
        now = time.monotonic()
        if sys.stderr.isatty() or (now - self._said < SECONDS_BETWEEN_LINES and self._done < self._total):
            return
        self._said = now
        seconds_left = (self._total - self._done) * (now - self._started) / (self._done - self._already)
        print(f"{self._name}: {self._done}/{self._total} rows, {seconds_left:.0f} s left", flush=True)
