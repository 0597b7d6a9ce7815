"""A real Ray of several nodes on this machine, whose workers can be killed, all their processes at once."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

STORE_BYTES = 80_000_000


class Nodes:
    """A head without CPUs and workers with some, which this process is connected to from `start` to `stop`."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        # /tmp, because the path of a Unix socket below it must stay within about 100 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="aag-", dir="/tmp"))
        self.cluster = Cluster()

    def start(self, workers: int, cpus: int) -> None:
        import ray
        from ray._common.utils import get_ray_address_file

        # There the cluster writes its address, whatever folder it is told to use, and makes none: no Ray may have run here yet.
        Path(get_ray_address_file(None)).parent.mkdir(parents=True, exist_ok=True)
        small = {"include_dashboard": False, "object_store_memory": STORE_BYTES}
        self.cluster.add_node(num_cpus=0, temp_dir=str(self.folder), **small)
        for _ in range(workers):
            self.cluster.add_node(num_cpus=cpus, **small)
        ray.init(address=self.cluster.address, log_to_driver=False, logging_level=logging.ERROR)

    def kill_that_runs(self, title: str, seconds: float = 60.0) -> str:
        """SIGKILL for the worker one of whose processes has `title`, and for all it runs. The id of the node that is gone."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for node in self.cluster.worker_nodes:
                (raylet,) = raylets_of(node)
                processes = psutil.Process(raylet.process.pid).children(recursive=True)
                if any(title in name_of(process) for process in processes):
                    for process in (*processes, psutil.Process(raylet.process.pid)):
                        with suppress(psutil.NoSuchProcess):
                            process.kill()
                    self.cluster.remove_node(node, allow_graceful=False)
                    return node.node_id
            time.sleep(0.05)
        raise RuntimeError(f"no worker runs {title!r}")

    @contextmanager
    def watched(self) -> Iterator[dict[str, set[str]]]:
        """What the workers are seen to run while the block runs: the titles of Ray's processes -> the ids of their nodes."""
        seen, stop = defaultdict[str, set[str]](set), threading.Event()

        def watch() -> None:
            while not stop.wait(0.3):
                raylets = {info.process.pid: node for node in [*self.cluster.worker_nodes] for info in raylets_of(node)}
                for process in psutil.process_iter(["ppid", "cmdline"]):
                    title = " ".join(process.info["cmdline"] or ())
                    if title.startswith("ray::") and (node := raylets.get(process.info["ppid"])):
                        seen[title].add(node.node_id)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield seen
        finally:
            stop.set()
            watcher.join()

    def stop(self) -> None:
        import ray

        ray.shutdown()
        self.cluster.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def nodes(workers: int = 2, cpus: int = 2) -> Iterator[Nodes]:
    made = Nodes()
    try:
        made.start(workers, cpus)
        yield made
    finally:
        made.stop()


def raylets_of(node: Any) -> list[Any]:
    """What Ray knows of the process that is the node: one entry, none once it was removed."""
    return node.all_processes.get("raylet", [])


def name_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def wait_until(true: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise RuntimeError(f"not within {seconds:g} s")
        time.sleep(0.1)
