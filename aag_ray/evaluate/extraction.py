"""How good an extractor is: spans against gold spans, empty answers where nothing is relevant, answers kept, cost, calibration.

Positives are scored by precision, recall and F1 over span numbers. On negatives `exact_empty` asks for "nothing relevant" and
nothing else; `soft_empty` is the "EM" of ZI-ISAG (query_based/score.py), 1 - chosen / spans of the page, kept only to compare.
A page on which the model failed is a miss on either side. All figures but tokens and milliseconds are in percent.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from aag_ray.evaluate.intervals import bootstrap
from aag_ray.extract.evidence import Extractor, ExtractOutcome
from aag_ray.extract.examples import ExtractionExample
from aag_ray.extract.gold import holds_answer
from aag_ray.extract.select import normal_text


class SpanScore(NamedTuple):
    """Precision, recall and F1 (0..1) of chosen spans against gold ones."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What an extractor chose for one example. `answer_kept` is None where no accepted answer is known or stands in gold."""

    id: str
    gold: tuple[int, ...]
    chosen: tuple[int, ...]
    spans: int
    outcome: ExtractOutcome
    answer_kept: bool | None
    tokens_in: int
    tokens_kept: int
    seconds: float
    detail: str = ""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Prediction:
        """The inverse of `asdict`, also through JSON."""
        numbers = {"gold": tuple(row["gold"]), "chosen": tuple(row["chosen"]), "outcome": ExtractOutcome(row["outcome"])}
        return cls(**{**row, **numbers})


class Bin(NamedTuple):
    """Scores in [low, high): how many, their mean, and the share of them that were right (0..1)."""

    low: float
    high: float
    size: int
    score: float
    right: float


class Calibration(NamedTuple):
    """`ece` is the expected calibration error (Naeini et al. 2015), 0..1: the mean gap of score and share right."""

    ece: float
    bins: tuple[Bin, ...]


def span_score(chosen: Collection[int], gold: Collection[int]) -> SpanScore:
    """0 for nothing chosen or nothing right. Raises ValueError without gold: an empty answer is then the right one."""
    if not gold:
        raise ValueError("without gold spans there is no precision, recall or F1; score it as a negative")
    right = len(set(chosen) & set(gold))
    return _score(right, len(set(chosen)), len(set(gold)))


def soft_empty(chosen: Collection[int], spans: int) -> float:
    """1 for nothing chosen, down to 0 for every span of the page; 0 for anything chosen on a page without spans."""
    return max(0.0, 1 - len(set(chosen)) / spans) if spans else float(not chosen)


def predict(extractor: Extractor, examples: Iterable[ExtractionExample]) -> Iterator[Prediction]:
    """Ask for one page at a time, as a request with one page would, and take the time of each.

    Spans of a page that say the same, as `select` sees it, count as one, the first: an extractor need not repeat itself.
    """
    for example in examples:
        first = _first_alike(example)
        started = time.perf_counter()
        extraction = extractor.extract(example.question, [example.tagged])
        seconds = time.perf_counter() - started
        named = {evidence.tag for evidence in extraction.evidence}
        chosen = tuple(sorted({first[number] for number in named}))
        yield Prediction(
            id=example.id,
            gold=tuple(sorted({first[number] for number in example.gold})),
            chosen=chosen,
            spans=len(set(first.values())),
            outcome=extraction.outcome,
            answer_kept=keeps_answer(example, named) if keeps_answer(example, example.gold) else None,
            tokens_in=extraction.tokens_in,
            tokens_kept=extraction.tokens_kept,
            seconds=seconds,
            detail="; ".join(page.detail for page in extraction.pages if page.detail),
        )


def keeps_answer(example: ExtractionExample, chosen: Collection[int]) -> bool:
    """Whether an accepted answer stands in a chosen span, or across two chosen neighbours, gold or not."""
    kept = sorted(set(chosen))
    texts = [example.text_of(number) for number in kept]
    for one, two in pairwise(kept):
        if two == one + 1:
            texts.append(example.page.text[example.spans[one - 1].start : example.spans[two - 1].end])
    return any(holds_answer(text, example.answers) for text in texts)


