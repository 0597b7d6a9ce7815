#!/usr/bin/env python3
"""Build an instruction set for the tag extractor: split and tag pages, let a teacher label them, double check, construct.

    ray job submit jobs/build_instructions.py                      # the embedded world and made-up facts, labelled by gold
    python jobs/build_instructions.py instructions.teacher=endpoint \\
        'instructions.endpoint={base_url: https://llm.example.org/v1, model: teacher, key_env: TEACHER_KEY}' \\
        instructions.rows=requests.jsonl

A line of such a file is {"id", "question", "pages": [{"url", "html" or "text"}]}. Requests of a log, and the pages that it
names or holds, are labelled with

        'instructions.log={path: log.jsonl, start: "2026-05-01T00:00:00Z", end: "2026-05-02T00:00:00Z"}'

The run's folder `instructions` holds train, dev and test as parquet and JSON lines, the rows that they are made of, and a data
card; `labels` holds every row with every call of the teacher. A killed job goes on where it stopped, and the same command asks
again for what timed out or was refused for the moment. `jobs/train_extractor.py data.instructions=RUN` trains on the set.
"""

import sys

from aag_ray.config import BuildInstructionsConfig
from aag_ray.job import JobResult, run_job


def main(config: BuildInstructionsConfig) -> JobResult:
    from aag_ray.pipelines.instructions import build_instructions

    return build_instructions(config)


if __name__ == "__main__":
    sys.exit(run_job("build_instructions", BuildInstructionsConfig, main, about=__doc__ or ""))
