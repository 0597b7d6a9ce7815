"""Every pair of ends has a provenance and a sentence."""

from __future__ import annotations

import itertools

import pytest

from aag_ray.answer.provenance import MemoryOutcome, Origin, Provenance, WebOutcome, without_answer

PAIRS = list(itertools.product(MemoryOutcome, WebOutcome))


@pytest.mark.parametrize(("memory", "web"), PAIRS)
def test_no_answer_always_has_a_reason_that_is_told(memory: MemoryOutcome, web: WebOutcome):
    reason = without_answer(memory, web)
    assert not reason.answered
    assert Origin(reason, memory, web).told.strip(" .")


@pytest.mark.parametrize(
    ("origin", "told"),
    [
        (Origin(Provenance.FROM_PAGES, pages=1), "From 1 page"),
        (Origin(Provenance.BOTH_AGREE, pages=3), "Memory and 3 pages agree"),
        (Origin(Provenance.DISAGREE, pages=2), "From 2 pages; memory says something else"),
        (Origin(Provenance.FROM_MEMORY), "From memory"),
        (Origin(Provenance.FROM_MEMORY, web=WebOutcome.NOTHING_FOUND), "From memory; the web search found nothing"),
        (Origin(Provenance.SEARCH_FAILED, web=WebOutcome.SEARCH_FAILED), "The web search failed"),
    ],
)
def test_it_is_told_in_a_line(origin: Origin, told: str):
    assert origin.told == told