def summarise(predictions: Sequence[Prediction], samples: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Means with bootstrap intervals (macro), pooled counts (micro), outcomes, and cost; None where nothing could be measured.

    `answer_kept` is the share of the positives that can keep one; `kept_share` the mean share of a page's tokens left for the
    reader. Raises ValueError without predictions.
    """
    if not predictions:
        raise ValueError("no predictions to summarise")
    positives = [each for each in predictions if each.gold]
    negatives = [each for each in predictions if not each.gold]
    scores = [span_score(each.chosen, each.gold) for each in positives]
    right = sum(len(set(each.chosen) & set(each.gold)) for each in positives)
    micro = _score(right, sum(len(each.chosen) for each in positives), sum(len(each.gold) for each in positives))
    read = [each for each in predictions if each.tokens_in]

    def mean(values: Sequence[float]) -> dict[str, Any] | None:
        return bootstrap(values, samples, seed).to_dict() if values else None

    return {
        "examples": len(predictions),
        "positives": len(positives),
        "negatives": len(negatives),
        "outcomes": dict(Counter(each.outcome.value for each in predictions)),
        "precision": mean([score.precision for score in scores]),
        "recall": mean([score.recall for score in scores]),
        "f1": mean([score.f1 for score in scores]),
        "micro": {name: 100 * value for name, value in micro._asdict().items()} if positives else None,
        "answer_kept": mean([float(each.answer_kept) for each in positives if each.answer_kept is not None]),
        "exact_empty": mean([float(each.outcome is ExtractOutcome.NOTHING_RELEVANT) for each in negatives]),
        "soft_empty": mean([0.0 if _failed(each) else soft_empty(each.chosen, each.spans) for each in negatives]),
        "kept_share": mean([each.tokens_kept / each.tokens_in for each in read]),
        "tokens_in": sum(each.tokens_in for each in predictions),
        "tokens_kept": sum(each.tokens_kept for each in predictions),
        "ms_per_page": milliseconds([each.seconds for each in predictions]),
    }


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """p50 and p95 of durations, in ms. Raises ValueError without any."""
    if not seconds:
        raise ValueError("no durations to take a percentile of")
    p50, p95 = np.quantile(np.asarray(seconds), [0.5, 0.95])
    return {"p50": 1000 * float(p50), "p95": 1000 * float(p95)}


def calibration(scores: Sequence[float], right: Sequence[bool], bins: int = 10) -> Calibration:
    """How far scores in [0, 1] are from probabilities, in bins of equal width; the last bin includes 1.

    Give the scores of all spans, not of the chosen ones only. Raises ValueError for no scores, scores that are no
    probabilities, and unequal lengths.
    """
    values, hits = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=bool)
    if values.ndim != 1 or values.shape != hits.shape or values.size == 0 or bins < 1:
        raise ValueError(f"calibration needs at least one bin and score, and as many labels: got {values.shape}, {hits.shape}")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"scores must be from 0 to 1, got {values.min()} to {values.max()}")
    place = np.minimum((values * bins).astype(int), bins - 1)
    found = []
    for number in range(bins):
        inside = place == number
        size = int(inside.sum())
        score, share = (float(values[inside].mean()), float(hits[inside].mean())) if size else (0.0, 0.0)
        found.append(Bin(number / bins, (number + 1) / bins, size, score, share))
    return Calibration(sum(each.size * abs(each.score - each.right) for each in found) / values.size, tuple(found))


def _first_alike(example: ExtractionExample) -> dict[int, int]:
    seen: dict[str, int] = {}
    texts = ((span.number, normal_text(example.text_of(span.number))) for span in example.spans)
    return {number: seen.setdefault(text, number) for number, text in texts}


def _failed(prediction: Prediction) -> bool:
    return prediction.outcome is ExtractOutcome.MODEL_FAILED


def _score(right: int, chosen: int, gold: int) -> SpanScore:
    precision = right / chosen if chosen else 0.0
    recall = right / gold if gold else 0.0
    return SpanScore(precision, recall, 2 * precision * recall / (precision + recall) if right else 0.0)
