"""A crawl in rounds on Ray Data: frontier -> pages, archive and links -> next frontier.

All URLs of a host are one worker's in a round, so politeness needs no lock between machines. Everything a round decided
or found is a file before the next one begins; a later call replays those files and goes on. What grows with the crawl is on
the disk, not in memory.

    seeds.parquet              what the crawl starts from
    rounds/0000/asked.parquet  the URLs of a round, then urls/*.parquet: one row with an outcome for each of them
    pages/*.parquet, warc/     what was read, written by the workers; rows of urls.parquet name their file
    urls.parquet               at the end, all rounds together
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from aag_ray.artifacts import read_table, write_table
from aag_ray.config import CrawlConfig
from aag_ray.pipelines.crawl_table import CrawlTable
from aag_ray.pipelines.crawl_worker import CrawlWorker
from aag_ray.pipelines.frontier import Frontier, first_rows
from aag_ray.pipelines.rows import ActorPool, Row, stream_rows
from aag_ray.web.fetched import FetchOutcome

ROUND_URLS = 10_000  # as many as memory holds at once


def crawl(config: CrawlConfig, folder: Path) -> dict[str, Any]:
    """Crawl into `folder`, which belongs to one configuration, and return the report. Goes on where it was stopped.

    Ray must be initialised. Raises ConfigError if no seed can be asked for, RunError if the folder cannot be written.
    """
    began = time.monotonic()
    frontier = Frontier(config, _seeds(config, folder))
    pool = ActorPool(config.crawl.batch_urls, config.crawl.actors, config.crawl.cpus_per_actor, light=True)
    arguments = {"config": config, "folder": folder}
    rounds = urls = 0
    while True:
        here = folder / "rounds" / f"{rounds:04}"
        asked_file = here / "asked.parquet"
        if asked_file.exists():
            asked = read_table(asked_file)
            frontier.take(asked)
        else:
            if time.monotonic() - began > config.crawl.max_seconds:
                break
            asked = frontier.next_round(min(config.crawl.max_pages - urls, ROUND_URLS))
            if not asked:
                break
            write_table(asked_file, asked)
        share = host_shares(asked, config.crawl.batch_urls, config.crawl.actors)
        ended = stream_rows(
            asked,
            CrawlWorker,
            arguments,
            here / "urls",
            failed=_failed,
            pool=pool,
            name="urls",
            stage="crawl",
            together=lambda row, share=share: share[row["host"]],
        )
        frontier.absorb(ended)
        rounds, urls = rounds + 1, urls + len(asked)
        print(f"round {rounds}: {len(asked)} URLs, {urls} in all, {len(frontier)} waiting", flush=True)
    table = CrawlTable()
    table.write(sorted((folder / "rounds").glob("*/urls/*.parquet")), folder / "urls.parquet")
    _drop_leftovers(folder, table.files)
    seconds = time.monotonic() - began
    rate = {"seconds": seconds, "pages_per_second": table.pages / seconds}
    return table.report() | {"rounds": rounds, "waiting": len(frontier)} | rate


def host_shares(rows: Sequence[Row], most: int, actors: int) -> dict[str, str]:
    """The share of a round that each host is in. Shares are whole hosts, about equally large and about `most` rows at most,
    and as many for each actor, so that all of them end together."""
    loads = [0] * (actors * -(-len(rows) // (actors * most)))
    share: dict[str, str] = {}
    for host, urls in Counter(row["host"] for row in rows).most_common():
        least = loads.index(min(loads))
        loads[least] += urls
        share[host] = str(least)
    return share


def _seeds(config: CrawlConfig, folder: Path) -> list[Row]:
    file = folder / "seeds.parquet"
    if not file.exists():
        write_table(file, asyncio.run(first_rows(config)))
    return read_table(file)


def _failed(row: Row, detail: str) -> Row:
    nothing = {
        "final_url": row["url"],
        "status": 0,
        "bytes": 0,
        "seconds": 0.0,
        "fetched_at": 0.0,
        "record": "",
        "page_file": "",
    }
    return row | nothing | {"outcome": FetchOutcome.FAILED.value, "detail": detail, "links": []}


def _drop_leftovers(folder: Path, named: Collection[str]) -> None:
    """Files of batches that were interrupted and then cut differently: no row names them."""
    for path in [*(folder / "pages").glob("*.parquet"), *(folder / "warc").glob("*")]:
        if path.name not in named:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
