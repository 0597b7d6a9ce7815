"""A crawl of a real local web on a real Ray: one outcome for every URL, whatever is killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aag_ray.artifacts import Run, RunError, read_table
from aag_ray.config import CrawlConfig, TagConfig, WorldSection
from aag_ray.pipelines.crawl import CrawlWorker, crawl, host_shares
from aag_ray.pipelines.tag import tag_pages
from aag_ray.pipelines.web_run import crawl_run, tag_run
from aag_ray.settings import ConfigError, load_config
from aag_ray.web.archive import read_record
from aag_ray.web.urls import canonical_url
from aag_ray.world.serve import LocalWeb
from aag_ray.world.site import SiteSection

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def web() -> Iterator[LocalWeb]:
    """A small web of eight hosts, served by a thread of its own."""
    small = WorldSection(train_questions=40, dev_questions=8, test_questions=8)
    local = LocalWeb(SiteSection(hosts=8, pages=160, crawl_delay=0.0, index="at_first_search", world=small))
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with local.running():
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(120)
    yield local
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


def config(web: LocalWeb, *more: str) -> CrawlConfig:
    return load_config(
        CrawlConfig,
        None,
        [
            f"crawl.seeds={json.dumps(web.seeds)}",
            *("crawl.scope.depth=20", "crawl.host_urls=40", "crawl.batch_urls=100", "crawl.cpus_per_actor=0.5"),
            f"fetch.guard.allow={json.dumps(web.allow)}",
            *("fetch.politeness.delay_seconds=0", "fetch.politeness.backoff_seconds=0.01", "fetch.limits.seconds=5"),
            *more,
        ],
    )


@pytest.fixture(scope="module")
def crawled(cluster: str, web: LocalWeb, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("crawl")
    return folder, crawl(config(web), folder)


def config_in(root: Path) -> CrawlConfig:
    return load_config(CrawlConfig, None, [f"run.root={root}"])


def by_url(folder: Path) -> dict[str, dict[str, Any]]:
    rows = read_table(folder / "urls.parquet")
    assert max(Counter(row["id"] for row in rows).values()) == 1
    return {row["id"]: row for row in rows}


def articles(web: LocalWeb) -> list[dict[str, Any]]:
    ordinary = {host.name for host in web.site.ordinary}
    return [row for row in web.truth() if row["row"] == "page" and row["kind"] == "article" and row["host"] in ordinary]


def test_a_round_is_shared_by_whole_hosts_and_evenly():
    rows = [{"host": f"{number}.example"} for number in range(40) for _ in range(1 + number % 7)]
    share = host_shares(rows, most=30, actors=2)
    loads = Counter(share[row["host"]] for row in rows)
    assert len(loads) == 6  # three for each actor
    assert max(loads.values()) - min(loads.values()) <= 1


def test_every_article_is_found_and_every_url_has_the_outcome_it_deserves(crawled, web: LocalWeb):
    found = by_url(crawled[0])
    expected = {canonical_url(row["url"]): row["outcome"] for row in articles(web)}
    assert len(expected) > 100
    assert {url: found[url]["outcome"] for url in expected} == expected


def test_pages_are_kept_once_each_with_their_record_in_the_archive(crawled):
    folder, report = crawled
    rows = [row for row in by_url(folder).values() if row["page_file"]]
    pages = {page["id"]: page for page in read_table(folder / "pages")}
    assert sorted(pages) == sorted(row["id"] for row in rows)
    assert report["pages"] == len(rows) == report["outcomes"]["ok"]
    for row in rows[::25]:
        batch, _, name = row["record"].partition("/")
        record = read_record(folder / "warc" / batch, name)
        assert record.url == row["final_url"] == pages[row["id"]]["url"]
        assert record.body.decode(pages[row["id"]]["encoding"], "replace")[:200] == pages[row["id"]]["text"][:200]


def test_what_robots_forbids_is_not_asked(crawled, web: LocalWeb):
    forbidden = [row for row in by_url(crawled[0]).values() if row["outcome"] == "robots_disallowed"]
    assert forbidden
    assert all(row["status"] == 0 and not row["page_file"] for row in forbidden)


def test_a_second_call_reads_nothing_again(crawled, web: LocalWeb):
    folder, report = crawled
    asked = web.asked.total()
    again = crawl(config(web), folder)
    assert web.asked.total() == asked
    assert (again["urls"], again["outcomes"]) == (report["urls"], report["outcomes"])


TAGGING = TagConfig(batch_pages=40, cpus_per_actor=0.5)


@pytest.fixture(scope="module")
def tagged(crawled, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    folder = tmp_path_factory.mktemp("tag")
    report = tag_pages(TAGGING, crawled[0], folder)
    assert [path.name for path in folder.iterdir()] == ["spans.parquet"]
    return read_table(folder / "spans.parquet"), report


def test_spans_point_into_the_text_of_their_pages(crawled, tagged):
    rows, report = tagged
    assert report["pages"] == len(rows) == crawled[1]["pages"] - crawled[1]["duplicates"]
    for row in (row for row in rows if row["outcome"] == "ok"):
        assert [span["number"] for span in row["spans"]] == list(range(1, len(row["spans"]) + 1))
        text = "".join(row["text"][span["start"] : span["end"]] for span in row["spans"])
        assert "".join(text.split()) == "".join(row["text"].split())


def test_the_wanted_sentences_are_in_the_spans(tagged, web: LocalWeb):
    texts = {row["id"]: row["text"] for row in tagged[0] if row["outcome"] == "ok"}
    told = [(canonical_url(row["url"]), phrase) for row in articles(web) if row["outcome"] == "ok" for phrase in row["keep"]]
    held = [phrase in texts[url] for url, phrase in told if url in texts]
    assert len(held) > 300
    assert sum(held) == len(held)


def test_the_report_counts_what_is_in_the_table(tagged):
    rows, report = tagged
    assert report["outcomes"] == Counter(row["outcome"] for row in rows)
    assert report["near_duplicates"] == sum(bool(row["near_duplicate_of"]) for row in rows) > 0
    assert report["spans"] == sum(len(row["spans"]) for row in rows)
    assert report["characters"] == sum(len(row["text"]) for row in rows)


TAGGER = """
import sys, time
from pathlib import Path
import ray
from aag_ray.artifacts import read_table
from aag_ray.config import TagConfig
from aag_ray.pipelines import tag

