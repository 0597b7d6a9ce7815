#!/usr/bin/env python3
"""Measure extractors on the test pages that `jobs/train_extractor.py` made: spans, answers kept, empty pages, needles, cost.

    python jobs/evaluate_extractor.py                                  # of the run `extractor`
    python jobs/evaluate_extractor.py run.name=nq extract.budget=0.1 'extractors=[bm25, scorer]'
    python jobs/evaluate_extractor.py grid.haystack=essays.jsonl grid.needles=needles.jsonl grid.cases=5
    python jobs/evaluate_extractor.py 'grid.haystacks=[{path: essays.jsonl}, {path: news.jsonl, language: zh}]'

The table, the heat maps and result.json lie in the run's folder `evaluate`; what a judge said is in judgements.jsonl. Where an
extractor fails, the same command goes on with it. `tags` and `generating` are slow and only measured if extractors names them.
"""

import sys

from aag_ray.config import EvaluateExtractorConfig
from aag_ray.job import JobResult, run_job


def main(config: EvaluateExtractorConfig) -> JobResult:
    from aag_ray.evaluate.extractors import evaluate_extractors

    return evaluate_extractors(config)


if __name__ == "__main__":
    sys.exit(run_job("evaluate_extractor", EvaluateExtractorConfig, main, about=__doc__ or ""))
