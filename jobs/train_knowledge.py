#!/usr/bin/env python3
"""Train a hypernetwork that reads documents into parameters, and measure what they carry.

    python jobs/train_knowledge.py --config configs/knowledge.yaml [data.files.train=/data/nq/train.jsonl ...]

A text reader is trained first; the hypernetwork learns from it to answer without the document's text. The last table has the
same questions with the document nowhere, in the prompt, in the parameters, and both, and with adapters of other documents.
Finished stages are recognised by their manifest and skipped; run.fresh=true starts over.
"""

import sys
from pathlib import Path

from aag_ray.config import TrainKnowledgeConfig
from aag_ray.job import JobResult, run_job

DEFAULT = Path(__file__).resolve().parent.parent / "configs" / "knowledge.yaml"


def main(config: TrainKnowledgeConfig) -> JobResult:
    from aag_ray.train.knowledge import train_knowledge

    return train_knowledge(config)


if __name__ == "__main__":
    sys.exit(run_job("train_knowledge", TrainKnowledgeConfig, main, about=__doc__ or "", default_config=DEFAULT))
