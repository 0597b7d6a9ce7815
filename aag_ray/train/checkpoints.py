"""Checkpoints that are complete or absent: written aside, hashed, then renamed; checked before they are loaded.

They lie on storage that all workers share, beside the training's other results, rather than in Ray's own upload: so the
same folder resumes a training after a killed worker, after a killed driver, and without Ray.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aag_ray.artifacts import MANIFEST, RunError, file_hash, write_atomically, write_json
from aag_ray.train.engine import Engine, TrainingError

LATEST = "latest"
PATIENCE = 60.0


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: its folder, the step after which it was taken and the loop's state at that time."""

    folder: Path
    step: int
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one training below `folder`; the newest `keep` stay."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep

    def save(self, step: int, state: dict[str, Any], engine: Engine) -> None:
        """Write one checkpoint; called by all workers. Raises RunError if it cannot be written; older ones stay good."""
        # The name is drawn at each try: what a dying worker of an earlier try still writes goes elsewhere.
        temporary = self.folder / engine.gather(self._temporary_name() if engine.rank == 0 else "")[0]
        try:
            engine.save(temporary)
        except (OSError, RuntimeError) as error:
            raise RunError(f"cannot write the checkpoint of step {step} below {self.folder}: {error}") from error
        engine.gather(None)  # every worker has written its part
        if engine.rank == 0:
            self._commit(temporary, step, state)
        engine.gather(None)  # no worker goes on before the checkpoint counts

    def _temporary_name(self) -> str:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for left_over in self.folder.glob(".writing-*"):
                shutil.rmtree(left_over)
            return Path(tempfile.mkdtemp(prefix=".writing-", dir=self.folder)).name
        except OSError as error:
            raise RunError(f"cannot write checkpoints to {self.folder}: {error.strerror or error}") from error

    def _commit(self, temporary: Path, step: int, state: dict[str, Any]) -> None:
        files = sorted(path for path in temporary.rglob("*") if path.is_file())
        hashes = {str(path.relative_to(temporary)): file_hash(path) for path in files}
        write_json(temporary / MANIFEST, {"step": step, "state": state, "files": hashes})
        final = self.folder / f"step-{step:08d}"
        if final.exists():  # a damaged one that was passed over
            shutil.rmtree(final)
        temporary.rename(final)
        write_atomically(self.folder / LATEST, final.name)
        for old in self._folders()[self.keep :]:
            shutil.rmtree(old)

    def _folders(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"), reverse=True)

    def newest(self, warn: Callable[[str], None] = print) -> Checkpoint | None:
        """The newest checkpoint whose files all have the hash in its manifest, or None; damaged ones are named."""
        for folder in self._folders():
            try:
                return self._read(folder)
            except (OSError, ValueError, KeyError) as error:
                warn(f"checkpoint {folder} is damaged ({error}) and is passed over")
        return None

    def _read(self, folder: Path) -> Checkpoint:
        manifest = json.loads((folder / MANIFEST).read_text())
        for name, digest in manifest["files"].items():
            if file_hash(folder / name) != digest:
                raise ValueError(f"{name} has not the hash in {MANIFEST}")
        return Checkpoint(folder, manifest["step"], manifest["state"])

    def clear(self) -> None:
        """Remove every checkpoint: a finished training needs none."""
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def only_writer(folder: Path, engine: Engine, patience: float = PATIENCE) -> Iterator[None]:
    """Keep other trainings out of `folder` inside the block; entered by all workers.

    Waits `patience` seconds, as a killed driver's workers may need a moment to end, then raises TrainingError.
    """
    lock, problem = None, ""
    try:
        if engine.rank == 0:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                lock = (folder / ".lock").open("w")
            except OSError as error:
                raise RunError(f"cannot write {folder}: {error.strerror or error}") from error
            if not _locked_within(patience, lock.fileno()):
                problem = f"another training is writing {folder}; wait for it or train into another folder"
        problem = engine.gather(problem)[0]
        if problem:
            raise TrainingError(problem)
        yield
    finally:
        if lock is not None:
            lock.close()


def _locked_within(seconds: float, file: int) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
