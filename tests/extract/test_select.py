"""From scores to evidence: best first, under one budget of tokens over all pages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aag_ray.config import ExtractSection
from aag_ray.extract.build import tag_page
from aag_ray.extract.evidence import Extraction, ExtractOutcome, TaggedPage
from aag_ray.extract.select import PageScores, select

RELEVANT, NOTHING, OVER = ExtractOutcome.RELEVANT, ExtractOutcome.NOTHING_RELEVANT, ExtractOutcome.OVER_BUDGET
WORDS = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty"]


def page_of(*lengths: int, url: str = "u", words: str | None = None) -> TaggedPage:
    """A page with one span a paragraph, of so many words (and tokens, as `tokens` counts)."""
    lines = [" ".join([words or f"{url}{number}"] * length) for number, length in enumerate(lengths)]
    return tag_page("\n\n".join(lines), url, kind="text").tagged


def tokens(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def chosen(pages: Sequence[TaggedPage], scores: Sequence[Sequence[float] | None], **given: object) -> Extraction:
    options = {"threshold": 0.5, "budget": 1.0} | given
    section = ExtractSection.model_validate({key: options[key] for key in options if key in ExtractSection.model_fields})
    rows = [PageScores(None, detail="it broke") if each is None else PageScores(np.array(each)) for each in scores]
    return select(pages, rows, section, threshold=float(str(options["threshold"])), tokens=tokens, extractor="x")


def tags(extraction: Extraction) -> list[list[int]]:
    return [[each.tag for each in page.evidence] for page in extraction.pages]


def test_evidence_is_what_stands_on_the_page() -> None:
    page = page_of(2, 3, 2, url="https://a.example/")
    [only] = chosen([page], [[0.1, 0.9, 0.2]]).evidence
    assert (only.url, only.tag, only.score) == ("https://a.example/", 2, 0.9)
    assert page.page.text[only.start : only.end] == only.text == " ".join(["https://a.example/1"] * 3)


def test_the_best_spans_of_all_pages_share_one_budget() -> None:
    pages = [page_of(5, 5, url="a"), page_of(5, 5, url="b")]
    extraction = chosen(pages, [[0.6, 0.8], [0.9, 0.7]], budget=0.5)
    assert tags(extraction) == [[2], [1]]
    assert [each.score for each in extraction.evidence] == [0.9, 0.8]
    assert (extraction.tokens_in, extraction.tokens_kept) == (20, 10)
    assert [(page.tokens_in, page.tokens_kept) for page in extraction.pages] == [(10, 5), (10, 5)]


def test_max_tokens_bounds_the_share() -> None:
    assert tags(chosen([page_of(4, 4, 4)], [[0.9, 0.8, 0.7]], max_tokens=8)) == [[1, 2]]


def test_what_does_not_fit_leaves_room_for_the_next_best() -> None:
    assert tags(chosen([page_of(4, 5, 1)], [[0.9, 0.8, 0.7]], budget=0.5)) == [[1, 3]]


@pytest.mark.parametrize("budget", [0.0, 0.05])
def test_the_best_span_is_kept_though_it_alone_is_above_the_budget(budget: float) -> None:
    assert tags(chosen([page_of(9, 1)], [[0.9, 0.8]], budget=budget)) == [[1]]


def test_every_page_has_an_outcome_and_says_why() -> None:
    pages = [page_of(2, url="a"), page_of(2, url="b"), page_of(2, url="c"), page_of(url="d"), page_of(2, url="e")]
    extraction = chosen(pages, [[0.9], [0.4], [0.8], [], None], budget=0.2)
    assert [page.outcome for page in extraction.pages] == [
        RELEVANT, NOTHING, OVER, ExtractOutcome.PAGE_TOO_SHORT, ExtractOutcome.MODEL_FAILED,
    ]  # fmt: skip
    assert [bool(page.evidence) for page in extraction.pages] == [True, False, False, False, False]
    details = [page.detail for page in extraction.pages]
    assert details[0] == ""
    assert details[1] == "no span scores 0.5 or more"
    assert "budget of 1 tokens" in details[2]
    assert details[3] == "0 tokens in 0 spans; at least 1 are needed"
    assert details[4] == "it broke"


def test_a_page_below_the_least_length_is_too_short() -> None:
    extraction = chosen([page_of(3), page_of(9, url="b")], [[0.9], [0.9]], min_page_tokens=4)
    assert [page.outcome for page in extraction.pages] == [ExtractOutcome.PAGE_TOO_SHORT, RELEVANT]


def test_the_same_words_are_kept_once_where_they_score_best() -> None:
    first = tag_page("Gold is Au.\n\nOther one.", "a", kind="text").tagged
    second = tag_page("gold  is AU\n\nAnother.", "b", kind="text").tagged
    extraction = chosen([first, second], [[0.8, 0.1], [0.9, 0.1]])
    assert tags(extraction) == [[], [1]]
    assert extraction.pages[0].outcome is OVER
    assert "the same" in extraction.pages[0].detail


def test_numbers_that_differ_in_a_point_are_not_the_same() -> None:
    page = tag_page("It is 1.5\n\nIt is 15", kind="text").tagged
    assert tags(chosen([page], [[0.9, 0.9]])) == [[1, 2]]


def test_repeats_are_kept_where_that_is_asked() -> None:
    page = page_of(2, 2, words="same")
    section = ExtractSection(budget=1.0)
    scores = [PageScores(np.ones(2))]
    assert tags(select([page], scores, section, threshold=0, tokens=tokens, extractor="x", repeats=True)) == [[1, 2]]
    assert tags(select([page], scores, section, threshold=0, tokens=tokens, extractor="x")) == [[1]]


def test_a_score_of_zero_is_never_evidence() -> None:
    assert tags(chosen([page_of(1, 1)], [[0.0, 0.1]], threshold=0.0)) == [[2]]


def test_among_equals_the_more_relevant_page_comes_first_and_then_what_comes_first() -> None:
    pages = [page_of(1, 1, url="a"), page_of(1, 1, url="b")]
    scores = [PageScores(np.array([0.9, 0.9]), 0.2), PageScores(np.array([0.9, 0.9]), 0.7)]
    section = ExtractSection(budget=0.75)
    extraction = select(pages, scores, section, threshold=0.5, tokens=tokens, extractor="x")
    assert tags(extraction) == [[1], [1, 2]]
    assert [page.relevance for page in extraction.pages] == [0.2, 0.7]


def test_a_page_without_a_relevance_is_as_relevant_as_its_best_span() -> None:
    assert chosen([page_of(1, 1)], [[0.3, 0.6]]).pages[0].relevance == 0.6


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_are_a_failure_of_the_model(wrong: float) -> None:
    extraction = chosen([page_of(1, 1), page_of(1, url="b")], [[wrong, 0.9], [0.9]])
    assert [page.outcome for page in extraction.pages] == [ExtractOutcome.MODEL_FAILED, RELEVANT]


def test_as_many_scores_as_spans_are_needed() -> None:
    with pytest.raises(ValueError, match="u has 2 spans, but 1 scores"):
        chosen([page_of(1, 1)], [[0.5]])


def test_no_pages_give_nothing() -> None:
    assert chosen([], []) == Extraction((), "x")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_budget_holds_and_no_better_span_that_fits_is_left_out(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=4))
    pages = [page_of(*each, url=WORDS[number]) for number, each in enumerate(lengths)]
    scores = [data.draw(st.lists(st.floats(0, 1), min_size=len(each), max_size=len(each))) for each in lengths]
    share = data.draw(st.floats(0, 1))
    extraction = chosen(pages, scores, budget=share, threshold=0.3)
    assert extraction == chosen(pages, scores, budget=share, threshold=0.3)
    kept = {(page, tag - 1) for page, each in enumerate(tags(extraction)) for tag in each}
    budget = int(share * sum(map(sum, lengths)) + 1e-9)
    assert extraction.tokens_kept <= budget or len(kept) == 1
    good = {(page, place) for page, each in enumerate(scores) for place, score in enumerate(each) if score >= 0.3}
    assert kept <= good
    assert bool(kept) == bool(good)
    for page, place in good - kept:  # what was left out did not fit beside the better ones
        better = sum(lengths[p][s] for p, s in kept if scores[p][s] >= scores[page][place])
        assert better + lengths[page][place] > budget
    for each in extraction.evidence:
        assert pages[[page.page.url for page in pages].index(each.url)].page.text[each.start : each.end] == each.text


def test_fifty_thousand_spans() -> None:
    page = page_of(*[1] * 50_000)
    assert len(page.spans) == 50_000
    scores = np.random.default_rng(0).random(50_000)
    extraction = select(
        [page], [PageScores(scores)], ExtractSection(max_tokens=9000), threshold=0.1, tokens=tokens, extractor="x"
    )
    assert extraction.tokens_kept == 9000
    assert min(each.score for each in extraction.evidence) == np.sort(scores)[-9000]
