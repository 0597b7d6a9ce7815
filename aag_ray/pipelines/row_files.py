"""Rows in parquet files that are larger together than memory: read and written a few at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aag_ray.artifacts import RunError

AT_ONCE = 256


def each_row(files: Iterable[Path], columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of parquet files, one file after the other, of all columns or some. Raises RunError naming a damaged file."""
    for file in files:
        try:
            with pq.ParquetFile(file) as table:
                for batch in table.iter_batches(AT_ONCE, columns=columns):
                    yield from batch.to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise RunError(f"{file} is not a readable parquet table: {error}") from error


def common_schema(files: Iterable[Path]) -> pa.Schema:
    """A schema that holds the rows of all these files: a column that is empty in one has its type from another."""
    schema = pa.schema([])
    for file in files:
        schema = pa.unify_schemas([schema, pq.read_schema(file)], promote_options="permissive")
    return schema


def write_rows(path: Path, rows: Iterable[dict[str, Any]], schema: pa.Schema) -> None:
    """Write rows as one parquet file, atomically, as they come. Raises RunError if the folder cannot be written."""
    temporary, source = path.with_name(f".{path.name}.{os.getpid()}.tmp"), iter(rows)
    try:
        with temporary.open("wb") as file:
            with pq.ParquetWriter(file, schema) as table:
                while some := list(islice(source, AT_ONCE)):
                    table.write_table(pa.Table.from_pylist(some, schema))
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
