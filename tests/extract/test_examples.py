"""Examples survive a table, cannot contradict themselves, and passages become one page with known owners."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.artifacts import read_table, write_table
from aag_ray.extract.examples import ExtractionExample, example, page_from_passages, passage_of_block
from aag_ray.pages.page import BlockKind
from aag_ray.records import Passage

PASSAGES = (
    Passage("1", "Lake Vorn", "Lake Vorn is deep. It freezes in winter."),
    Passage("2", "", "An untitled passage."),
    Passage("3", "Mount Tell", "Mount Tell is high."),
)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)


def made(gold: tuple[int, ...] = (2,)) -> ExtractionExample:
    page = page_from_passages(PASSAGES, "passages:q1")
    return example("q1", "How deep is Lake Vorn?", page, gold, "gold", answers=("deep",))


def test_titles_are_headings_and_texts_are_paragraphs_below_them():
    page = page_from_passages(PASSAGES, "passages:q1")
    assert [(block.kind, page.text_of(block), block.heading_path) for block in page.blocks] == [
        (BlockKind.HEADING, "Lake Vorn", ()),
        (BlockKind.PARAGRAPH, "Lake Vorn is deep. It freezes in winter.", ("Lake Vorn",)),
        (BlockKind.PARAGRAPH, "An untitled passage.", ("Lake Vorn",)),
        (BlockKind.HEADING, "Mount Tell", ()),
        (BlockKind.PARAGRAPH, "Mount Tell is high.", ("Mount Tell",)),
    ]
    assert (page.url, page.title) == ("passages:q1", "")


def test_every_block_knows_its_passage():
    assert passage_of_block(PASSAGES) == (0, 0, 1, 2, 2)


@given(st.lists(st.tuples(TEXT, TEXT), max_size=6))
def test_blocks_and_owners_agree_whatever_the_passages_hold(texts: list[tuple[str, str]]):
    passages = [Passage(str(number), title, text) for number, (title, text) in enumerate(texts)]
    owners = passage_of_block(passages)
    if not owners:
        with pytest.raises(ValueError, match="make no page"):
            page_from_passages(passages, "u")
        return
    page = page_from_passages(passages, "u")
    assert len(page.blocks) == len(owners)
    for block, owner in zip(page.blocks, owners, strict=True):
        assert page.text_of(block) in {passages[owner].title.strip(), passages[owner].text.strip()}


def test_an_example_reads_its_spans_from_the_page():
    assert made().text_of(2) == "Lake Vorn is deep."
    assert made().tagged.spans == made().spans
    assert made((3, 2, 2)).gold == (2, 3)
    assert made(()).relevant is False


def test_a_row_is_json_and_gives_the_example_back():
    row = made().to_row()
    assert ExtractionExample.from_row(json.loads(json.dumps(row))) == made()


def test_rows_survive_parquet_with_and_without_gold(tmp_path: Path):
    examples = [made(), made(())]
    write_table(tmp_path / "examples.parquet", [each.to_row() for each in examples])
    assert [ExtractionExample.from_row(row) for row in read_table(tmp_path / "examples.parquet")] == examples


def test_a_table_of_negatives_alone_can_be_read(tmp_path: Path):
    write_table(tmp_path / "examples.parquet", [made(()).to_row()])
    assert ExtractionExample.from_row(read_table(tmp_path / "examples.parquet")[0]) == made(())


@pytest.mark.parametrize("gold", [(0,), (99,), (3, 2), (2, 2)])
def test_gold_that_is_not_on_the_page_in_order_is_refused(gold: tuple[int, ...]):
    row = made().to_row() | {"gold": list(gold)}
    with pytest.raises(ValueError, match="q1: gold"):
        ExtractionExample.from_row(row)


def test_relevance_and_gold_cannot_contradict_each_other():
    with pytest.raises(ValueError, match="contradicts"):
        ExtractionExample.from_row(made().to_row() | {"relevant": False})


def test_a_missing_column_is_named():
    row = made().to_row()
    del row["spans"]
    with pytest.raises(KeyError, match="spans"):
        ExtractionExample.from_row(row)
