#!/usr/bin/env python3
"""Train a T5 that reads by fusing passages (Fusion-in-Decoder), with AAG's adapters and distillation, and measure it.

    python jobs/train_fid.py --config configs/paper/t5_base_document.yaml data.files.train=/data/nq/train.jsonl ...

`documents` is the table that a run of jobs/train_aag.py wrote (predict/documents.parquet); `evaluate.documents` is the one of
further test sets (evaluate/written/documents.parquet). Finished stages are recognised by
their manifest and skipped; run.fresh=true starts over.
"""

import sys
from pathlib import Path

from aag_ray.config import TrainFidConfig
from aag_ray.job import JobResult, run_job

DEFAULT = Path(__file__).resolve().parent.parent / "configs" / "paper" / "t5_base_document.yaml"


def main(config: TrainFidConfig) -> JobResult:
    from aag_ray.train.fid import train_fid

    return train_fid(config)


if __name__ == "__main__":
    sys.exit(run_job("train_fid", TrainFidConfig, main, about=__doc__ or "", default_config=DEFAULT))
