"""Sentences are hidden at their depth with exact span numbers; haystacks have the length that was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aag_ray.extract.haystack import Hidden, haystack, hide, hide_needle, spread
from aag_ray.extract.needles import make_needles
from aag_ray.pages.page import BlockKind, Metadata, Page, Piece, assemble
from aag_ray.pages.plain import read_text
from aag_ray.pages.spans import split_spans

ENGLISH = "\n\n".join(
    f"Paragraph {n} talks of rain. It rained on day {n}, said Dr. Low (see U.S. maps). Who minded? The end of {n}."
    for n in range(30)
)
CHINESE = "\n\n".join(f"第{n}段说的是天气。今天下雨了，路很滑！大家都在家里看书。你呢？我也是第{n}个。" for n in range(30))  # noqa: RUF001
MIXED = (
    Piece(BlockKind.HEADING, "Rates", 2),
    Piece(BlockKind.TABLE_ROW, "a. b | c. D"),
    Piece(BlockKind.CODE, "x = 1. Y\n\ny = 2. Z"),
    Piece(BlockKind.LIST_ITEM, "One thing. Another thing", 1),
    Piece(BlockKind.PARAGRAPH, "no stop here"),
)
PAGES = {"en": ENGLISH, "zh": CHINESE}


def page_of(text: str) -> Page:
    page = read_text(text, "https://a.example/").page
    assert page is not None
    return page


def mixed() -> Page:
    page = assemble(MIXED, "u", Metadata(title="T", date="2026-01-02", language="en"), 10**6).page
    assert page is not None
    return page


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def characters(texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]


def hidden_texts(hidden: Hidden) -> list[str]:
    spans = [[hidden.spans[number - 1] for number in numbers] for numbers in hidden.numbers]
    return [hidden.page.text[found[0].start : found[-1].end] for found in spans]


@pytest.mark.parametrize("between", ["spans", "blocks"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_needle_is_found_whole_at_every_depth(language: str, between):
    page = page_of(PAGES[language])
    for needle in make_needles(24, 1, languages=[language]):  # type: ignore[list-item]
        for depth in (0.0, 0.3, 0.5, 0.99, 1.0):
            hidden = hide(page, needle.sentences, spread(depth, len(needle.sentences)), between)
            assert hidden_texts(hidden) == list(needle.sentences)
            assert hidden.spans == split_spans(hidden.page)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("depth", [0.0, 0.1, 0.25, 0.5, 0.77, 1.0])
def test_the_depth_is_met_to_within_a_span(language: str, depth: float):
    page = page_of(PAGES[language])
    longest = max(span.end - span.start for span in split_spans(page)) + 2
    hidden = hide(page, ["The needle is here."], [depth])
    start = hidden.spans[hidden.numbers[0][0] - 1].start
    assert abs(start - depth * len(page.text)) <= longest


def test_the_rest_of_the_page_stays_as_it_was():
    page = page_of(ENGLISH)
    hidden = hide(page, ["A needle."], [0.5])
    others = [span for span in hidden.spans if span.number not in hidden.numbers[0]]
    before = [page.text[span.start : span.end] for span in split_spans(page)]
    assert [hidden.page.text[span.start : span.end] for span in others] == before


def test_equal_depths_keep_the_order_given():
    hidden = hide(page_of(ENGLISH), ["First.", "Second.", "Third."], [0.5, 0.5, 0.5])
    first, second, third = (numbers[0] for numbers in hidden.numbers)
    assert (second, third) == (first + 1, first + 2)


def test_between_blocks_a_sentence_is_a_paragraph_of_its_own():
    hidden = hide(page_of(ENGLISH), ["A needle."], [0.4], "blocks")
    span = hidden.spans[hidden.numbers[0][0] - 1]
    assert hidden.page.text_of(hidden.page.blocks[span.block]) == "A needle."


def test_headings_rows_and_code_are_not_cut():
    page = mixed()
    for step in range(21):
        hidden = hide(page, ["A needle without a stop"], [step / 20])
        assert hidden_texts(hidden) == ["A needle without a stop"]
        kept = [hidden.page.text_of(block) for block in hidden.page.blocks]
        assert {"Rates", "a. b | c. D", "x = 1. Y\n\ny = 2. Z"} <= set(kept)
        assert (hidden.page.title, hidden.page.date, hidden.page.language) == ("T", "2026-01-02", "en")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=60), min_size=1, max_size=5),
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30), st.floats(0, 1)), max_size=4
    ),
)
def test_any_sentence_in_any_page_has_exact_numbers(texts: list[str], sentences: list[tuple[str, float]]):
    page = assemble([Piece(BlockKind.PARAGRAPH, text.strip()) for text in texts], "", Metadata(), 10**6).page
    wanted = [(text.strip(), depth) for text, depth in sentences if text.strip()]
    if page is None:
        return
    hidden = hide(page, [text for text, _ in wanted], [depth for _, depth in wanted])
    assert hidden_texts(hidden) == [text for text, _ in wanted]


@pytest.mark.parametrize(
    ("sentences", "depths", "message"),
    [
        (["a."], [], "as many depths"),
        (["a."], [1.5], "from 0 to 1"),
        (["a."], [float("nan")], "from 0 to 1"),
        ([" "], [0.5], "blank"),
    ],
)
def test_impossible_places_are_refused(sentences: list[str], depths: list[float], message: str):
    with pytest.raises(ValueError, match=message):
        hide(page_of(ENGLISH), sentences, depths)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_needle_becomes_an_example_with_its_decoys_elsewhere(language: str):
    for number, needle in enumerate(make_needles(8, 5, languages=[language])):  # type: ignore[list-item]
        made = hide_needle(
            needle, page_of(PAGES[language]), spread(0.2, len(needle.sentences)), identity=f"n{number}", decoys=2
        )
        assert [made.text_of(at) for at in made.gold] == list(needle.sentences)
        assert all(decoy in made.page.text for decoy in needle.decoys[:2])
        assert (made.question, made.answers, made.source, made.page.language) == (
            needle.question,
            needle.answers,
            "needle",
            language,
        )


def test_a_needle_without_depths_stays_out_and_nothing_is_relevant():
    needle = make_needles(1, 5)[0]
    made = hide_needle(needle, page_of(ENGLISH), [], identity="none", decoys=1)
    assert (made.relevant, made.gold, made.answers) == (False, (), ())
    assert needle.sentences[0] not in made.page.text
    assert needle.decoys[0] in made.page.text


def test_spread_depths_go_from_the_first_towards_the_end():
    assert spread(0.0, 4) == [0.0, 0.25, 0.5, 0.75]
    assert spread(0.5, 2) == [0.5, 0.75]
    assert spread(1.0, 3) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("tokens", [20, 50, 333, 600])
def test_a_haystack_is_as_long_as_wanted_and_never_longer(tokens: int):
    page = haystack([ENGLISH], tokens, words, "https://hay.example/")
    assert tokens - 12 <= words([page.text])[0] <= tokens
    assert page.url == "https://hay.example/"
    assert ENGLISH.replace("\n\n", "\n").startswith(page.text)


def test_a_chinese_haystack_is_counted_by_the_counter_given():
    page = haystack([CHINESE, CHINESE], 400, characters)
    assert 370 <= len(page.text) <= 400


def test_a_haystack_needs_enough_text_and_room_for_a_span():
    with pytest.raises(ValueError, match="5000 are wanted"):
        haystack(["Too short. " * 3, ""], 5000, words)
    with pytest.raises(ValueError, match="not even the first span"):
        haystack(["These are many words in one span of text."], 3, words)
