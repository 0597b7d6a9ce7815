"""Tables larger than memory: what is written in parts is read as one, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from aag_ray.artifacts import RunError, read_table, write_table
from aag_ray.pipelines.row_files import AT_ONCE, common_schema, each_row, write_rows

EMPTY, FULL = {"id": "a", "links": []}, {"id": "b", "links": ["x", "y"]}


def test_parts_become_one_table_in_their_order(tmp_path: Path):
    parts = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    write_table(parts[0], [EMPTY] * 3)
    write_table(parts[1], [FULL] * (AT_ONCE + 1))
    write_rows(tmp_path / "all.parquet", each_row(parts), common_schema(parts))
    assert read_table(tmp_path / "all.parquet") == [EMPTY] * 3 + [FULL] * (AT_ONCE + 1)
    assert [*each_row(parts[:1], ["id"])] == [{"id": "a"}] * 3


def test_no_parts_are_an_empty_table(tmp_path: Path):
    write_rows(tmp_path / "all.parquet", [], common_schema([]))
    assert read_table(tmp_path / "all.parquet") == []


def test_a_writer_that_stops_leaves_the_old_table(tmp_path: Path):
    def stops() -> Iterator[dict[str, Any]]:
        yield {"id": "new"}
        raise ValueError("no more")

    table, schema = tmp_path / "all.parquet", pa.schema([("id", pa.string())])
    write_table(table, [{"id": "old"}])
    with pytest.raises(ValueError, match="no more"):
        write_rows(table, stops(), schema)
    assert read_table(table) == [{"id": "old"}]
    assert list(tmp_path.iterdir()) == [table]


def test_what_cannot_be_read_or_written_is_named(tmp_path: Path):
    (tmp_path / "bad.parquet").write_text("no table")
    with pytest.raises(RunError, match=r"bad\.parquet is not a readable parquet table"):
        list(each_row([tmp_path / "bad.parquet"]))
    with pytest.raises(RunError, match=r"cannot write .*nowhere.*all\.parquet"):
        write_rows(tmp_path / "nowhere" / "all.parquet", [], common_schema([]))
