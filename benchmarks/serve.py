"""What serving costs beside the policy itself, and how it behaves under load: raw times in one run, as JSON.

    python benchmarks/serve.py [--requests 60] [--flight 1 4 16] [--memory 1000] [--out benchmarks/results]

Starts Ray Serve on loopback with the base model alone. The same question is asked of the policy object in this process and over
HTTP, in turns, one at a time, each on one thread, and with them an empty chain of three deployments that are called as those of
the endpoint are: that much of the difference is Ray Serve's own calls. Then the question is asked over HTTP as streams with
several in flight; then by five times as many clients as the endpoint has places; then by clients that leave; then `--memory`
times, between readings of the replicas' memory.

Beside a model that writes for half a second, the milliseconds that serving adds are lost in noise: `--model tiny` serves a
random one of a few thousand weights.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from empty_chain import empty_chain
from tiny_model import tiny_model

QUESTION = "What is the capital of Mozambique?"
IN_FLIGHT, WAITING = 16, 32
LEAVING = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--flight", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--memory", type=int, default=1000, help="requests between the two readings of memory")
    parser.add_argument("--model", default="smollm2-135m-instruct", help="or tiny")
    parser.add_argument("--tokens", type=int, default=8, help="answer tokens of each request")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # what Ray gives the engine's replica, which asks for one CPU

    from aag_ray.threads import share_cores

    share_cores()
    import ray
    from ray import serve

    from aag_ray.config import AppSection
    from aag_ray.evaluate.machine import describe_machine
    from aag_ray.serve.app import build

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    folder = tempfile.TemporaryDirectory()
    settings = {
        "model": {"name": str(tiny_model(Path(folder.name))) if options.model == "tiny" else options.model},
        "runs": "/nonexistent",
        "extract": {"extractor": "bm25"},
        "endpoint": {
            "answer": {"budget": {"seconds": 120, "answer_tokens": 256}},
            "limits": {"in_flight": IN_FLIGHT, "waiting": WAITING, "wait_seconds": 120},
        },
    }
    section = AppSection.model_validate(settings)
    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(build(section), name="aag", route_prefix="/")
    serve.run(empty_chain(), name="empty", route_prefix="/empty")
    try:
        result = asyncio.run(measure(options, section, f"http://127.0.0.1:{port}"))
    finally:
        serve.shutdown()
        ray.shutdown()
        folder.cleanup()
    result |= {"benchmark": "serve", "options": vars(options) | {"out": str(options.out)}, "machine": describe_machine()}
    print(json.dumps({key: value for key, value in result.items() if key != "raw"}, indent=2))
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        path = options.out / f"serve-{time.strftime('%Y%m%d-%H%M%S')}.json"
        path.write_text(json.dumps(result, indent=2) + "\n")


async def measure(options: argparse.Namespace, section: Any, url: str) -> dict[str, Any]:
    import httpx2 as httpx

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=300, limits=limits) as client:
        body = {"model": "aag", "max_tokens": options.tokens, "messages": [{"role": "user", "content": QUESTION}]}

        async def ask() -> int:
            return (await client.post("/v1/chat/completions", json=body)).status_code

        async def empty() -> int:
            return (await client.post("/empty/", json=body)).status_code

        found: dict[str, Any] = await overhead(options, section, ask, empty)
        found["streams"] = [
            await streams(client, body | {"stream": True}, flight, max(options.requests, 4 * flight))
            for flight in options.flight
        ]
        found["overload"] = await overload(client, ask)
        found["leaving"] = await leaving(client, ask, body)
        found["memory"] = await memory(ask, options.memory)
        return found


async def overhead(
    options: argparse.Namespace, section: Any, ask: Callable[[], Awaitable[int]], empty: Callable[[], Awaitable[int]]
) -> dict[str, Any]:
    """Milliseconds of one request at a time: over HTTP, of a policy object with a model of its own in this process, and of an
    empty chain over HTTP."""
    from aag_ray.answer.models import BaseParts
    from aag_ray.answer.parser import UntrainedParser
    from aag_ray.answer.parts import InThread
    from aag_ray.answer.policy import Policy
    from aag_ray.answer.request import AnswerRequest, Mode
    from aag_ray.answer.web_path import WebPath
    from aag_ray.extract.build import build_extractor
    from aag_ray.llm.load import load_model
    from aag_ray.web.fetch import Fetcher
    from aag_ray.web.rank.mixed import Ranker
    from aag_ray.web.search.pool import SearchPool

    answering = section.endpoint.answer.model_copy(
        update={"budget": section.endpoint.answer.budget.model_copy(update={"answer_tokens": options.tokens})}
    )
    extractor = InThread(build_extractor(section.extract))
    web = WebPath(SearchPool(section.search), Fetcher(section.fetch), Ranker(section.rank), extractor, answering, section.pages)
    parts = BaseParts(load_model(section.model), section.decoding)
    policy = Policy(UntrainedParser(), parts, parts, web, answering)

    async def direct() -> int:
        answer = await policy.whole(AnswerRequest.asking(QUESTION, mode=Mode.MEMORY))
        return 500 if answer.failed else 200

    times: dict[str, list[float]] = {"http": [], "policy": [], "empty": []}
    try:
        for number in range(options.requests + 5):  # in turns, so that a busy moment of the machine meets both
            for name, call in (("http", ask), ("policy", direct), ("empty", empty)):
                began = time.perf_counter()
                assert await call() == 200, name
                if number >= 5:
                    times[name].append(1000 * (time.perf_counter() - began))
    finally:
        parts.close()
    medians = {name: statistics.median(values) for name, values in times.items()}
    pairs = [http - policy for http, policy in zip(times["http"], times["policy"], strict=True)]
    return {
        "one_in_flight_ms": medians,
        "overhead_ms": {"of_medians": medians["http"] - medians["policy"], "median_of_pairs": statistics.median(pairs)},
        "raw": {name: [round(value, 3) for value in values] for name, values in times.items()},
    }


async def streams(client: Any, body: dict[str, Any], flight: int, count: int) -> dict[str, Any]:
    """`count` streams, `flight` at a time: milliseconds to the first event, to the first text, and to the end."""
    times: dict[str, list[float]] = {"first_event": [], "first_text": [], "whole": []}
    endings: Counter[str] = Counter()
    left = iter(range(count))

    async def one() -> None:
        for _ in left:
            began, seen, last = time.perf_counter(), set[str](), ""
            async with client.stream("POST", "/v1/chat/completions", json=body) as reply:
                async for line in reply.aiter_lines():
                    if not line.startswith("data: "):
                        continue
                    now, last = 1000 * (time.perf_counter() - began), line
                    for name in ({"first_event", "first_text"} if has_text(line) else {"first_event"}) - seen:
                        seen.add(name)
                        times[name].append(now)
            times["whole"].append(1000 * (time.perf_counter() - began))
            endings[f"{reply.status_code} {last.removeprefix('data: ')[:6]}"] += 1

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(flight)))
    seconds = time.perf_counter() - began
    quantiles = {name: percentiles(values) for name, values in times.items()}
    return {"in_flight": flight, "requests": count, "per_second": count / seconds, "endings": dict(endings), "ms": quantiles}


def has_text(line: str) -> bool:
    return '"content":"' in line and '"content":""' not in line


def percentiles(values: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98]}


async def overload(client: Any, ask: Callable[[], Awaitable[int]]) -> dict[str, Any]:
    """Five times as many requests at once as there are places."""
    statuses = Counter(await asyncio.gather(*(ask() for _ in range(5 * (IN_FLIGHT + WAITING)))))
    healthy = (await client.get("/healthz")).status_code
    return {"places": IN_FLIGHT + WAITING, "at_once": statuses.total(), "statuses": dict(statuses), "healthz_after": healthy}


async def leaving(client: Any, ask: Callable[[], Awaitable[int]], body: dict[str, Any]) -> dict[str, Any]:
    """All places are taken by clients that want 256 tokens and leave at their first text. How long until one more is answered,
    beside how long it takes on an idle server?"""
    idle, after = [], []
    for _ in range(5):
        began = time.perf_counter()
        assert await ask() == 200
        idle.append(1000 * (time.perf_counter() - began))

        async def leave() -> None:
            async with client.stream("POST", "/v1/chat/completions", json=body | {"stream": True, "max_tokens": 256}) as reply:
                async for line in reply.aiter_lines():
                    if has_text(line):
                        return

        await asyncio.gather(*(leave() for _ in range(LEAVING)))
        began = time.perf_counter()
        assert await ask() == 200
        after.append(1000 * (time.perf_counter() - began))
    return {
        "clients": LEAVING,
        "idle_ms": idle,
        "after_they_left_ms": after,
        "freed_in_ms": statistics.median(after) - min(idle),
    }


async def memory(ask: Callable[[], Awaitable[int]], count: int) -> dict[str, Any]:
    """Megabytes that the replicas hold in all: now, after half of the requests, and after all."""
    readings, statuses = [replicas_mb()], Counter[int]()
    for _ in range(2):
        left = iter(range(count // 2))

        async def client(left: Any = left) -> None:
            for _ in left:
                statuses[await ask()] += 1

        await asyncio.gather(*(client() for _ in range(IN_FLIGHT)))
        readings.append(replicas_mb())
    return {"requests": count, "statuses": dict(statuses), "replicas_mb": readings}


def replicas_mb() -> float:
    """Resident memory of all of Serve's replicas."""
    import psutil

    total = 0
    for process in psutil.process_iter(["cmdline", "memory_info"]):
        command = " ".join(process.info["cmdline"] or ())
        if command.startswith("ray::ServeReplica:aag:") and process.info["memory_info"]:
            total += process.info["memory_info"].rss
    return total / 2**20


if __name__ == "__main__":
    main()
