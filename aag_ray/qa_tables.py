"""Rows of tables that hold questions: parquet and Arrow files, and folders that `datasets` saved to disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

PARQUET, ARROW_FILE, ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
ROWS_AT_ONCE = 1024  # a hundred passages a row are large as Python values


def is_table(path: Path) -> bool:
    """Whether `table_rows` is to read it: a folder, or a file that begins as parquet and Arrow files do."""
    if not path.is_file():
        return path.is_dir()
    with path.open("rb") as file:
        return file.read(len(ARROW_FILE)).startswith((PARQUET, ARROW_FILE, ARROW_STREAM))


def table_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Every row, in order, without reading the whole table at once. What is missing in a row is None.

    Raises ValueError, KeyError, OSError or ArrowException for a damaged file and for a folder of another kind.
    """
    for file in _saved_files(path) if path.is_dir() else [path]:
        with pa.memory_map(str(file)) as source:
            for batch in _batches(source):
                yield from batch.to_pylist()


def _saved_files(folder: Path) -> list[Path]:
    if (several := folder / "dataset_dict.json").is_file():
        splits = json.loads(several.read_text())["splits"]
        raise ValueError(f"it holds the splits {', '.join(splits)}; name one of them, as in {folder / splits[0]}")
    if not (state := folder / "state.json").is_file():
        raise ValueError("a folder of questions is one that datasets.save_to_disk wrote, and this one has no state.json")
    return [folder / each["filename"] for each in json.loads(state.read_text())["_data_files"]]


def _batches(source: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    start = source.read(len(ARROW_FILE))
    source.seek(0)
    if start.startswith(PARQUET):
        yield from pq.ParquetFile(source).iter_batches(ROWS_AT_ONCE)
    elif start.startswith(ARROW_FILE):
        reader = pa.ipc.open_file(source)
        yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        yield from pa.ipc.open_stream(source)
