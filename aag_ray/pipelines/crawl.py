"""A crawl in rounds on Ray Data: frontier -> pages, archive and links -> next frontier.

All URLs of a host are one worker's in a round, so politeness needs no lock between machines. Everything a round decided
or found is a file before the next one begins; a later call replays those files and goes on.

    seeds.parquet              what the crawl starts from
    rounds/0000/asked.parquet  the URLs of a round, then urls.parquet: one row with an outcome for each of them
    pages/*.parquet, warc/     what was read, written by the workers; rows of urls.parquet name their file
    urls.parquet               at the end, all rounds together
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aag_ray.artifacts import fingerprint, read_table, write_table
from aag_ray.config import CrawlConfig
from aag_ray.pipelines.frontier import Frontier, first_rows
from aag_ray.pipelines.rows import ActorPool, Row, run_rows
from aag_ray.web.archive import Archive
from aag_ray.web.fetch import Fetcher
from aag_ray.web.fetched import Fetched, FetchOutcome
from aag_ray.web.urls import canonical_url

PAGES_FILE_CHARACTERS = 50_000_000


class CrawlWorker:
    """Rows of URLs in, rows of outcomes out; pages go to files of their own. Hosts are remembered for the next batch."""

    def __init__(self, config: CrawlConfig, folder: Path) -> None:
        self._config, self._folder = config, folder
        self._runner = asyncio.Runner()
        self._before: Fetcher | None = None

    def __call__(self, rows: list[Row]) -> list[Row]:
        return self._runner.run(self._read(rows))

    async def _read(self, rows: list[Row]) -> list[Row]:
        key = fingerprint([row["id"] for row in rows])
        shutil.rmtree(self._folder / "warc" / key, ignore_errors=True)  # of an earlier try, which nothing points to
        pages = _PageFiles(self._folder / "pages", key)
        asked = {row["url"]: row for row in rows}
        ended: dict[str, Row] = {}
        async with Fetcher(self._config.fetch, archive=Archive(self._folder / "warc" / key)) as fetcher:
            if self._before is not None:
                fetcher.politeness, fetcher.robots.sites = self._before.politeness, self._before.robots.sites
            self._before = fetcher
            for host, ready_at in {row["host"]: row["ready_at"] for row in rows}.items():
                fetcher.politeness.rest(host, max(0.0, ready_at - time.time()))
            async for fetched in fetcher.fetch_all(asked, deadline=self._config.crawl.round_seconds, stay_on_host=True):
                row = asked[fetched.url]
                ended[row["id"]] = self._ended(row, fetched, pages)
        pages.write()
        for row in ended.values():
            row["ready_at"] = time.time() + fetcher.politeness.seconds_to_rest(row["host"])
            row["record"] = f"{key}/{row['record']}" if row["record"] else ""
        return [ended[row["id"]] for row in rows]

    def _ended(self, row: Row, fetched: Fetched, pages: _PageFiles) -> Row:
        from aag_ray.pages.links import read_links
        from aag_ray.web.encoding import decode_page

        links: Sequence[str] = ()
        file = ""
        if fetched.outcome is FetchOutcome.REDIRECTED_AWAY:
            links = [fetched.final_url]
        elif fetched.ok:
            text = decode_page(fetched.body, fetched.content_type)
            is_html = "html" in fetched.content_type or text.text.lstrip()[:1] == "<"
            links = read_links(text.text, fetched.final_url, self._config.pages) if is_html else ()
            file = pages.add(
                {
                    "id": row["id"],
                    "url": fetched.final_url,
                    "is_html": is_html,
                    "text": text.text,
                    "encoding": text.encoding,
                    "fetched_at": fetched.fetched_at,
                }
            )
        return row | {
            "final_url": fetched.final_url,
            "outcome": fetched.outcome.value,
            "detail": fetched.detail,
            "status": fetched.status,
            "bytes": fetched.wire_bytes,
            "seconds": fetched.seconds,
            "fetched_at": fetched.fetched_at,
            "record": fetched.record,
            "page_file": file,
            "links": list(links),
        }


class _PageFiles:
    """Collects pages and writes them as parquet files of bounded size, named by their batch, so that a second try replaces."""

    def __init__(self, folder: Path, key: str) -> None:
        self._folder, self._key = folder, key
        self._rows: list[Row] = []
        self._characters = self._number = 0

    def add(self, row: Row) -> str:
        """Take in one page; the name of the file it will be in."""
        if self._characters > PAGES_FILE_CHARACTERS:
            self.write()
        self._rows.append(row)
        self._characters += len(row["text"])
        return f"{self._key}-{self._number}.parquet"

    def write(self) -> None:
        if self._rows:
            write_table(self._folder / f"{self._key}-{self._number}.parquet", self._rows)
        self._rows, self._characters, self._number = [], 0, self._number + 1


def crawl(config: CrawlConfig, folder: Path) -> dict[str, Any]:
    """Crawl into `folder`, which belongs to one configuration, and return the report. Goes on where it was stopped.

    Ray must be initialised. Raises ConfigError if no seed can be asked for, RunError if the folder cannot be written.
    """
    began = time.monotonic()
    frontier = Frontier(config, _seeds(config, folder))
    pool = ActorPool(config.crawl.batch_urls, config.crawl.actors, config.crawl.cpus_per_actor)
    arguments = {"config": config, "folder": folder}
    rows: list[Row] = []
    number = 0
    while True:
        here = folder / "rounds" / f"{number:04}"
        asked_file = here / "asked.parquet"
        if asked_file.exists():
            asked = read_table(asked_file)
            frontier.take(asked)
        else:
            if time.monotonic() - began > config.crawl.max_seconds:
                break
            asked = frontier.next_round(config.crawl.max_pages - len(rows))
            if not asked:
                break
            write_table(asked_file, asked)
        ended = run_rows(
            asked,
            CrawlWorker,
            arguments,
            here,
            failed=_failed,
            pool=pool,
            name="urls",
            stage="crawl",
            together=lambda row: row["host"],
        )
        rows += ended
        frontier.absorb(ended)
        number += 1
        print(f"round {number}: {len(ended)} URLs, {len(rows)} in all, {len(frontier)} waiting", flush=True)
    _mark_duplicates(rows)
    write_table(folder / "urls.parquet", rows)
    _drop_leftovers(folder, rows)
    return _report(rows, number, len(frontier), time.monotonic() - began)


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


def _mark_duplicates(rows: list[Row]) -> None:
    """Several URLs may have led to one page: the first of them keeps it."""
    first: dict[str, str] = {}
    for row in rows:
        at = canonical_url(row["final_url"]) if row["page_file"] else ""
        row["duplicate_of"] = first.get(at, "")
        if at:
            first.setdefault(at, row["id"])


def _drop_leftovers(folder: Path, rows: Sequence[Row]) -> None:
    """Files of batches that were interrupted and then cut differently: no row names them."""
    named = {row["page_file"] for row in rows} | {row["record"].partition("/")[0] for row in rows if row["record"]}
    for path in [*(folder / "pages").glob("*.parquet"), *(folder / "warc").glob("*")]:
        if path.name not in named:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _report(rows: Sequence[Row], rounds: int, waiting: int, seconds: float) -> dict[str, Any]:
    read = [row for row in rows if row["page_file"]]
    return {
        "urls": len(rows),
        "pages": len(read),
        "duplicates": sum(bool(row["duplicate_of"]) for row in read),
        "outcomes": dict(Counter(row["outcome"] for row in rows).most_common()),
        "hosts": len({row["host"] for row in rows}),
        "bytes": sum(row["bytes"] for row in rows),
        "rounds": rounds,
        "waiting": waiting,
        "seconds": seconds,
        "pages_per_second": len(read) / seconds if seconds else 0.0,
    }
