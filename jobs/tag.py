#!/usr/bin/env python3
"""Tag: the pages of a crawl, cleaned and cut into spans with exact offsets.

    ray job submit jobs/tag.py                                        # the crawl of the run `web`
    python jobs/tag.py run.name=news                                  # a Ray of its own, for as long as the job runs

An interrupted job goes on with the same command.
"""

import sys

from aag_ray.config import TagConfig
from aag_ray.job import JobResult, run_job


def main(config: TagConfig) -> JobResult:
    from aag_ray.pipelines.web_run import tag_run

    return tag_run(config)


if __name__ == "__main__":
    sys.exit(run_job("tag", TagConfig, main, about=__doc__ or ""))
