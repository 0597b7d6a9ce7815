"""What a node that dies costs: requests to the served application, rows of a crawl, steps of a training.

    python benchmarks/node_loss.py [--seconds 60] [--only serve,crawl,train] [--out benchmarks/results]

A real Ray of a head and two workers, or three for the training, which needs two, on this machine
(`ray.cluster_utils.Cluster`); a worker that does the work is killed with SIGKILL in the middle, all its processes at once. The
models are random and tiny: what is measured is Ray and this program, not them. Clients of the served application ask without
pause, half of them for streams.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lossy_nodes import Nodes, nodes, wait_until
from tiny_model import tiny_model
from traffic import Traffic

ROOT = Path(__file__).resolve().parent.parent


def lose_a_node_while_serving(made: Nodes, model: Path, seconds: float) -> dict[str, Any]:
    """Kill the worker with an engine while clients ask. `seconds` of traffic after it."""
    from ray import serve

    from aag_ray.config import AppSection
    from aag_ray.serve.app import build

    section = AppSection.model_validate(
        {
            "model": {"name": str(model), "dtype": "float32"},
            "runs": str(made.folder / "no-runs"),
            "extract": {"extractor": "bm25"},
            "endpoint": {"answer": {"budget": {"seconds": 20, "answer_tokens": 32}}, "page": False},
        }
    )
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
    serve.run(build(section), name="aag", route_prefix="/")
    traffic = Traffic(f"http://127.0.0.1:{port}")
    try:
        with traffic.running():
            wait_until(lambda: traffic.counts().get("answered", 0) >= 20, 120)
            made.kill_that_runs("ServeReplica:aag:engine")
            killed = time.monotonic()
            before = traffic.counts().get("answered", 0)
            wait_until(lambda: traffic.counts().get("answered", 0) >= before + 20, 240)
            traffic.stopping.wait(max(0.0, killed + seconds - time.monotonic()))
    finally:
        serve.shutdown()
    return traffic.report(killed)


@contextmanager
def local_web(pages: int) -> Iterator[Any]:
    """The project's local web, served by a thread."""
    from aag_ray.config import WorldSection
    from aag_ray.world.serve import LocalWeb
    from aag_ray.world.site import SiteSection

    small = WorldSection(train_questions=40, dev_questions=8, test_questions=8)
    local = LocalWeb(SiteSection(hosts=8, pages=pages, crawl_delay=0.0, index="at_first_search", world=small))
    ready, stop, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()

    async def running() -> None:
        async with local.running():
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(running(),))
    thread.start()
    ready.wait()
    try:
        yield local
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def lose_a_node_while_crawling(made: Nodes, pages: int = 160) -> dict[str, Any]:
    """Kill the worker that crawls, in the second round; what was crawled is compared with what the web holds."""
    from aag_ray.artifacts import read_table
    from aag_ray.config import CrawlConfig
    from aag_ray.pipelines.crawl import crawl
    from aag_ray.settings import load_config
    from aag_ray.web.urls import canonical_url

    folder = made.folder / "crawl"
    with local_web(pages) as web:
        settings = [
            *(f"crawl.seeds={json.dumps(web.seeds)}", "crawl.scope.depth=20", "crawl.host_urls=40", "crawl.batch_urls=40"),
            *(f"fetch.guard.allow={json.dumps(web.allow)}", "fetch.politeness.delay_seconds=0", "fetch.limits.seconds=5"),
            *("fetch.politeness.backoff_seconds=0.01", "crawl.cpus_per_actor=0.5"),
        ]
        killed: list[str] = []
        killer = threading.Thread(target=lambda: killed.append(_kill_in_a_crawl(made, folder)))
        killer.start()
        report = crawl(load_config(CrawlConfig, None, settings), folder)
        killer.join()
        ordinary = {host.name for host in web.site.ordinary}
        articles = [row for row in web.truth() if row.get("kind") == "article" and row["host"] in ordinary]
    expected = {canonical_url(row["url"]): row["outcome"] for row in articles}
    rows = read_table(folder / "urls.parquet")
    found = {row["id"]: row["outcome"] for row in rows}
    stored = Counter(page["id"] for page in read_table(folder / "pages"))
    return {
        "nodes_killed": len(killed),
        "urls": len(rows),
        "articles": len(expected),
        "lost": len(expected.keys() - found.keys()),
        "other_outcomes": sum(found[url] != outcome for url, outcome in expected.items() if url in found),
        "doubled": len(rows) - len(found),
        "pages_doubled": sum(count - 1 for count in stored.values()),
        "pages_lost": len({row["id"] for row in rows if row["page_file"]} - stored.keys()),
        "seconds": report["seconds"],
    }


