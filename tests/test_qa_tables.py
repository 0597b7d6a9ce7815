"""Tables of questions: told by their content, read in order, whatever wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict, disable_progress_bars

from aag_ray.qa_tables import is_table, table_rows

ROWS: list[dict[str, Any]] = [{"id": str(n), "ctxs": [{"text": f"t{n}"}], "pred": None if n else "p"} for n in range(2500)]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder as the reference's data set lies on a disk: three splits, here of two shards each."""
    disable_progress_bars()
    splits = {"train": ROWS, "eval": ROWS[:4], "test": ROWS[4:9]}
    DatasetDict({name: Dataset.from_list(rows) for name, rows in splits.items()}).save_to_disk(
        tmp_path / "saved", num_shards=dict.fromkeys(splits, 2)
    )
    return tmp_path / "saved"


def test_a_split_that_datasets_saved_is_read_shard_after_shard(saved: Path):
    assert len(list((saved / "train").glob("*.arrow"))) == 2
    assert list(table_rows(saved / "train")) == ROWS
    assert list(table_rows(saved / "test")) == ROWS[4:9]


def test_rows_that_datasets_chose_and_shuffled_come_as_chosen(tmp_path: Path):
    Dataset.from_list(ROWS).select([7, 3, 5]).save_to_disk(tmp_path / "chosen")
    assert [row["id"] for row in table_rows(tmp_path / "chosen")] == ["7", "3", "5"]


def test_a_folder_of_several_splits_asks_for_one_of_them(saved: Path):
    with pytest.raises(ValueError, match=r"it holds the splits train, eval, test; name one of them, as in .*saved/train"):
        list(table_rows(saved))


@pytest.mark.parametrize("state", [None, "{", json.dumps({"_data_files": [{"filename": "gone.arrow"}]}), "{}"])
def test_a_folder_that_is_none_or_lacks_a_file_is_an_error(tmp_path: Path, state: str | None):
    if state is not None:
        (tmp_path / "state.json").write_text(state)
    with pytest.raises((ValueError, KeyError, OSError)):
        list(table_rows(tmp_path))


@pytest.mark.parametrize("kind", ["parquet", "arrow file", "arrow stream"])
def test_a_file_is_told_by_its_content(tmp_path: Path, kind: str):
    table, path = pa.Table.from_pylist(ROWS), tmp_path / "rows.data"
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        new = pa.ipc.new_file if kind == "arrow file" else pa.ipc.new_stream
        with new(str(path), table.schema) as sink:
            sink.write_table(table, max_chunksize=1000)
    assert is_table(path)
    assert list(table_rows(path)) == ROWS


def test_json_and_what_is_not_there_are_no_tables(tmp_path: Path):
    (tmp_path / "a.parquet").write_text("{}")
    assert not is_table(tmp_path / "a.parquet")
    assert not is_table(tmp_path / "none")
