"""A row of a table says what its values are."""

import pytest

from aag_ray.pages.tables import MAX_COLUMNS, Table


def rows_of(*rows: str) -> list[str]:
    """Rows written as "#header | cell | cell*2" where *n is a colspan and ^n a rowspan."""
    table = Table()
    texts = []
    for row in rows:
        for cell in filter(None, row.split(" | ")):
            text, _, columns = cell.partition("*")
            text, _, down = text.partition("^")
            table.add_cell(text.lstrip("#"), header=text.startswith("#"), columns=columns or None, rows=down or None)
        texts.append(table.end_row())
    return [text for text in [*texts, table.end()] if text]


def test_values_stand_with_the_header_of_their_column():
    assert rows_of("#Land | #Capital", "France | Paris", "Japan | Tokyo") == [
        "Land: France; Capital: Paris",
        "Land: Japan; Capital: Tokyo",
    ]


def test_an_info_box_has_its_headers_at_the_left():
    assert rows_of("#Area: | 643 km²", "#Head | Ann | Bob") == ["Area: 643 km²", "Head: Ann | Bob"]


def test_row_and_column_headers_together():
    assert rows_of("# | #2023 | #2024", "#Sales | 7 | 9") == ["Sales; 2023: 7; 2024: 9"]


def test_a_table_without_headers_is_its_cells():
    assert rows_of("a | b", "c") == ["a | b", "c"]


def test_a_cell_over_several_rows_stands_in_each_of_them():
    assert rows_of("#Land | #City", "Italy^2 | Rome", "Milan") == ["Land: Italy; City: Rome", "Land: Italy; City: Milan"]


def test_a_wide_header_heads_all_its_columns():
    assert rows_of("#Name | #Score*2", "Ann | 3 | 4") == ["Name: Ann; Score: 3; Score: 4"]


def test_headers_that_head_nothing_are_not_lost():
    assert rows_of("#Only | #Headers") == ["Only | Headers"]
    assert rows_of("#A | #B", "#C | #D", "1 | 2") == ["A | B", "C: 1; D: 2"]


def test_one_title_over_a_whole_table_heads_no_column():
    assert rows_of("#Facts*2", "#Area | 7") == ["Facts", "Area: 7"]


@pytest.mark.parametrize("span", ["9007199254740991", "999999", "-1", "0", "x", "", "1e9", "٣"])
def test_impossible_spans_cost_nothing(span: str):
    table = Table()
    for _ in range(50):
        table.add_cell("head", header=True, columns=span, rows=span)
        table.add_cell("cell", header=False, columns=span, rows=span)
    assert "cell" in table.end_row()
    assert len(table._carried) <= MAX_COLUMNS
