#!/usr/bin/env python3
"""Train the parser: ask the model what it knows, learn when to search and for what, calibrate on dev, measure on test.

    ray job submit jobs/train_parser.py                         # configs/parser.yaml
    python jobs/train_parser.py --config configs/parser.yaml    # a Ray of its own, for as long as the job runs
    python jobs/train_parser.py known.awakening=runs/embedded/hypernetwork/model run.name=parser-aag

Finished stages are recognised by their manifest and skipped; run.fresh=true starts over.
"""

import sys
from pathlib import Path

from aag_ray.config import TrainParserConfig
from aag_ray.job import JobResult, run_job

DEFAULT = Path(__file__).resolve().parent.parent / "configs" / "parser.yaml"


def main(config: TrainParserConfig) -> JobResult:
    from aag_ray.train.parser import train_parser

    return train_parser(config)


if __name__ == "__main__":
    sys.exit(run_job("train_parser", TrainParserConfig, main, about=__doc__ or "", default_config=DEFAULT))
