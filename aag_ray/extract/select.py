"""From span scores to evidence: the best spans of all pages of a request, under one budget of tokens.

The same pages and scores always give the same evidence: ties go to the more relevant page, then to what comes first.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from aag_ray.config import ExtractSection
from aag_ray.extract.evidence import Evidence, Extraction, ExtractOutcome, PageEvidence, TaggedPage
from aag_ray.extract.tokens import CountTokens

_ENDS = " .,;:!?…。！？"  # noqa: RUF001


class PageScores(NamedTuple):
    """A score in [0, 1] for each span of a page, and the page's own. `spans` is None where the model failed: see `detail`.

    Without a `relevance` of its own a page is as relevant as its best span. Other than on failure, `detail` is a remark.
    """

    spans: np.ndarray | None
    relevance: float | None = None
    detail: str = ""


def select(
    pages: Sequence[TaggedPage],
    scores: Sequence[PageScores],
    section: ExtractSection,
    *,
    threshold: float,
    tokens: CountTokens,
    extractor: str,
    calibrated: bool = False,
    repeats: bool = False,
) -> Extraction:
    """Keep the best spans that score at least `threshold` (and more than 0), best first, as long as they fit the budget.

    The budget is `section.budget` of the tokens of all spans of all pages, at most `section.max_tokens`. It is never
    exceeded, with one exception: the best span of the request is always kept, so that one long answer is not lost. What does
    not fit is passed over for the next best that does. Spans that say the same (letters' case, white space and final
    punctuation aside) are kept once, where they score best, unless `repeats`. Raises ValueError if scores and spans are not
    equally many.
    """
    for page, scored in zip(pages, scores, strict=True):
        if scored.spans is not None and len(scored.spans) != len(page.spans):
            raise ValueError(f"{page.page.url or 'a page'} has {len(page.spans)} spans, but {len(scored.spans)} scores")
    lengths = _lengths(pages, tokens)
    totals = [int(each.sum()) for each in lengths]
    usable = [
        bool(page.spans) and total >= section.min_page_tokens and _readable(scored)
        for page, scored, total in zip(pages, scores, totals, strict=True)
    ]
    budget = min(math.floor(section.budget * sum(totals) + 1e-9), section.max_tokens)
    ranked = _ranked(scores, usable, threshold)
    kept = _kept(pages, lengths, ranked, budget, repeats)
    named = {page for page, _ in ranked}
    found: list[PageEvidence] = []
    for number, (page, scored, total) in enumerate(zip(pages, scores, totals, strict=True)):
        outcome, detail = ExtractOutcome.RELEVANT, scored.detail
        if not page.spans or total < section.min_page_tokens:
            outcome = ExtractOutcome.PAGE_TOO_SHORT
            detail = f"{total} tokens in {len(page.spans)} spans; at least {max(1, section.min_page_tokens)} are needed"
        elif not usable[number]:
            outcome = ExtractOutcome.MODEL_FAILED
            detail = scored.detail or "the model gave scores that are no numbers"
        elif not kept[number]:
            outcome = ExtractOutcome.OVER_BUDGET if number in named else ExtractOutcome.NOTHING_RELEVANT
            told = f"no span scores {threshold:.2g} or more"
            if number in named:
                told = f"better evidence, or the same, of other spans came first in the budget of {budget} tokens"
            detail = f"{detail}; {told}" if detail else told
        spans = tuple(_evidence(page, at, float(scored.spans[at])) for at in kept[number]) if scored.spans is not None else ()
        used = sum(int(lengths[number][at]) for at in kept[number])
        found.append(PageEvidence(page.page.url, outcome, spans, _relevance(scored), detail, total, used))
    return Extraction(tuple(found), extractor, calibrated)


def _lengths(pages: Sequence[TaggedPage], tokens: CountTokens) -> list[np.ndarray]:
    texts = [page.page.text[span.start : span.end] for page in pages for span in page.spans]
    counted = np.array(tokens(texts) if texts else [], dtype=np.int64)
    return np.split(counted, np.cumsum([len(page.spans) for page in pages])[:-1]) if pages else []


def _readable(scored: PageScores) -> bool:
    return scored.spans is not None and bool(np.isfinite(scored.spans).all())


def _relevance(scored: PageScores) -> float:
    own = scored.relevance
    if own is None:
        own = float(np.max(scored.spans, initial=0.0)) if scored.spans is not None else 0.0
    return min(1.0, max(0.0, own)) if math.isfinite(own) else 0.0


def _ranked(scores: Sequence[PageScores], usable: Sequence[bool], threshold: float) -> list[tuple[int, int]]:
    """Page and place of every span that may be evidence, best first."""
    found: list[tuple[float, float, int, int]] = []
    for number, scored in enumerate(scores):
        if usable[number] and scored.spans is not None:
            relevance = _relevance(scored)
            each = enumerate(scored.spans.tolist())
            found += [(-score, -relevance, number, place) for place, score in each if score >= threshold and score > 0]
    return [(number, place) for _, _, number, place in sorted(found)]


def _kept(
    pages: Sequence[TaggedPage], lengths: Sequence[np.ndarray], ranked: Sequence[tuple[int, int]], budget: int, repeats: bool
) -> list[list[int]]:
    """The places kept of each page, in page order."""
    kept: list[list[int]] = [[] for _ in pages]
    costs = [int(lengths[page][place]) for page, place in ranked]
    least = min(costs, default=0)
    said: set[str] = set()
    left = budget
    for rank, ((page, place), cost) in enumerate(zip(ranked, costs, strict=True)):
        if rank and left < least:
            break
        if rank and cost > left:
            continue
        start, end = pages[page].spans[place][1:3]
        text = normal_text(pages[page].page.text[start:end])
        if repeats or text not in said:
            said.add(text)
            kept[page].append(place)
            left -= cost
    return [sorted(places) for places in kept]


def normal_text(text: str) -> str:
    """What two spans that say the same have in common: letters' case, white space and final punctuation aside."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return folded.rstrip(_ENDS) or folded


def _evidence(page: TaggedPage, place: int, score: float) -> Evidence:
    number, start, end, _ = page.spans[place]
    return Evidence(page.page.url, number, start, end, page.page.text[start:end], min(1.0, score), page.page.title)
