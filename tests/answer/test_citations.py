"""Citations point at what they say, in the answer and on the page, and only where the words support it."""

# ruff: noqa: RUF001  (signs of many scripts are the subject here)

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.answer.citations import Checked, Citer, SentenceState
from aag_ray.answer.source import ReadPage, Source
from aag_ray.extract.evidence import Evidence
from aag_ray.pages.page import Page
from aag_ray.pages.plain import read_text
from aag_ray.pages.spans import split_spans

QUESTION = "Which city is the capital of Peru?"
SUPPORTED, UNSUPPORTED, NO_CLAIM = SentenceState.SUPPORTED, SentenceState.UNSUPPORTED, SentenceState.NO_CLAIM


def read(text: str, url: str = "https://a.test/", number: int = 1) -> ReadPage:
    page = read_text(text, url).page
    assert page is not None
    return ReadPage(Source(number, url, f"Page {number}", fetched_at=12.5, record="a.warc.gz:0:id"), page)


def evidence_of(page: Page) -> list[Evidence]:
    return [
        Evidence(page.url, span.number, span.start, span.end, page.text[span.start : span.end], 1 - span.number / 100)
        for span in split_spans(page)
    ]


def check(answer: str, *pages: ReadPage, question: str = QUESTION, threshold: float = 0.8) -> Checked:
    evidence = [each for read_page in pages for each in evidence_of(read_page.page)]
    return Citer(question, pages, evidence, threshold).check(answer)


def states(checked: Checked) -> list[SentenceState]:
    return [each.state for each in checked.sentences]


class TestPointers:
    def test_a_citation_carries_all_that_is_needed_to_look_it_up(self) -> None:
        page = read("Peru is a country. Lima is its capital.")
        [citation] = check("It is Lima.", page).citations
        assert citation.to_row() == {
            "number": 1, "start_index": 0, "end_index": 11, "url": "https://a.test/", "title": "Page 1", "tag": 2,
            "start": 19, "end": 39, "text": "Lima is its capital.", "score": 0.98, "support": 1.0, "fetched_at": 12.5,
            "record": "a.warc.gz:0:id",
        }  # fmt: skip
        assert page.page.text[19:39] == citation.text

    @pytest.mark.parametrize(
        "lie",
        [
            {"text": "Cusco is its capital."},
            {"start": 18},
            {"end": 4000},
            {"start": -20, "end": -1},
            {"url": "https://other.test/"},
        ],
    )
    def test_evidence_that_does_not_point_at_its_text_is_thrown_away_and_counted(self, lie: dict) -> None:
        page = read("Peru is a country. Lima is its capital.")
        wrong = [replace(each, **lie) for each in evidence_of(page.page)[1:]]
        checked = Citer(QUESTION, [page], wrong, 0.8).check("It is Lima.")
        assert (checked.citations, states(checked), checked.checks.false_pointers) == ((), [UNSUPPORTED], 1)

    @given(st.text(max_size=60), st.text(max_size=60))
    def test_indices_are_right_for_any_text(self, before: str, after: str) -> None:
        page = read(f"Peru 🦙 e\u0301 𝔘𝔫𝔦. {before}\n\nLima is the capital.\n\n{after}")
        answer = f"{after} 🏔️ Lima is the capital. {before}"
        checked = check(answer, page)
        for citation in checked.citations:
            assert citation.is_true(answer, page.page)
            assert page.page.text[citation.start : citation.end] == citation.text
        for sentence in checked.sentences:
            assert answer[sentence.start_index : sentence.end_index].strip()
        places = [(each.start_index, each.end_index) for each in checked.sentences]
        assert places == sorted(places)


class TestSupport:
    PERU = read("Peru lies in the Andes. Lima is the capital of Peru. Lima has 10,750,000 inhabitants.")

    def test_each_sentence_is_judged_on_its_own(self) -> None:
        checked = check("Lima is the capital. It was founded by Caesar. Well.", self.PERU)
        assert states(checked) == [SUPPORTED, UNSUPPORTED, UNSUPPORTED]
        assert checked.sentences[1].missing == ("caesar", "founded")
        assert (checked.checks.sentences, checked.checks.supported, checked.checks.unsupported) == (3, 1, 2)

    @pytest.mark.parametrize("answer", ["Cusco is the capital of Peru.", "Lima, Arequipa", "It has 10 inhabitants.", "利马"])
    def test_a_name_or_number_that_no_page_holds_is_never_supported(self, answer: str) -> None:
        checked = check(answer, self.PERU)
        assert not checked.citations
        assert UNSUPPORTED in states(checked)

    @pytest.mark.parametrize("answer", ["Lima", "lima.", "LIMA", "It has 10750000 inhabitants.", "Peru"])
    def test_case_and_the_way_numbers_are_grouped_do_not_matter(self, answer: str) -> None:
        assert states(check(answer, self.PERU)) == [SUPPORTED]

    def test_words_without_facts_claim_nothing(self) -> None:
        assert states(check("It is. Is it?", self.PERU)) == [NO_CLAIM, NO_CLAIM]

    def test_spans_of_one_page_may_support_a_sentence_together(self) -> None:
        checked = check("Lima lies in the Andes and has 10,750,000 inhabitants.", self.PERU, question="Tell me of Peru.")
        assert states(checked) == [SUPPORTED]
        assert len(checked.citations) == 2
        assert [each.tag for each in checked.citations] == sorted(each.tag for each in checked.citations)

    def test_spans_of_two_pages_may_not(self) -> None:
        one, other = (
            read("Peru. Lima is large.", "https://a.test/", 1),
            read("Peru. It lies in the Andes.", "https://b.test/", 2),
        )
        assert states(check("Lima lies in the Andes.", one, other)) == [UNSUPPORTED]

    def test_two_pages_that_say_it_are_both_cited_once(self) -> None:
        pages = [read("Peru: Lima is the capital. Lima is large.", f"https://{n}.test/", n) for n in (1, 2, 3)]
        assert [each.number for each in check("Lima", *pages).citations] == [1, 2]

    def test_a_page_that_does_not_speak_of_the_subject_supports_nothing(self) -> None:
        chile = read("Chile lies in the south. Santiago is the capital.")
        assert states(check("Santiago", chile)) == [UNSUPPORTED]
        assert states(check("Santiago", chile, question="Which city is the capital of Chile?")) == [SUPPORTED]

    def test_scripts_without_spaces_and_without_case(self) -> None:
        peru = read("秘鲁在南美洲。利马是秘鲁的首都。")
        assert states(check("利马。", peru, question="秘鲁的首都是什么？")) == [SUPPORTED]
        assert states(check("库斯科。", peru, question="秘鲁的首都是什么？")) == [UNSUPPORTED]

    def test_without_pages_nothing_is_supported(self) -> None:
        assert states(check("Lima.")) == [UNSUPPORTED]
