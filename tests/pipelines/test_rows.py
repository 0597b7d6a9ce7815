"""Row-wise work on Ray: one result for every row, in order, whatever is killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ray import cloudpickle

from aag_ray.artifacts import RunError, read_table
from aag_ray.pipelines.rows import ActorPool, Row, run_rows, stream_rows

pytestmark = pytest.mark.cluster
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's workers cannot import a test module

POOL = ActorPool(batch=4)
LIGHT = ActorPool(batch=4, light=True)
ROWS: list[Row] = [{"id": f"r{number}", "n": number} for number in range(18)]


class Doubler:
    """Doubles `n`; `mood` says what happens when row r6 comes by."""

    def __init__(self, folder: Path, mood: str = "") -> None:
        if mood == "no model":
            raise RuntimeError("no such model")
        self.folder = folder
        self.mood = mood

    def __call__(self, rows: list[Row]) -> list[Row]:
        marker = self.folder / "marker"
        if any(row["id"] == "r6" for row in rows):
            if self.mood == "raises":
                raise ValueError("six is refused")
            if self.mood == "ends its process":
                os._exit(1)
            if self.mood == "waits to be killed" and not marker.exists():
                marker.write_text(str(os.getpid()))
                time.sleep(600)
            if self.mood == "forgets a row":
                rows = rows[1:]
        return [{"id": row["id"], "outcome": "ok", "detail": str(2 * row["n"])} for row in rows]


def failed(row: Row, detail: str) -> Row:
    return {"id": row["id"], "outcome": "failed", "detail": detail}


def doubled(folder: Path, mood: str = "", pool: ActorPool = POOL) -> list[Row]:
    return run_rows(ROWS, Doubler, {"folder": folder, "mood": mood}, folder, failed=failed, pool=pool, name="doubled")


def expected(*, r6: str | None = None) -> list[Row]:
    rows = [{"id": row["id"], "outcome": "ok", "detail": str(2 * row["n"])} for row in ROWS]
    return [failed(row, r6) if r6 and row["id"] == "r6" else row for row in rows]


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.05)


def test_every_row_comes_back_in_order_and_as_one_table(cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert doubled(tmp_path) == expected()
    assert read_table(tmp_path / "doubled.parquet") == expected()
    assert not (tmp_path / "parts").exists()
    assert "doubled: 18/18 rows, 0 s left" in capsys.readouterr().out


def test_a_finished_table_is_not_made_again(cluster: str, tmp_path: Path):
    doubled(tmp_path)
    assert doubled(tmp_path, mood="no model") == expected()


@pytest.mark.parametrize(
    ("mood", "pool", "detail"),
    [
        ("raises", LIGHT, "ValueError: six is refused"),
        ("forgets a row", POOL, "ValueError: the worker answered the ids [] to ['r6']"),
        ("ends its process", POOL, "its worker process died 2 times on this row"),
        ("ends its process", LIGHT, "its worker process died 2 times on this row"),
    ],
)
def test_a_bad_row_fails_alone(cluster: str, tmp_path: Path, mood: str, pool: ActorPool, detail: str):
    assert doubled(tmp_path, mood, pool) == expected(r6=detail)


def test_a_killed_worker_loses_and_doubles_nothing(cluster: str, tmp_path: Path):
    def kill() -> None:
        wait_for(tmp_path / "marker")
        time.sleep(0.2)
        os.kill(int((tmp_path / "marker").read_text()), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    assert doubled(tmp_path, mood="waits to be killed") == expected()


class ProcessNamer:
    """Says which process it is in, and notes when it is built."""

    def __init__(self, folder: Path) -> None:
        with (folder / "built").open("a") as file:
            file.write(f"{os.getpid()}\n")

    def __call__(self, rows: list[Row]) -> list[Row]:
        return [{"id": row["id"], "outcome": "ok", "detail": str(os.getpid())} for row in rows]


def test_light_workers_outlive_a_call_and_replay_what_they_did(cluster: str, tmp_path: Path):
    def streamed(call: int) -> list[Row]:
        told = {"failed": failed, "pool": LIGHT, "name": "named", "stage": "naming"}
        return list(stream_rows(ROWS, ProcessNamer, {"folder": tmp_path}, tmp_path / str(call), **told))

    calls = [streamed(call) for call in range(4)]
    built = (tmp_path / "built").read_text().split()
    assert len(set(built)) == len(built) <= 2
    assert {row["detail"] for rows in calls for row in rows} == set(built)
    assert [streamed(call) for call in range(4)] == calls
    assert (tmp_path / "built").read_text().split() == built


class LastOneFirst(Doubler):
    """Keeps its first batch back until another one is done."""

    def __call__(self, rows: list[Row]) -> list[Row]:
        if rows[0]["id"] == "r0":
            wait_for(self.folder / "another")
        elif rows[0]["id"] == "r4":
            (self.folder / "another").touch()
        return super().__call__(rows)


def test_ordered_results_keep_the_order_of_their_rows(cluster: str, tmp_path: Path):
    pool = ActorPool(batch=4, actors=2, cpus_per_actor=0.5, light=True, ordered=True)
    told = {"failed": failed, "pool": pool, "name": "doubled", "stage": "doubling"}
    assert list(stream_rows(ROWS, LastOneFirst, {"folder": tmp_path}, tmp_path / "parts", **told)) == expected()


DRIVER = """
import sys, time
from pathlib import Path
import ray
from aag_ray.pipelines.rows import ActorPool, run_rows

