"""Pages a second of a crawl: the plain asyncio fetcher, the Ray Data job, and Scrapy, on one local web of many hosts.

    pip install scrapy==2.19.0            # beside the project, for the comparison alone
    python benchmarks/crawl.py [--pages 5000] [--hosts 50] [--rounds 1] [--crawlers asyncio ray scrapy]
                                [--memory 5000 10000 20000] [--out benchmarks/results]

The site is served by a process of its own on loopback. Delays are off for all, robots.txt is obeyed by all, and all follow
every link they find to the same pages. Peak memory is that of the crawling process and its children, without what they share
with others. With `--memory` the Ray Data job then reads so many pages of a web that has as many as the largest number: what
its driver held at most, and the largest of its workers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SPIDER = """
import json, sys
import scrapy
from scrapy.crawler import CrawlerProcess
web = json.loads(sys.argv[1])
class Everything(scrapy.Spider):
    name = "everything"
    start_urls = web["seeds"]
    pages = 0
    def parse(self, response):
        type(self).pages += 1
        if hasattr(response, "css"):
            for link in response.css("a::attr(href)").getall():
                target = response.urljoin(link)
                if target.startswith(tuple(web["seeds"])):
                    yield scrapy.Request(target)
process = CrawlerProcess({
    "ROBOTSTXT_OBEY": True, "CONCURRENT_REQUESTS": 64, "CONCURRENT_REQUESTS_PER_DOMAIN": 64, "DOWNLOAD_DELAY": 0,
    "LOG_ENABLED": False, "TELNETCONSOLE_ENABLED": False, "RETRY_ENABLED": False, "DEPTH_LIMIT": 0,
})
process.crawl(Everything)
process.start()
print(json.dumps({"pages": Everything.pages}))
"""


@contextmanager
def local_web(pages: int, hosts: int) -> Iterator[dict[str, Any]]:
    options = [f"--pages={pages}", f"--hosts={hosts}", "--json", "crawl_delay=0", "index=at_first_search"]
    command = [sys.executable, "-m", "aag_ray.world", "serve", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)


def plain(web: dict[str, Any]) -> dict[str, Any]:
    """One event loop, no Ray: fetch, decode, read links, until nothing new is found."""
    from aag_ray.config import CrawlConfig
    from aag_ray.pages.links import read_links
    from aag_ray.pipelines.frontier import Frontier, first_rows
    from aag_ray.web.encoding import decode_page
    from aag_ray.web.fetch import Fetcher

    async def run() -> int:
        config = CrawlConfig.model_validate(settings(web))
        frontier, pages = Frontier(config, await first_rows(config)), 0
        async with Fetcher(config.fetch) as fetcher:
            while rows := frontier.next_round(10**9):
                asked = {row["url"]: row for row in rows}
                ended = []
                async for fetched in fetcher.fetch_all(asked, stay_on_host=True):
                    pages += fetched.ok
                    text = decode_page(fetched.body, fetched.content_type).text
                    links = read_links(text, fetched.final_url) if fetched.ok else ()
                    ended.append(asked[fetched.url] | {"outcome": fetched.outcome.value, "links": links, "ready_at": 0.0})
                frontier.absorb(ended)
        return pages

    return {"pages": asyncio.run(run())}


def settings(web: dict[str, Any]) -> dict[str, Any]:
    polite = {"delay_seconds": 0, "per_host": 64, "concurrency": 64, "backoff_seconds": 0.01}
    crawl = {"seeds": web["seeds"], "scope": {"depth": 1000}, "max_pages": 10**9, "host_urls": 10**6}
    return {"crawl": crawl, "fetch": {"guard": {"allow": web["allow"]}, "politeness": polite}}


def with_ray(web: dict[str, Any], max_pages: int = 10**9) -> dict[str, Any]:
    """jobs/crawl.py as a user runs it; `seconds` is the crawl without starting and stopping Ray."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "crawl.json"
        file.write_text(json.dumps(settings(web)))
        command = [sys.executable, "jobs/crawl.py", f"--config={file}", f"run.root={folder}", f"crawl.max_pages={max_pages}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        report = json.loads(done.stdout.splitlines()[-1])["metrics"]["crawl"]
        return {"pages": report["pages"], "seconds": report["seconds"], "rounds": report["rounds"]}


def scrapy(web: dict[str, Any]) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", SPIDER, json.dumps(web)], capture_output=True, text=True, check=False)
    if done.returncode:
        return {"pages": 0, "error": done.stderr.strip().splitlines()[-1]}
    return json.loads(done.stdout.splitlines()[-1])


CRAWLERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"asyncio": plain, "ray": with_ray, "scrapy": scrapy}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=5000)
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--crawlers", nargs="+", choices=CRAWLERS, default=[*CRAWLERS])
    parser.add_argument("--memory", type=int, nargs="+", default=[])
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    from aag_ray.evaluate.machine import describe_machine

    rows: list[dict[str, Any]] = []
    with local_web(options.pages, options.hosts) as web:
        for _ in range(options.rounds):
            for name in options.crawlers:
                began = time.perf_counter()
                with peak_memory() as memory:
                    found = CRAWLERS[name](web)
                seconds = found.pop("seconds", time.perf_counter() - began)
                rates = {"seconds": seconds, "pages_per_second": found["pages"] / seconds, "peak_mb": memory["all"]}
                rows.append({"crawler": name} | found | rates)
                print(json.dumps(rows[-1]), flush=True)
    sizes: list[dict[str, Any]] = []
    if options.memory:
        with local_web(max(options.memory), options.hosts) as web:
            for pages in options.memory:
                with peak_memory() as memory:
                    found = with_ray(web, pages)
                sizes.append(found | {"driver_mb": memory["driver"], "worker_mb": memory["worker"]})
                print(json.dumps(sizes[-1]), flush=True)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        result = {"pages": options.pages, "hosts": options.hosts, "rows": rows, "memory": sizes, "machine": describe_machine()}
        (options.out / f"crawl-{time.strftime('%Y%m%d-%H%M%S')}.json").write_text(json.dumps(result, indent=2) + "\n")


@contextmanager
def peak_memory() -> Iterator[dict[str, float]]:
    """Megabytes that this process and its descendants held at most, apart from the server's, looked at four times a second:
    `all` together, the `driver` of the Ray Data job, and the largest `worker` of it."""
    import psutil

    me, stop = psutil.Process(os.getpid()), threading.Event()
    seen: dict[str, float] = {"all": 0.0, "driver": 0.0, "worker": 0.0}
    before = {child.pid for child in me.children(recursive=True)}

    def watch() -> None:
        while not stop.wait(0.25):
            now = dict.fromkeys(seen, 0.0)
            for process in (me, *me.children(recursive=True)):
                try:
                    command, memory = process.cmdline(), process.memory_info()
                except psutil.Error:  # it has just ended
                    continue
                if process.pid not in before:
                    own = (memory.rss - memory.shared) / 1e6
                    role = "worker" if command[:1] and command[0].startswith("ray::") else "driver"
                    now["all"] += own
                    if role == "worker" or "jobs/crawl.py" in command:
                        now[role] = max(now[role], own)
            seen.update({role: max(held, now[role]) for role, held in seen.items()})

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    main()
