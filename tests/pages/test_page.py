"""Pieces become a page with exact offsets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.pages.page import Block, BlockKind, Metadata, Page, PageOutcome, PageResult, Piece, assemble

PIECES = st.lists(
    st.builds(
        lambda kind, text, level: Piece(kind, text, level if kind is BlockKind.HEADING else 0),
        st.sampled_from(BlockKind),
        st.text(max_size=20),
        st.integers(1, 6),
    )
)


def page_of(*pieces: Piece, url: str = "https://a.example/") -> Page:
    page = assemble(pieces, url, Metadata(), 10_000).page
    assert page is not None
    return page


@given(PIECES)
def test_blocks_hold_the_pieces_and_only_white_space_stands_between(pieces: list[Piece]):
    result = assemble(pieces, "", Metadata(), 10_000)
    wanted = [piece for piece in pieces if piece.text.strip()]
    if not wanted:
        assert result.outcome is PageOutcome.EMPTY
        assert result.page is None
        return
    page = result.page
    assert page is not None
    assert [(block.kind, page.text_of(block)) for block in page.blocks] == [(piece.kind, piece.text) for piece in wanted]
    position = 0
    for block in page.blocks:
        assert not page.text[position : block.start].strip()
        position = block.end
    assert position == len(page.text)


@given(PIECES)
def test_a_page_survives_a_table_row(pieces: list[Piece]):
    page = assemble(pieces, "u", Metadata("t", "2024-01-01", "en", "https://c.example/"), 10_000).page
    if page is not None:
        assert Page.from_row(page.to_row()) == page


def test_every_block_knows_the_headings_above_it():
    heading, paragraph = BlockKind.HEADING, BlockKind.PARAGRAPH
    page = page_of(
        Piece(paragraph, "before"),
        Piece(heading, "A", 1),
        Piece(heading, "B", 3),
        Piece(paragraph, "in B"),
        Piece(heading, "C", 2),
        Piece(paragraph, "in C"),
        Piece(heading, "D", 1),
        Piece(paragraph, "in D"),
    )
    paths = {page.text_of(block): block.heading_path for block in page.blocks}
    assert paths["before"] == ()
    assert paths["B"] == ("A",)
    assert paths["in B"] == ("A", "B")
    assert paths["in C"] == ("A", "C")
    assert paths["D"] == ()
    assert paths["in D"] == ("D",)


def test_the_first_heading_is_the_title_of_a_page_that_names_none():
    pieces = [Piece(BlockKind.PARAGRAPH, "x"), Piece(BlockKind.HEADING, "The title", 2)]
    assert page_of(*pieces).title == "The title"
    named = assemble(pieces, "", Metadata(title="Another"), 100).page
    assert named is not None
    assert named.title == "Another"


def test_a_page_without_text_says_which_page_it_is():
    result = assemble([], "https://a.example/x", Metadata(), 100)
    assert result == PageResult(PageOutcome.EMPTY, "https://a.example/x holds no text that is its own")


def test_a_text_beyond_its_limit_is_refused():
    result = assemble([Piece(BlockKind.CODE, "x" * 60)] * 2, "https://a.example/x", Metadata(), 100)
    assert result.outcome is PageOutcome.TOO_LARGE
    assert "100" in result.detail


def test_offsets_count_characters_and_not_bytes():
    page = page_of(Piece(BlockKind.PARAGRAPH, "𝔘ñí"), Piece(BlockKind.PARAGRAPH, "次"))
    assert page.blocks[1] == Block(BlockKind.PARAGRAPH, (), 4, 5)


@pytest.mark.parametrize("outcome", [outcome for outcome in PageOutcome if outcome is not PageOutcome.OK])
def test_only_ok_has_a_page(outcome: PageOutcome):
    assert PageResult(outcome, "why").page is None
