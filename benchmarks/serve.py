"""What serving costs beside the policy itself, and how it behaves under load: raw times in one run, as JSON.

    python benchmarks/serve.py [--requests 60] [--flight 1 4 16] [--out benchmarks/results]

Starts Ray Serve on loopback with the base model alone, asks the same questions of the policy in this process and over HTTP,
one at a time in turns, and then over HTTP with several in flight.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import time
from pathlib import Path
from typing import Any

QUESTION = "What is the capital of Mozambique?"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--flight", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--tokens", type=int, default=8, help="answer tokens of each request")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()

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
    settings = {
        "model": {"name": options.model},
        "runs": "/nonexistent",
        "extract": {"extractor": "bm25"},
        "endpoint": {
            "answer": {"budget": {"seconds": 120, "answer_tokens": options.tokens}},
            "limits": {"in_flight": 64, "waiting": 256, "wait_seconds": 120},
        },
    }
    section = AppSection.model_validate(settings)
    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(build(section), name="aag", route_prefix="/")
    try:
        result = asyncio.run(measure(options, f"http://127.0.0.1:{port}"))
    finally:
        serve.shutdown()
        ray.shutdown()
    result |= {"benchmark": "serve", "options": vars(options) | {"out": str(options.out)}, "machine": describe_machine()}
    print(json.dumps({key: value for key, value in result.items() if key != "raw"}, indent=2))
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "serve.json").write_text(json.dumps(result, indent=2) + "\n")


async def measure(options: argparse.Namespace, url: str) -> dict[str, Any]:
    import httpx2 as httpx
    from ray import serve

    from aag_ray.answer.answer import gathered
    from aag_ray.answer.request import AnswerRequest, Mode
    from aag_ray.serve.handles import RemotePolicy

    policy = RemotePolicy(serve.get_deployment_handle("answering", app_name="aag"))
    body = {"model": "aag", "messages": [{"role": "user", "content": QUESTION}]}

    async with httpx.AsyncClient(timeout=300) as client:

        async def over_http() -> int:
            return (await client.post(f"{url}/v1/chat/completions", json=body)).status_code

        async def direct() -> int:
            answer = await gathered(policy.answer(AnswerRequest.asking(QUESTION, mode=Mode("aag"))))
            return 500 if answer.failed else 200

        for _ in range(5):
            await over_http()
            await direct()
        times: dict[str, list[float]] = {"http": [], "policy": []}
        for _ in range(options.requests):  # in turns, so that a busy moment of the machine meets both
            for name, ask in (("http", over_http), ("policy", direct)):
                began = time.perf_counter()
                assert await ask() == 200
                times[name].append(time.perf_counter() - began)
        load = [await under_load(over_http, flight, max(options.requests, 4 * flight)) for flight in options.flight]
    medians = {name: 1000 * statistics.median(values) for name, values in times.items()}
    return {
        "one_in_flight_ms": medians,
        "overhead_ms": medians["http"] - medians["policy"],
        "load": load,
        "raw": {name: [round(1000 * value, 3) for value in values] for name, values in times.items()},
    }


async def under_load(ask: Any, flight: int, count: int) -> dict[str, Any]:
    """`count` requests, `flight` at a time."""
    seconds: list[float] = []
    statuses: dict[int, int] = {}
    left = iter(range(count))

    async def client() -> None:
        for _ in left:
            began = time.perf_counter()
            status = await ask()
            seconds.append(time.perf_counter() - began)
            statuses[status] = statuses.get(status, 0) + 1

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(flight)))
    whole = time.perf_counter() - began
    cuts = statistics.quantiles(seconds, n=100)
    return {
        "in_flight": flight,
        "requests": count,
        "requests_per_second": count / whole,
        "p50_ms": 1000 * cuts[49],
        "p95_ms": 1000 * cuts[94],
        "p99_ms": 1000 * cuts[98],
        "statuses": statuses,
    }


if __name__ == "__main__":
    main()
