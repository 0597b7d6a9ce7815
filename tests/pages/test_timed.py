"""A page that takes too long ends as an outcome; the worker goes on, with the next page and with no process left over."""

import os
import signal
from collections.abc import Iterator

import pytest

from aag_ray.config import PagesSection
from aag_ray.pages.page import PageOutcome
from aag_ray.pages.timed import TimedTagger, tag_page

PAGE = "<h1>Title</h1><p>One sentence. Another sentence.</p>"
# As much as the limits allow: every sentence, block and heading of it costs.
PATHOLOGICAL = "<h6>a</h6><p>b. c! D? e" * 60_000
LIMIT = PagesSection(page_seconds=0.25, max_nodes=1_000_000, max_text_characters=5_000_000)


@pytest.fixture
def tagger() -> Iterator[TimedTagger]:
    made = TimedTagger(LIMIT)
    yield made
    made.close()


def test_a_page_is_tagged_as_it_is_without_a_limit(tagger: TimedTagger):
    for text, is_html in ((PAGE, True), ("Plain text. And more.\n\n- item", False), ("<p></p>", True), ("\ud800 half", True)):
        assert tagger.tag(text, "https://a.example/", is_html=is_html) == tag_page(
            text, "https://a.example/", LIMIT, is_html=is_html
        )


def test_a_page_that_takes_too_long_is_given_up_and_the_next_one_is_read(tagger: TimedTagger):
    for _ in range(2):
        timed_out = tagger.tag(PATHOLOGICAL, "https://slow.example/", is_html=True)
        assert (timed_out.outcome, timed_out.page, timed_out.spans) == (PageOutcome.TIMED_OUT, None, ())
        assert "https://slow.example/" in timed_out.detail
        assert "0.25 s" in timed_out.detail
        assert tagger.tag(PAGE, "", is_html=True).outcome is PageOutcome.OK


def test_time_is_counted_for_each_page_alone(tagger: TimedTagger):
    quick = "<p>A sentence as it stands on a page.</p>" * 150
    assert {tagger.tag(quick, "", is_html=True).outcome for _ in range(12)} == {PageOutcome.OK}


def test_a_process_that_dies_otherwise_is_a_failure_with_its_status(tagger: TimedTagger):
    assert tagger.tag(PAGE, "", is_html=True).outcome is PageOutcome.OK
    assert tagger._process is not None
    os.kill(tagger._process.pid, signal.SIGKILL)
    failed = tagger.tag(PAGE, "https://a.example/", is_html=True)
    assert failed.outcome is PageOutcome.FAILED
    assert str(-signal.SIGKILL) in failed.detail
    assert tagger.tag(PAGE, "", is_html=True).outcome is PageOutcome.OK


def test_the_process_ends_with_its_worker(tagger: TimedTagger):
    tagger.tag(PAGE, "", is_html=True)
    process = tagger._process
    assert process is not None
    tagger.close()
    assert process.returncode == 0
    tagger.close()