def _kill_in_a_crawl(made: Nodes, folder: Path) -> str:
    wait_until(lambda: (folder / "rounds" / "0001" / "asked.parquet").exists(), 300)
    return made.kill_that_runs("_in_lasting_process")


def lose_a_node_while_training(made: Nodes, model: Path, cpus: int = 2, steps: int = 200) -> dict[str, Any]:
    """Kill one of two nodes of `cpus` that train a LoRA together, after their first checkpoint; a third stands by.

    Each of the two holds half of the optimizer's state (ZeRO 1). Every step must stand in the log once.
    """
    from aag_ray.config import ClusterSection, LoraSection, ModelSection, TrainingSection
    from aag_ray.train.builders import build_sft
    from aag_ray.train.launch import TrainingJob, train
    from aag_ray.train.log import read_log

    folder = made.folder / "training"
    folder.mkdir()
    for name, count in (("train", 64), ("dev", 8)):
        rows = [{"id": f"{name}-{i}", "prompt": f"{i} and one is", "target": f" {i + 1}"} for i in range(count)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = {"model": ModelSection(name=str(model), dtype="float32"), "lora": LoraSection(rank=4), "seed": 1}
    job = TrainingJob(
        build_sft, arguments, folder / "train.jsonl", folder / "dev.jsonl",
        TrainingSection(steps=steps, batch=4, warmup_steps=2, dev_every=steps, checkpoint_every=10),
        ClusterSection(workers=2, cpus_per_worker=cpus, zero_stage=1), 1, folder / "stage",
    )  # fmt: skip

    def kill() -> float:
        """The seconds until the log goes on."""
        wait_until(lambda: (job.folder / "checkpoints" / "latest").exists(), 600)
        made.kill_that_runs("RayTrainWorker")
        killed, size = time.monotonic(), len(read_log(job.folder / "log.jsonl"))
        wait_until(lambda: len(read_log(job.folder / "log.jsonl")) > size, 600)
        return time.monotonic() - killed

    with ThreadPoolExecutor(1) as pool, made.watched() as seen:
        recovering = pool.submit(kill)
        metrics = train(job)
    logged = [line["step"] for line in read_log(job.folder / "log.jsonl")]
    trained_on = {node for title, where in seen.items() if "RayTrainWorker" in title for node in where}
    return {
        "steps": metrics["steps"],
        "workers": metrics["workers"],
        "nodes": len(trained_on),
        "restarts": metrics["restarts"],
        "every_step_once": logged == list(range(1, steps + 1)),
        "recovery_seconds": recovering.result(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of traffic after the kill")
    parser.add_argument("--only", default="serve,crawl,train")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    given = parser.parse_args()
    from aag_ray.evaluate.machine import describe_machine
    from aag_ray.threads import share_cores

    share_cores()
    os.environ |= {"HF_HUB_OFFLINE": "1", "DS_ACCELERATOR": "cpu"}
    work: dict[str, Callable[[Nodes], dict[str, Any]]] = {
        "serve": lambda made: lose_a_node_while_serving(made, tiny_model(made.folder / "model"), given.seconds),
        "crawl": lose_a_node_while_crawling,
        "train": lambda made: lose_a_node_while_training(made, tiny_model(made.folder / "model")),
    }
    results: dict[str, Any] = {}
    for name in given.only.split(","):
        with nodes(workers=3 if name == "train" else 2) as made:
            results[name] = work[name](made)
        print(json.dumps({name: results[name]}), flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    report = {**results, "machine": describe_machine()}
    (given.out / f"node_loss-{stamp}.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
