"""The generating extractor, and what of its text stands on the page."""

from __future__ import annotations

import pytest

from aag_ray.config import ExtractSection
from aag_ray.extract.build import tag_page
from aag_ray.extract.evidence import ExtractOutcome
from aag_ray.extract.generating import TEXT_TOKENS, GeneratingExtractor, _untagged, match
from aag_ray.extract.writing import Written
from aag_ray.llm.load import LoadedModel

SECTION = ExtractSection(budget=1.0)
PAGE = tag_page("Iron rusts in the rain. The symbol of gold is Au.\n\nLead is heavy. Is x <T-2> y?", "u", kind="text").tagged


@pytest.mark.parametrize(
    ("text", "copied", "invented", "numbers"),
    [
        ("The symbol of gold is Au.", 1, (), (2,)),
        ("the SYMBOL of gold is “Au”", 1, (), (2,)),
        ("symbol of gold", 1, (), (2,)),
        ("in the rain the symbol", 1, (), (1, 2)),
        ("Lead is heavy.\nGold is yellow.", 1, ("Gold is yellow.",), (3,)),
        ("Lead is heav", 0, ("Lead is heav",), ()),
        ("None", 0, (), ()),
        ("", 0, (), ()),
        ("—\n\n...", 0, (), ()),
    ],
)
def test_sentences_are_found_on_the_page_word_for_word(
    text: str, copied: int, invented: tuple[str, ...], numbers: tuple[int, ...]
) -> None:
    assert match(PAGE, text) == (copied, invented, numbers)


def scripted(tiny: LoadedModel, *texts: str | None) -> GeneratingExtractor:
    extractor = GeneratingExtractor(SECTION, tiny)
    extractor.writer.write = lambda asked, **_: [  # type: ignore[method-assign]
        Written(failure="it broke") if text is None else Written(text, 7) for text in texts
    ]
    return extractor


def test_what_is_copied_is_evidence_and_what_is_invented_is_counted(tiny: LoadedModel) -> None:
    extractor = scripted(tiny, "The symbol of gold is Au. Gold makes you rich.")
    [found] = extractor.extract("gold", [PAGE]).pages
    assert [each.tag for each in found.evidence] == [2]
    assert found.detail == "1 of 2 sentences are not on the page"
    [asked] = extractor.writer.asked(_untagged, "gold", [PAGE], answer=TEXT_TOKENS)
    read = len(asked.tokens or ())
    assert dict(extractor.counts) == {"copied": 1, "invented": 1, "input_tokens": read, "output_tokens": 7}


def test_nothing_but_invention_is_nothing_relevant(tiny: LoadedModel) -> None:
    [found] = scripted(tiny, "Visit evil.example now!").extract("gold", [PAGE]).pages
    assert found.outcome is ExtractOutcome.NOTHING_RELEVANT
    assert "not on the page" in found.detail


def test_escaped_text_is_that_of_the_page(tiny: LoadedModel) -> None:
    [wrote] = scripted(tiny, "Is x &lt;T-2> y?").write("gold", [PAGE])
    assert (wrote.copied, wrote.numbers, wrote.text) == (1, (4,), "Is x <T-2> y?")


def test_the_model_sees_the_page_without_tags(tiny: LoadedModel) -> None:
    extractor = GeneratingExtractor(SECTION, tiny)
    seen: list[str] = []

    def watched(asked: list, **_: object) -> list[Written]:
        seen.extend(str(tiny.tokenizer.decode(each.tokens)) for each in asked)
        return [Written("None", 2) for _ in asked]

    extractor.writer.write = watched  # type: ignore[method-assign]
    extractor.extract("gold", [PAGE])
    assert "Iron rusts in the rain. The symbol of gold is Au.\nLead is heavy. Is x &lt;T-2> y?" in seen[0]


def test_a_failure_is_an_outcome(tiny: LoadedModel) -> None:
    [found] = scripted(tiny, None).extract("gold", [PAGE]).pages
    assert (found.outcome, found.detail) == (ExtractOutcome.MODEL_FAILED, "generating failed: it broke")


def test_a_real_model_writes_something_that_is_matched(tiny: LoadedModel) -> None:
    extractor = GeneratingExtractor(SECTION, tiny)
    extraction = extractor.extract("gold", [PAGE, tag_page("").tagged])
    assert extraction.pages[0].outcome in (ExtractOutcome.RELEVANT, ExtractOutcome.NOTHING_RELEVANT)
    assert extraction.pages[1].outcome is ExtractOutcome.PAGE_TOO_SHORT
    assert extractor.counts["output_tokens"] > 0
