#!/usr/bin/env python3
"""Crawl: from seeds, site maps or searches to pages, an archive and one outcome for every URL.

    ray job submit jobs/crawl.py 'crawl.seeds=["https://example.org/"]' crawl.scope.depth=1 crawl.max_pages=100
    python jobs/crawl.py --config configs/crawl.yaml                  # a Ray of its own, for as long as the job runs

An interrupted crawl goes on with the same command; run.fresh=true starts over. jobs/tag.py cuts the pages into spans.
"""

import sys

from aag_ray.config import CrawlConfig
from aag_ray.job import JobResult, run_job


def main(config: CrawlConfig) -> JobResult:
    from aag_ray.pipelines.web_run import crawl_run

    return crawl_run(config)


if __name__ == "__main__":
    sys.exit(run_job("crawl", CrawlConfig, main, about=__doc__ or ""))
