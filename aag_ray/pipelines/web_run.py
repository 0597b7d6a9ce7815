"""The web's stages of a run: crawl, then tag. Each is a folder committed by its manifest."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aag_ray.artifacts import Manifest, Run, RunError, Stage, fingerprint
from aag_ray.config import CrawlConfig, JobConfig, TagConfig
from aag_ray.job import JobResult
from aag_ray.pipelines.crawl import crawl
from aag_ray.pipelines.ray_connection import connected
from aag_ray.pipelines.tag import tag_pages
from aag_ray.settings import ConfigError


def crawl_run(config: CrawlConfig) -> JobResult:
    """Crawl into the run's stage `crawl`, or keep it if it is finished with these settings.

    Raises ConfigError, before Ray starts, if there is nothing to start from.
    """
    if not (config.crawl.seeds or config.crawl.sitemaps or config.crawl.queries):
        raise ConfigError("nothing to crawl: crawl.seeds, crawl.sitemaps and crawl.queries are empty")
    # How the work is shared changes nothing about what is crawled.
    decides = config.model_dump(mode="json", exclude={"run": True, "crawl": {"actors", "cpus_per_actor"}})
    with Run.open(_folder(config), fresh=config.run.fresh) as run, connected():
        return _staged(run.stage("crawl"), fingerprint(decides), config, lambda folder: crawl(config, folder))


def tag_run(config: TagConfig) -> JobResult:
    """Tag the run's crawl into its stage `tag`. Raises RunError, before Ray starts, if there is no finished crawl."""
    with Run.open(_folder(config), fresh=False) as run:
        crawled = run.stage("crawl").manifest
        if crawled is None:
            raise RunError(f"{run.folder} holds no finished crawl; `python jobs/crawl.py run.name={config.run.name}` makes one")
        decides = fingerprint(crawled.fingerprint, crawled.created, config.pages.model_dump(mode="json"))
        if config.run.fresh:
            run.stage("tag").start("")
        with connected():
            return _staged(run.stage("tag"), decides, config, lambda folder: tag_pages(config, run.folder / "crawl", folder))


def _folder(config: JobConfig) -> Path:
    return (config.run.root / config.run.name).absolute()


def _staged(stage: Stage, expected: str, config: JobConfig, work: Callable[[Path], dict[str, Any]]) -> JobResult:
    if stage.is_complete(expected):
        print(f"{stage.name}: finished before, kept", flush=True)
    else:
        began = time.monotonic()
        metrics = work(stage.start(expected))
        seconds = time.monotonic() - began
        stage.commit(Manifest(stage.name, expected, config.model_dump(mode="json"), metrics, seconds=seconds))
    manifest = stage.manifest
    return JobResult({stage.name: manifest.metrics if manifest else {}}, {stage.name: str(stage.folder)})
