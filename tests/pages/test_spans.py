"""Sentences with exact offsets, in any script."""

# ruff: noqa: RUF001  (signs of many scripts are the subject here)

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.config import PagesSection
from aag_ray.pages.page import BlockKind, Metadata, Page, Piece, assemble
from aag_ray.pages.spans import _PERHAPS_STOP, Span, sentences, split_spans

ANYTHING = st.text(st.characters(exclude_categories=("Cs",)), max_size=80)
PROSE_LIKE = st.lists(
    st.sampled_from([*"aZé次字。！?.,;:!…\"'”“)»( \n\t", "Dr", "z.B.", "1.", "3.14", "https://a.b/c?d."])
).map("".join)
PIECES = st.lists(st.builds(Piece, st.sampled_from(BlockKind), ANYTHING | PROSE_LIKE), min_size=1, max_size=6)
SHORT = PagesSection(max_span_characters=16)


def page_of(*pieces: Piece, language: str = "") -> Page:
    page = assemble(pieces, "u", Metadata(language=language), 10**6).page
    assert page is not None
    return page


def cut(text: str, language: str = "") -> list[str]:
    return [text[start:end] for start, end in sentences(text, language)]


@given(PIECES, st.sampled_from([PagesSection(), SHORT]), st.sampled_from(["", "de", "en"]))
def test_every_character_is_in_exactly_one_span_of_its_block(pieces: list[Piece], config: PagesSection, language: str):
    page = assemble(pieces, "u", Metadata(language=language), 10**6).page
    if page is None:
        return
    spans = split_spans(page, config)
    assert [span.number for span in spans] == list(range(1, len(spans) + 1))
    position = 0
    rebuilt = ""
    for span in spans:
        block = page.blocks[span.block]
        text = page.text[span.start : span.end]
        assert block.start <= span.start < span.end <= block.end
        assert text == text.strip()
        assert len(text) <= config.max_span_characters
        assert not page.text[position : span.start].strip()
        rebuilt += page.text[position : span.start] + text
        position = span.end
    assert not page.text[position:].strip()
    assert rebuilt + page.text[position:] == page.text


@given(ANYTHING | PROSE_LIKE)
def test_sentences_lose_nothing_but_white_space(text: str):
    assert "".join("".join(cut(text)).split()) == "".join(text.split())


@given(st.lists(st.sampled_from(["Cats sleep.", "Dogs bark!", "Who knows?", "猫睡觉。", "犬は走る！"]), min_size=1, max_size=8))
def test_plain_sentences_are_found_again(parts: list[str]):
    assert cut(" ".join(parts)) == parts


# Each case is written with | where it is to be cut.
RIGHT_IN_THE_REFERENCE = [
    "One. |Two! |Three?",
    "See https://a.example/b.c?d=e.f&g for it. |Next.",
    "Pi is 3.14 and e is 2.71. |So it is.",
    "Well ... then |",
    'He said "Go." |She went.',
    "好的。|真的吗？|是！",
    "他说：“你好。”|然后走了。",
]
MENDED = [
    "It ended in 2020. |Next came 2021.",
    "The U.S. Army and J. K. Rowling met Dr. Smith. |They talked.",
    "Read example.com and file.txt now. |Done.",
    "Wow!!! |Really?!? |Yes.",
    "https://a.example/?q=x is a URL. |Is it? |Yes.",
    "Street 1\n|Town",
    "هل هذا صحيح؟ |نعم، هذا صحيح۔ |شكرا.",
    "यह पहला है। |यह दूसरा है॥ |अंत।",
    "半角｡|です。|終わり。",
    "Բարև։ |Այո։",
    "ይህ ነው። |አዎ።",
    "これは「終わり。」|と彼は言った。",
    "„Ja.“ |Dann ging er.",
    "« Oui ! » |Il partit.",
    '"Really?" she asked. |"Yes."',
    "(It was late.) |We left.",
    "At 5 p.m. we left. |At 6 p.m. |Everybody slept.",
    "z. B. das Haus, u. a. der Hund usw. |Die Katze schlief.",
    "是吗?|是的!|好.|走.",
    "1. First of all. |Then.",
    "He is 42. |She too.",
]


@pytest.mark.parametrize("case", RIGHT_IN_THE_REFERENCE + MENDED)
def test_cases(case: str):
    parts = [part.strip() for part in case.split("|") if part.strip()]
    assert cut(case.replace("|", "")) == parts


def test_ordinals_need_a_language_or_a_month():
    assert cut("Am 3. Mai war es. Im 19. Jahrhundert.", "de") == ["Am 3. Mai war es.", "Im 19. Jahrhundert."]
    assert cut("It was 19. Nobody knew.", "en") == ["It was 19.", "Nobody knew."]


def test_headings_and_rows_are_one_span_and_code_is_cut_at_empty_lines():
    page = page_of(
        Piece(BlockKind.HEADING, "What is it? A guide.", 1),
        Piece(BlockKind.TABLE_ROW, "Name: Dr. X. Y.; Age: 3. 4."),
        Piece(BlockKind.CODE, "a = 1. \nb = 2!\n\nc()"),
        Piece(BlockKind.CAPTION, "One. Two."),
    )
    assert [(page.text[s.start : s.end], s.block) for s in split_spans(page)] == [
        ("What is it? A guide.", 0),
        ("Name: Dr. X. Y.; Age: 3. 4.", 1),
        ("a = 1. \nb = 2!", 2),
        ("c()", 2),
        ("One.", 3),
        ("Two.", 3),
    ]


def test_long_spans_are_cut_where_it_hurts_least():
    clause = "alpha beta gamma delta, " * 5 + "epsilon zeta eta; theta iota kappa lambda my"
    page = page_of(Piece(BlockKind.PARAGRAPH, clause))
    cuts = [page.text[s.start : s.end] for s in split_spans(page, PagesSection(max_span_characters=60))]
    assert max(map(len, cuts)) <= 60
    assert all(not part.startswith(",") for part in cuts)
    assert " ".join(cuts) == clause


def test_a_word_without_end_is_cut_but_never_before_a_combining_mark():
    text = "e\u0301" * 100
    page = page_of(Piece(BlockKind.PARAGRAPH, text))
    cuts = [page.text[s.start : s.end] for s in split_spans(page, PagesSection(max_span_characters=17))]
    assert "".join(cuts) == text
    assert all(part[0] == "e" for part in cuts)


def test_spans_are_plain_values():
    page = page_of(Piece(BlockKind.PARAGRAPH, "One. Two."))
    assert split_spans(page) == (Span(1, 0, 4, 0), Span(2, 5, 9, 0))


def test_every_stop_of_unicode_is_found():
    stop = regex.compile(r"[\p{Sentence_Break=STerm}\p{Sentence_Break=ATerm}…]")
    stops = [chr(point) for point in range(0x110000) if stop.match(chr(point))]
    assert len(stops) > 100
    assert [sign for sign in stops if not _PERHAPS_STOP.match(sign)] == []
