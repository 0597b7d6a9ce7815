"""Run folders: tables, manifests and the rule that a manifest is written last.

A run is a folder; each stage owns one folder in it and commits it with `manifest.json`. A stage without a manifest
never happened: its files are left for a resume or are overwritten. Two processes cannot write one run at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aag_ray import __version__

MANIFEST = "manifest.json"
# Files that are written anew, with times in them, where the same is made again.
_ABOUT_A_RUN = frozenset((MANIFEST, "result.json", "started", ".lock"))
# Settings of folders that hold no input.
_WRITTEN_TO = frozenset(("adapters", "archive", "root", "storage"))


class RunError(RuntimeError):
    """A run folder cannot be used: it is locked, not writable, incomplete or damaged. The message says which and where."""


@dataclass(frozen=True)
class Manifest:
    """What a stage read, how it was set, what it measured. `files` maps each file it wrote to its SHA-256."""

    stage: str
    fingerprint: str
    config: dict[str, Any]
    metrics: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    code_version: str = __version__
    created: float = field(default_factory=time.time)


def fingerprint(*parts: Any) -> str:
    """A short stable hash of JSON-like values: equal inputs give an equal fingerprint on any machine."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def content_fingerprint(*parts: Any) -> str:
    """`fingerprint` of `parts`, and of what stands in every file and folder that a Path in them names.

    Settings name a file by its path, which says nothing of what is in it. A path with nothing behind it counts as written.
    """
    found = {path for named in _read_paths(parts) for path in ([named] if named.is_file() else named.rglob("*"))}
    read = {str(path): file_hash(path) for path in found if path.is_file() and path.name not in _ABOUT_A_RUN}
    return fingerprint(*parts, read) if read else fingerprint(*parts)


def _read_paths(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _read_paths(each) if key not in _WRITTEN_TO else ()
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _read_paths(each)


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write beside `path`, flush to the disk and rename, so that a reader sees the old file or the new one.

    Raises RunError on a full disk or a folder that cannot be written; the old file is then untouched.
    """
    content = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):  # it may never have existed, not even its folder
            temporary.unlink()
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def write_table(path: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema | None = None) -> None:
    """Write rows as one parquet file, atomically. Raises RunError if the folder cannot be written."""
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_atomically(path, sink.getvalue().to_pybytes())


def read_table(path: Path) -> list[dict[str, Any]]:
    """Read a parquet file, or every `*.parquet` of a folder in name order. Raises RunError naming a damaged file."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    rows: list[dict[str, Any]] = []
    for file in files:
        try:
            rows.extend(pq.ParquetFile(file).read().to_pylist())
        except (OSError, pa.ArrowException) as error:
            raise RunError(f"{file} is not a readable parquet table: {error}") from error
    return rows


class Stage:
    """One stage's folder inside a run: `with stage.recorded(...)` commits it, `stage.is_complete(...)` recognises it."""

    def __init__(self, run: Run, name: str) -> None:
        self.name = name
        self.folder = run.folder / name
        self.run = run

    @property
    def manifest(self) -> Manifest | None:
        """The committed manifest, or None if the stage never finished. Raises RunError if it is damaged."""
        path = self.folder / MANIFEST
        if not path.exists():
            return None
        try:
            return Manifest(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise RunError(f"{path} is damaged ({error}); delete the folder {self.folder} to run the stage again") from error

    def is_complete(self, expected_fingerprint: str) -> bool:
        """True if the stage was committed from the same inputs and every file it wrote is still there."""
        manifest = self.manifest
        if manifest is None or manifest.fingerprint != expected_fingerprint:
            return False
        return all((self.folder / name).exists() for name in manifest.files)

    def start(self, expected_fingerprint: str) -> Path:
        """Make the folder ready. Work of an interrupted try with the same fingerprint is kept for a resume."""
        started = self.folder / "started"
        same_try = started.exists() and started.read_text() == expected_fingerprint
        if self.folder.exists() and (not same_try or (self.folder / MANIFEST).exists()):
            shutil.rmtree(self.folder)
        write_atomically(started, expected_fingerprint)
        return self.folder

    def commit(self, manifest: Manifest) -> None:
        """Hash every file below the folder, then write the manifest. Nothing may be written to the folder afterwards."""
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file() and path.name not in {MANIFEST, "started"})
        files = {str(path.relative_to(self.folder)): file_hash(path) for path in paths}
        write_json(self.folder / MANIFEST, asdict(manifest) | {"files": files})

    def damaged_files(self) -> list[str]:
        """Names of committed files that are missing or no longer have the hash in the manifest."""
        manifest = self.manifest
        files = manifest.files if manifest else {}
        paths = ((name, self.folder / name, digest) for name, digest in files.items())
        return [name for name, path, digest in paths if not path.exists() or file_hash(path) != digest]


class Run:
    """A folder of stages. `Run.open` takes it for writing (one process at a time); `Run(folder)` reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def stage(self, name: str) -> Stage:
        return Stage(self, name)

    @classmethod
    @contextmanager
    def open(cls, folder: Path, *, fresh: bool = False) -> Iterator[Run]:
        """Lock a run folder for writing. Raises RunError if another process writes it or it cannot be written."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / ".lock").open("w")
        except OSError as error:
            raise RunError(f"cannot write the run folder {folder}: {error.strerror or error}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunError(
                    f"another process is writing the run folder {folder}; wait for it or set run.name to another name"
                ) from error
            if fresh:
                for child in folder.iterdir():
                    if child.is_dir():
                        shutil.rmtree(child)
                    elif child.name != ".lock":
                        child.unlink()
            yield cls(folder)


def newest_run(root: Path, stage: str) -> Run:
    """The run below `root` that committed `stage` last. Raises RunError if there is none, naming what was looked at."""
    manifests = sorted(root.glob(f"*/{stage}/{MANIFEST}"), key=lambda path: path.stat().st_mtime)
    if not manifests:
        raise RunError(f"no finished run with a stage {stage!r} below {root.absolute()}; `make train` makes one")
    return Run(manifests[-1].parent.parent)


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its place when the block ends well, and vanishes when it does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield temporary
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
