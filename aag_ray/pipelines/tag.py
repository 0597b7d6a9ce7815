"""Crawled pages to spans on Ray Data: one row with an outcome for every page that a crawl read."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aag_ray.artifacts import read_table, write_table
from aag_ray.config import PagesSection, TagConfig
from aag_ray.pages.page import PageOutcome
from aag_ray.pages.timed import TimedTagger
from aag_ray.pipelines.rows import ActorPool, Row, run_rows


class TagWorker:
    """Rows that name pages in, rows with text, blocks and spans out. No page holds it longer than `page_seconds`."""

    def __init__(self, config: PagesSection, pages: Path) -> None:
        self._tagger, self._pages = TimedTagger(config), pages

    def __call__(self, rows: list[Row]) -> list[Row]:
        files = {row["page_file"] for row in rows}
        read = {page["id"]: page for file in sorted(files) for page in read_table(self._pages / file)}
        return [tagged_row(row, read[row["id"]], self._tagger) for row in rows]


def tagged_row(row: Row, page: Row, tagger: TimedTagger) -> Row:
    """A crawled page as its row of spans. `spans` hold offsets into `text`, and the index of their block in `blocks`."""
    tagged = tagger.tag(page["text"], page["url"], is_html=page["is_html"])
    if tagged.page is None:
        return _without_page(row, tagged.outcome, tagged.detail)
    spans = [span._asdict() for span in tagged.spans]
    return _named(row, tagged.page.to_row()) | {"outcome": tagged.outcome.value, "detail": tagged.detail, "spans": spans}


def tag_pages(config: TagConfig, crawl: Path, folder: Path) -> dict[str, Any]:
    """Every page of the crawl in folder `crawl`, tagged, as `folder/spans.parquet`; resumes what `folder` holds.

    Ray must be initialised. Raises RunError if the folder cannot be written or a page file is damaged.
    """
    began = time.monotonic()
    urls = read_table(crawl / "urls.parquet")
    rows = [
        {name: row[name] for name in ("id", "final_url", "fetched_at", "record", "page_file")}
        for row in urls
        if row["page_file"] and not row["duplicate_of"]
    ]
    pool = ActorPool(config.batch_pages, config.actors, config.cpus_per_actor)
    arguments = {"config": config.pages, "pages": crawl / "pages"}
    results = run_rows(
        rows,
        TagWorker,
        arguments,
        folder,
        failed=_failed,
        pool=pool,
        name="spans",
        stage="tag",
        together=lambda row: row["page_file"],
    )
    _mark_near_duplicates(results, config.pages.duplicate_similarity)
    write_table(folder / "spans.parquet", results)
    return _report(results, time.monotonic() - began)


def _named(row: Row, told: Row) -> Row:
    return told | {"id": row["id"], "url": row["final_url"], "fetched_at": row["fetched_at"], "record": row["record"]}


def _without_page(row: Row, outcome: PageOutcome, detail: str) -> Row:
    nothing = {"title": "", "date": "", "language": "", "canonical_url": "", "text": "", "blocks": [], "spans": []}
    return _named(row, nothing) | {"outcome": outcome.value, "detail": detail}


def _failed(row: Row, detail: str) -> Row:
    return _without_page(row, PageOutcome.FAILED, detail)


def _mark_near_duplicates(rows: Sequence[Row], similarity: float) -> None:
    from aag_ray.pages.duplicates import NearDuplicates

    seen = NearDuplicates(similarity)
    for row in rows:
        row["near_duplicate_of"] = (seen.add(row["id"], row["text"]) or "") if row["text"] else ""


def _report(rows: Sequence[Row], seconds: float) -> dict[str, Any]:
    return {
        "pages": len(rows),
        "outcomes": dict(Counter(row["outcome"] for row in rows).most_common()),
        "near_duplicates": sum(bool(row["near_duplicate_of"]) for row in rows),
        "spans": sum(len(row["spans"]) for row in rows),
        "characters": sum(len(row["text"]) for row in rows),
        "seconds": seconds,
        "pages_per_second": len(rows) / seconds if seconds else 0.0,
    }
