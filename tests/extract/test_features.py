"""What words alone say of a span, in shares of the question's words."""

import os
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from aag_ray.extract.evidence import TaggedPage
from aag_ray.extract.features import FEATURES, lexical_features
from aag_ray.pages.page import BlockKind, Metadata, Piece, assemble
from aag_ray.pages.spans import split_spans

AT = {name: place for place, name in enumerate(FEATURES)}


def page_of(*pieces: Piece, title: str = "") -> TaggedPage:
    page = assemble(pieces, "https://a.example/", Metadata(title=title, language="en"), 10**6).page
    assert page is not None
    return TaggedPage(page, split_spans(page))


def paragraph(text: str) -> Piece:
    return Piece(BlockKind.PARAGRAPH, text)


def test_a_span_with_every_word_of_the_question_has_a_share_of_one():
    page = page_of(paragraph("Zinc melts at 420 degrees. It is blue. Snow falls."))
    rows = lexical_features("At how many degrees melts zinc?", [page])[0]
    assert rows[0][AT["span"]] == max(row[AT["span"]] for row in rows)
    assert rows[1][AT["span"]] == 0
    assert rows[1][AT["neighbours"]] == rows[0][AT["span"]]
    assert rows[2][AT["neighbours"]] == 0
    assert len({row[AT["block"]] for row in rows}) == 1


def test_the_headings_above_and_the_title_speak_for_a_span():
    page = page_of(
        Piece(BlockKind.HEADING, "Zinc", 2),
        paragraph("It melts early."),
        Piece(BlockKind.HEADING, "Tin", 2),
        paragraph("Soft."),
        title="Metals",
    )
    rows = lexical_features("zinc?", [page])[0]
    assert [row[AT["headings"]] > 0 for row in rows] == [False, True, False, False]
    titled = page_of(paragraph("It melts early."), title="Zinc")
    assert lexical_features("zinc?", [titled])[0][0][AT["headings"]] == 1


def test_a_rare_word_counts_more_than_a_common_one():
    page = page_of(*(paragraph(f"The metal number {n} is grey.") for n in range(9)), paragraph("Gallium is one."))
    rows = lexical_features("gallium metal", [page])[0]
    assert rows[-1][AT["span"]] > 0.5 > rows[0][AT["span"]] > 0


def test_words_of_other_pages_make_a_word_common():
    alone, others = page_of(paragraph("Gallium melts.")), [page_of(paragraph("Gallium shines.")) for _ in range(8)]
    one = lexical_features("gallium melts", [alone])[0][0][AT["span"]]
    assert one == lexical_features("gallium melts", [alone, *others])[0][0][AT["span"]] == 1
    told = lexical_features("gallium melts", [alone, *others])[1][0][AT["span"]]
    assert told < 0.5


@given(st.text(max_size=60), st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=4))
def test_every_span_of_any_page_has_features_from_zero_to_one(question: str, texts: list[str]):
    page = assemble([paragraph(text) for text in texts], "", Metadata(), 10**6).page
    if page is None:
        return
    spans = split_spans(page)
    rows = lexical_features(question, [TaggedPage(page, spans)])[0]
    assert len(rows) == len(spans)
    assert all(len(row) == len(FEATURES) and all(0 <= value <= 1 + 1e-9 for value in row) for row in rows)


def test_features_are_the_same_to_the_last_bit_in_every_process():
    """A training that goes on from a checkpoint compares its rows with those of the process that began it."""
    code = (
        "from aag_ray.extract.examples import example, page_from_passages\n"
        "from aag_ray.extract.features import lexical_features\n"
        "from aag_ray.records import Passage\n"
        "texts = ['Zinc melts at 420 degrees in any oven.', 'Tin and lead melt sooner than zinc does.', 'An oven is hot.']\n"
        "page = page_from_passages([Passage(str(n), 'Metals', text) for n, text in enumerate(texts)], 'u')\n"
        "asked = 'At how many degrees does zinc melt, sooner than lead and tin, in a hot oven?'\n"
        "[rows] = lexical_features(asked, [example('', asked, page, (), '').tagged])\n"
        "print([[value.hex() for value in row] for row in rows])\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2", "3", "4")
    }
    assert len(outputs) == 1
