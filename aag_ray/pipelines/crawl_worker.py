"""One worker of a crawl: reads the pages of whole hosts, and leaves them in files of its own."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from aag_ray.artifacts import fingerprint, write_atomically
from aag_ray.config import CrawlConfig
from aag_ray.pipelines.rows import Row
from aag_ray.web.archive import Archive
from aag_ray.web.fetch import Fetcher
from aag_ray.web.fetched import Fetched, FetchOutcome

PAGES_FILE_CHARACTERS = 10_000_000


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
        asked = {row["url"]: row for row in _in_turn(rows)}
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


def _in_turn(rows: Iterable[Row]) -> list[Row]:
    """One URL of each host, then the next of each: few connections to many hosts, each of them used again."""
    turns: Counter[str] = Counter()

    def turn(row: Row) -> int:
        turns[row["host"]] += 1
        return turns[row["host"]]

    return sorted(rows, key=turn)


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
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._rows:
            sink = pa.BufferOutputStream()
            pq.write_table(pa.Table.from_pylist(self._rows), sink, compression="zstd", use_dictionary=False)  # texts differ
            write_atomically(self._folder / f"{self._key}-{self._number}.parquet", sink.getvalue().to_pybytes())
        self._rows, self._characters, self._number = [], 0, self._number + 1
