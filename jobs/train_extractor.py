#!/usr/bin/env python3
"""Train the extractor: label pages from questions with known answers, train the one-pass span scorer, calibrate it on dev.

    ray job submit jobs/train_extractor.py                            # configs/extractor.yaml
    python jobs/train_extractor.py --config configs/extractor.yaml    # a Ray of its own, for as long as the job runs
    python jobs/train_extractor.py 'data.files={train: train.jsonl, dev: dev.jsonl, test: test.jsonl}' run.name=nq
    python jobs/train_extractor.py scorer.teacher=runs/large/scorer/model run.name=distilled

Finished stages are recognised by their manifest and skipped; run.fresh=true starts over.
"""

import sys
from pathlib import Path

from aag_ray.config import TrainExtractorConfig
from aag_ray.job import JobResult, run_job

DEFAULT = Path(__file__).resolve().parent.parent / "configs" / "extractor.yaml"


def main(config: TrainExtractorConfig) -> JobResult:
    from aag_ray.train.extractor import train_extractor

    return train_extractor(config)


if __name__ == "__main__":
    sys.exit(run_job("train_extractor", TrainExtractorConfig, main, about=__doc__ or "", default_config=DEFAULT))
