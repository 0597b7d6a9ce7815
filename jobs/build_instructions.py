#!/usr/bin/env python3
"""Build an instruction set for the tag extractor: split and tag pages, let a teacher label them, double check, construct.

    ray job submit jobs/build_instructions.py                      # the embedded world and made-up facts, labelled by gold
    python jobs/build_instructions.py instructions.teacher=endpoint \\
        'instructions.endpoint={base_url: https://llm.example.org/v1, model: teacher, key_env: TEACHER_KEY}' \\
        instructions.rows=requests.jsonl

A line of such a file is {"id", "question", "pages": [{"url", "html" or "text"}]}. The run's folder
`instructions` holds train, dev and test as parquet and JSON lines, and a data card. A killed job goes on where it stopped.
"""

import sys

from aag_ray.config import BuildInstructionsConfig
from aag_ray.job import JobResult, run_job


def main(config: BuildInstructionsConfig) -> JobResult:
    from aag_ray.pipelines.instructions import build_instructions

    return build_instructions(config)


if __name__ == "__main__":
    sys.exit(run_job("build_instructions", BuildInstructionsConfig, main, about=__doc__ or ""))
