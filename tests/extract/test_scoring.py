"""What extractors by scores have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from aag_ray.config import ExtractSection
from aag_ray.extract.baselines import MainTextExtractor, WholePageExtractor
from aag_ray.extract.build import tag_page
from aag_ray.extract.evidence import ExtractOutcome, TaggedPage
from aag_ray.extract.scoring import ScoringExtractor, asks, check_question
from aag_ray.extract.select import PageScores

PAGE = tag_page("One is here.\n\nTwo is there.", "u", kind="text").tagged


class Halves(ScoringExtractor):
    """Gives every span 0.5, or fails as told."""

    name = "halves"
    failure: Exception | None = None

    def score(self, question: str, pages: Sequence[TaggedPage]) -> list[PageScores]:
        if self.failure:
            raise self.failure
        return [PageScores(np.full(len(page.spans), 0.5)) for page in pages]


@pytest.mark.parametrize("question", ["", "   ", "???", "—", "🙂"])
def test_a_question_without_a_word_is_refused(question: str) -> None:
    with pytest.raises(ValueError, match="holds no word"):
        check_question(question)
    with pytest.raises(ValueError, match="holds no word"):
        Halves(ExtractSection(), 0.1).extract(question, [PAGE])


@pytest.mark.parametrize("question", ["Wo?", "東京の人口は?", "ما هي العاصمة؟", "42", "क्या है"])
def test_a_question_in_any_script_has_words(question: str) -> None:
    check_question(question)


def test_the_configured_threshold_goes_before_the_extractors_own() -> None:
    assert Halves(ExtractSection(), 0.6).extract("x", [PAGE]).outcome is ExtractOutcome.NOTHING_RELEVANT
    assert Halves(ExtractSection(threshold=0.5), 0.6).extract("x", [PAGE]).outcome is ExtractOutcome.RELEVANT
    assert Halves(ExtractSection(threshold=0.0), 0.6).threshold == 0.0


def test_a_failing_model_is_an_outcome_of_every_page() -> None:
    extractor = Halves(ExtractSection(), 0.1)
    extractor.failure = RuntimeError("out of memory")
    extraction = extractor.extract("x", [PAGE, PAGE])
    assert extraction.outcome is ExtractOutcome.MODEL_FAILED
    assert [page.detail for page in extraction.pages] == ["halves failed: RuntimeError: out of memory"] * 2
    assert extraction.evidence == ()


def test_an_extraction_says_who_made_it_and_how_long_it_took() -> None:
    extraction = Halves(ExtractSection(), 0.1).extract("x", [PAGE])
    assert (extraction.extractor, extraction.calibrated) == ("halves", False)
    assert extraction.seconds > 0


@pytest.mark.parametrize("asks", ["Where is it?", "(Where is it?)", "“Where is it?”", "それはどこですか？", "أين هي؟"])  # noqa: RUF001
def test_a_question_on_a_page_is_never_evidence(asks: str) -> None:
    page = tag_page(f"One is here.\n\n{asks}\n\nTwo? Two is there.", "u", kind="text").tagged
    evidence = Halves(ExtractSection(budget=1.0), 0.1).extract("x", [page]).evidence
    assert [each.text for each in evidence] == ["One is here.", "Two is there."]


@pytest.mark.parametrize(
    "text",
    [
        "Where is it?",
        "Where is it? Who knows?",
        "“Where is it?”",
        "Re: Where is Lima?",
        "¿Dónde está Lima?",
        "Who's Afraid of Virginia Woolf?",
        "Who wrote the play Who's Afraid of Virginia Woolf?",
        "それはどこですか？",  # noqa: RUF001
    ],
)
def test_what_is_a_question_as_a_whole_asks(text: str) -> None:
    assert asks(text)


@pytest.mark.parametrize(
    "text",
    [
        "Lima lies in Peru.",
        "Lima lies in Peru. Who knew?",
        "Albee wrote “Who's Afraid of Virginia Woolf?”",
        "Albee wrote the play Who's Afraid of Virginia Woolf?",
        "It was held in Lima (or in Cusco?)",
        "“Who is it?” he asked.",
        "彼は「誰ですか？」",  # noqa: RUF001
        "",
    ],
)
def test_a_statement_before_the_question_mark_is_one(text: str) -> None:
    assert not asks(text)


@pytest.mark.parametrize("kind", [WholePageExtractor, MainTextExtractor])
def test_the_whole_page_keeps_its_questions(kind: type[WholePageExtractor]) -> None:
    line = "The capital of Peru is Lima, a large city on the coast with many people in it and a long history."
    page = tag_page("\n\n".join([line, "Where is it, and who built it there so long ago?"] * 4), "u", kind="text").tagged
    assert len(kind(ExtractSection()).extract("x", [page]).evidence) == 8


def test_an_echo_of_the_question_does_not_set_the_margin_for_the_answer() -> None:
    class Close(Halves):
        """What scores far below the best span of the request is no evidence."""

        def score(self, question: str, pages: Sequence[TaggedPage]) -> list[PageScores]:
            return [PageScores(np.array([0.99, 0.4]))]

        def least(self, scores: Sequence[PageScores]) -> float:
            return max(float(page.spans.max()) for page in scores if page.spans is not None) - 0.1

    page = tag_page("Re: Where is Lima?\n\nLima lies in Peru.", "u", kind="text").tagged
    [evidence] = Close(ExtractSection(budget=1.0), 0.1).extract("Where is Lima?", [page]).evidence
    assert evidence.text == "Lima lies in Peru."