class Worker:
    def __call__(self, rows):
        if any(row["n"] >= 8 for row in rows):
            time.sleep(600)
        return [{"id": row["id"], "outcome": "ok", "detail": "by the killed driver"} for row in rows]

address, folder = sys.argv[1:]
ray.init(address=address)
rows = [{"id": f"r{number}", "n": number} for number in range(18)]
run_rows(rows, Worker, {}, Path(folder), failed=None, pool=ActorPool(batch=4), name="doubled")
"""


def test_a_killed_driver_is_resumed_by_row_id(cluster: str, tmp_path: Path):
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    driver = subprocess.Popen([sys.executable, str(script), cluster, str(tmp_path)])
    try:
        while len(list((tmp_path / "parts").glob("*.parquet"))) < 2:
            assert driver.poll() is None, "the driver ended before it was killed"
            time.sleep(0.05)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    results = doubled(tmp_path)
    assert [row["id"] for row in results] == [row["id"] for row in ROWS]
    assert [row["detail"] for row in results[:8]] == ["by the killed driver"] * 8
    assert results[8:] == expected()[8:]


def test_a_worker_that_cannot_be_built_is_named(cluster: str, tmp_path: Path):
    with pytest.raises(RunError, match="doubled: the workers cannot go on: RuntimeError: no such model"):
        doubled(tmp_path, mood="no model")


def test_an_unusable_folder_is_named_before_any_work(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write .*file/run"):
        doubled(tmp_path / "file" / "run")


def test_a_folder_that_fills_up_stops_the_run_and_the_rest_is_resumed(cluster: str, tmp_path: Path):
    import resource

    small, no_limit = 64, resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (small, no_limit[1]))
    try:
        with pytest.raises(RunError, match=r"cannot write .*parts.*: File too large"):
            doubled(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, no_limit)
        signal.signal(signal.SIGXFSZ, before)
    assert doubled(tmp_path) == expected()


def test_an_id_that_stands_twice_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="'r1' stands on more than one row"):
        run_rows([{"id": "r1"}, {"id": "r1"}], Doubler, {}, tmp_path, failed=failed, pool=POOL, name="doubled")


def test_no_rows_give_an_empty_table(tmp_path: Path):
    assert run_rows([], Doubler, {}, tmp_path, failed=failed, pool=POOL, name="doubled") == []