class StopsAfterTheFirstFile(tag.TagWorker):
    def __call__(self, rows):
        if rows[0]["page_file"] != first:
            time.sleep(600)
        return [row | {"detail": "by the killed driver"} for row in super().__call__(rows)]

address, crawl, folder = sys.argv[1:]
first = next(row["page_file"] for row in read_table(Path(crawl) / "urls.parquet") if row["page_file"])
tag.TagWorker, tag.ROUND_PAGES = StopsAfterTheFirstFile, 50
ray.init(address=address)
tag.tag_pages(TagConfig(batch_pages=1, cpus_per_actor=0.5), Path(crawl), Path(folder))
"""


def test_a_killed_tagging_goes_on_where_it_was(cluster: str, crawled, tagged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "tagger.py").write_text(TAGGER)
    command = [sys.executable, str(tmp_path / "tagger.py"), cluster, str(crawled[0]), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as first:
        while not list(tmp_path.glob("parts/0000/*.parquet")):
            assert first.poll() is None, "it ended before it was killed"
            time.sleep(0.05)
        first.kill()
    monkeypatch.setattr("aag_ray.pipelines.tag.ROUND_PAGES", 50)
    rows, report = tagged
    for crawl_folder in (crawled[0], tmp_path / "gone"):  # when all is done, the crawl is not read again
        again = tag_pages(TAGGING, crawl_folder, tmp_path)
        assert again | {"seconds": 0, "pages_per_second": 0} == report | {"seconds": 0, "pages_per_second": 0}
        found = read_table(tmp_path / "spans.parquet")
        assert [row | {"detail": told["detail"]} for row, told in zip(found, rows, strict=True)] == rows
        assert 0 < sum(row["detail"] == "by the killed driver" for row in found) <= 50


def test_a_budget_of_pages_is_kept_and_the_rest_waits(cluster: str, web: LocalWeb, tmp_path: Path):
    report = crawl(config(web, "crawl.max_pages=30"), tmp_path)
    assert report["urls"] == 30
    assert report["waiting"] > 0


class ReaderThatDiesOnce(CrawlWorker):
    """Its first process is killed after it has read a batch and before anyone hears of it."""

    def __call__(self, rows):
        ended = super().__call__(rows)
        if not (self._folder / "killed").exists():
            (self._folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return ended


def test_a_killed_worker_loses_and_doubles_nothing(crawled, web: LocalWeb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aag_ray.pipelines.crawl.CrawlWorker", ReaderThatDiesOnce)
    report = crawl(config(web), tmp_path)
    assert (tmp_path / "killed").exists()
    assert report["outcomes"] == crawled[1]["outcomes"]
    assert set(by_url(tmp_path)) == set(by_url(crawled[0]))
    assert Counter(page["id"] for page in read_table(tmp_path / "pages")).most_common(1)[0][1] == 1


def test_a_killed_driver_goes_on_where_it_was(crawled, web: LocalWeb, tmp_path: Path):
    command = [sys.executable, "jobs/crawl.py", f"run.root={tmp_path}"]
    command += [
        *(f"crawl.seeds={json.dumps(web.seeds)}", "crawl.scope.depth=20", "crawl.host_urls=40", "crawl.batch_urls=100"),
        *(f"fetch.guard.allow={json.dumps(web.allow)}", "fetch.politeness.delay_seconds=0"),
        *("fetch.politeness.backoff_seconds=0.01", "fetch.limits.seconds=5", "crawl.cpus_per_actor=0.5"),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment) as first:
        until = time.monotonic() + 300
        while not list((tmp_path / "web" / "crawl" / "rounds").glob("0001/asked.parquet")):
            assert first.poll() is None, first.stdout.read().decode()[-2000:] if first.stdout else ""
            assert time.monotonic() < until
            time.sleep(0.05)
        first.kill()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["metrics"]["crawl"]["outcomes"] == crawled[1]["outcomes"]
    folder = Run(tmp_path / "web").folder / "crawl"
    assert set(by_url(folder)) == set(by_url(crawled[0]))
    assert Counter(page["id"] for page in read_table(folder / "pages")).most_common(1)[0][1] == 1


def test_a_run_crawls_then_tags_and_keeps_both(cluster: str, web: LocalWeb, tmp_path: Path):
    run = {"root": tmp_path, "name": "web"}
    settings = config(web, "crawl.max_pages=20").model_copy(update={"run": CrawlConfig().run.model_copy(update=run)})
    tagging = TagConfig(run=settings.run, cpus_per_actor=0.5)
    assert crawl_run(settings).metrics["crawl"]["urls"] == 20
    assert tag_run(tagging).metrics["tag"]["pages"] > 0
    asked = web.asked.total()
    crawl_run(settings)
    tag_run(tagging)
    assert web.asked.total() == asked


def test_nothing_to_start_from_is_said(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"nothing to crawl: crawl\.seeds"):
        crawl_run(config_in(tmp_path))
    with pytest.raises(RunError, match="no finished crawl"):
        tag_run(TagConfig(run=config_in(tmp_path).run))
    with pytest.raises(ConfigError, match="address_refused"):
        crawl(load_config(CrawlConfig, None, ['crawl.seeds=["http://10.0.0.1/"]']), tmp_path)
