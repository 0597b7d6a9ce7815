"""Crawled pages to spans on Ray Data: one row with an outcome for every page that a crawl read.

No more than a batch of pages is held in memory: what is finished is kept in files until all of them are one table.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from aag_ray.config import PagesSection, TagConfig
from aag_ray.pages.page import PageOutcome
from aag_ray.pages.timed import TimedTagger
from aag_ray.pipelines.row_files import common_schema, each_row, write_rows
from aag_ray.pipelines.rows import ActorPool, Row, stream_rows

ROUND_PAGES = 10_000  # as many as Ray is told of at once
NAMES = ["id", "final_url", "fetched_at", "record", "page_file", "duplicate_of"]


class TagWorker:
    """Rows that name pages in, rows with text, blocks and spans out. No page holds it longer than `page_seconds`."""

    def __init__(self, config: PagesSection, pages: Path) -> None:
        self._tagger, self._pages = TimedTagger(config), pages

    def __call__(self, rows: list[Row]) -> list[Row]:
        asked = {row["id"]: row for row in rows}
        pages = each_row(self._pages / file for file in sorted({row["page_file"] for row in rows}))
        tagged = {page["id"]: tagged_row(asked[page["id"]], page, self._tagger) for page in pages if page["id"] in asked}
        return [tagged[row["id"]] for row in rows]


def tagged_row(row: Row, page: Row, tagger: TimedTagger) -> Row:
    """A crawled page as its row of spans. `spans` hold offsets into `text`, and the index of their block in `blocks`."""
    tagged = tagger.tag(page["text"], page["url"], is_html=page["is_html"])
    if tagged.page is None:
        return _without_page(row, tagged.outcome, tagged.detail)
    spans = [span._asdict() for span in tagged.spans]
    return _named(row, tagged.page.to_row()) | {"outcome": tagged.outcome.value, "detail": tagged.detail, "spans": spans}


def tag_pages(config: TagConfig, crawl: Path, folder: Path) -> dict[str, Any]:
    """Every page of the crawl in folder `crawl`, tagged, as `folder/spans.parquet`; resumes what `folder` holds.

    The rows are in the order of the crawl's, those of one page file together. Ray must be initialised. Raises RunError if the
    folder cannot be written or the crawl's table cannot be read; the pages of a damaged page file are FAILED.
    """
    began = time.monotonic()
    table, parts = folder / "spans.parquet", folder / "parts"
    files = [table] if table.exists() else _tagged(config, crawl, parts)
    outcomes, sums = Counter[str](), Counter(near_duplicates=0, spans=0, characters=0)
    rows = _marked(each_row(files), config.pages.duplicate_similarity, outcomes, sums)
    write_rows(table, rows, pa.unify_schemas([common_schema(files), pa.schema([("near_duplicate_of", pa.string())])]))
    shutil.rmtree(parts, ignore_errors=True)
    pages, seconds = outcomes.total(), time.monotonic() - began
    told = {"pages": pages, "outcomes": dict(outcomes.most_common()), **sums}
    return told | {"seconds": seconds, "pages_per_second": pages / seconds}


def _tagged(config: TagConfig, crawl: Path, parts: Path) -> list[Path]:
    """The files of all finished rows, in the order of the rows."""
    urls = each_row([crawl / "urls.parquet"], NAMES)
    pages = (row for row in urls if row["page_file"] and not row["duplicate_of"])
    pool = ActorPool(config.batch_pages, config.actors, config.cpus_per_actor, light=True, ordered=True)
    arguments = {"config": config.pages, "pages": crawl / "pages"}
    how: dict[str, Any] = {"failed": _failed, "pool": pool, "name": "spans", "stage": "tag"}
    for number, rows in enumerate(iter(lambda: list(islice(pages, ROUND_PAGES)), [])):
        here = parts / f"{number:04}"
        for _ in stream_rows(rows, TagWorker, arguments, here, together=lambda row: row["page_file"], **how):
            pass  # it is in its file
    return sorted(parts.glob("*/*.parquet"))


def _named(row: Row, told: Row) -> Row:
    return told | {"id": row["id"], "url": row["final_url"], "fetched_at": row["fetched_at"], "record": row["record"]}


def _without_page(row: Row, outcome: PageOutcome, detail: str) -> Row:
    nothing = {"title": "", "date": "", "language": "", "canonical_url": "", "text": "", "blocks": [], "spans": []}
    return _named(row, nothing) | {"outcome": outcome.value, "detail": detail}


def _failed(row: Row, detail: str) -> Row:
    return _without_page(row, PageOutcome.FAILED, detail)


def _marked(rows: Iterable[Row], similarity: float, outcomes: Counter[str], sums: Counter[str]) -> Iterator[Row]:
    """The rows as they come, each with the earlier one that it nearly repeats; counts them meanwhile."""
    from aag_ray.pages.duplicates import NearDuplicates

    seen = NearDuplicates(similarity)
    for row in rows:
        original = (seen.add(row["id"], row["text"]) or "") if row["text"] else ""
        outcomes[row["outcome"]] += 1
        sums.update(near_duplicates=bool(original), spans=len(row["spans"]), characters=len(row["text"]))
        yield row | {"near_duplicate_of": original}
