#!/usr/bin/env python3
"""Train AAG end to end and measure it: questions, compression, generator, dummy documents, hypernetwork, evaluation.

    ray start --head
    ray job submit jobs/train_aag.py                                  # configs/embedded.yaml
    ray job submit jobs/train_aag.py config=configs/quick.yaml stage=compress
    python jobs/train_aag.py --config configs/quick.yaml              # a Ray of its own, for as long as the job runs

`evaluate.also='{webq: webq.jsonl}'` also tests what was trained on further question files. Finished stages are recognised by
their manifest and skipped; run.fresh=true starts over.
"""

import sys
from pathlib import Path

from aag_ray.config import TrainAagConfig
from aag_ray.job import JobResult, run_job

EMBEDDED = Path(__file__).resolve().parent.parent / "configs" / "embedded.yaml"


def main(config: TrainAagConfig) -> JobResult:
    from aag_ray.train.aag import train_aag

    return train_aag(config)


if __name__ == "__main__":
    sys.exit(run_job("train_aag", TrainAagConfig, main, about=__doc__ or "", default_config=EMBEDDED))
