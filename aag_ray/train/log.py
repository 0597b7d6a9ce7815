"""The training log: one JSON line a step, TensorBoard scalars from it, and progress lines for people."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from aag_ray.artifacts import RunError, write_atomically

Record = dict[str, Any]


def read_log(path: Path) -> list[Record]:
    """The records of a log. A last line that was cut off by a kill is left out; no file is no record."""
    return list(_complete_records(path.read_text().splitlines(keepends=True))) if path.exists() else []


def _complete_records(lines: Sequence[str]) -> Iterator[Record]:
    for line in lines:
        if line.endswith("\n"):
            yield json.loads(line)


def follow_log(path: Path) -> Iterator[list[Record]]:
    """Endless: each `next` gives the records written since the last one, a step once, even when the log starts again."""
    step, inode, position = 0, 0, 0
    while True:
        new: list[Record] = []
        if path.exists():
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_ino != inode:  # a resume has replaced the file
                    inode, position = os.fstat(file.fileno()).st_ino, 0
                file.seek(position)
                text = file.read()
            complete = text[: text.rfind(b"\n") + 1]
            position += len(complete)
            new = [record for record in map(json.loads, complete.splitlines()) if record["step"] > step]
        step = new[-1]["step"] if new else step
        yield new


class TrainingLog:
    """`folder`/log.jsonl and `folder`/tensorboard, continued after `step`: later lines of an earlier try are dropped.

    TensorBoard's files are written anew from the log at each start, so that no scalar stands there twice.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        path = folder / "log.jsonl"
        records = [record for record in read_log(path) if record["step"] <= step]
        write_atomically(path, "".join(json.dumps(record) + "\n" for record in records))
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
        self.events = EventFileWriter(str(folder / "tensorboard"))
        self.file = path.open("a")
        for record in records:
            self._to_tensorboard(record)

    def write(self, records: Sequence[Record]) -> None:
        """Append records. Raises RunError if the disk is full."""
        try:
            self.file.write("".join(json.dumps(record) + "\n" for record in records))
            self.file.flush()
        except OSError as error:
            raise RunError(f"cannot write {self.file.name}: {error.strerror or error}") from error
        for record in records:
            self._to_tensorboard(record)

    def _to_tensorboard(self, record: Record) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2

        scalars = {tag: float(value) for tag, value in record.items() if tag not in ("step", "time")}
        summary = summary_pb2.Summary()  # pyright: ignore[reportAttributeAccessIssue]
        for tag, value in scalars.items():
            summary.value.add(tag=tag, simple_value=value)
        event = event_pb2.Event(  # pyright: ignore[reportAttributeAccessIssue]
            step=record["step"], wall_time=record["time"], summary=summary
        )
        self.events.add_event(event)

    def close(self) -> None:
        self.file.close()
        self.events.close()


class ProgressLines:
    """Prints where a training stands, at most every `every` seconds: a bar on a terminal, a plain line elsewhere."""

    def __init__(self, title: str, steps: int, stream: TextIO | None = None, every: float = 5.0) -> None:
        self.title, self.steps, self.every = title, steps, every
        self.stream = stream or sys.stderr
        self.first: Record | None = None
        self.printed = -math.inf
        self.tokens, self.seconds = 0, 0.0

    def __call__(self, records: Sequence[Record]) -> None:
        for record in records:
            self.first = self.first or record
            self.tokens += record["tokens"]
            self.seconds += record["seconds"]
        done = bool(records) and records[-1]["step"] >= self.steps
        if not records or not (done or time.monotonic() - self.printed >= self.every):
            return
        terminal = self.stream.isatty()
        line = self._line(records[-1], terminal)
        self.stream.write(f"\r\x1b[K{line}" + ("\n" if done else "") if terminal else line + "\n")
        self.stream.flush()
        self.printed, self.tokens, self.seconds = time.monotonic(), 0, 0.0

    def _line(self, record: Record, terminal: bool) -> str:
        assert self.first is not None
        step = record["step"]
        passed = step - self.first["step"]
        left = (record["time"] - self.first["time"]) / passed * (self.steps - step) if passed else None
        filled = 20 * step // max(1, self.steps)
        parts = [
            self.title,
            *(["#" * filled + "." * (20 - filled)] if terminal else []),
            f"step {step}/{self.steps}",
            f"loss {record['loss']:.4f}",
            *([f"dev {record['dev']:.4f}"] if "dev" in record else []),
            f"{self.tokens / max(self.seconds, 1e-9):,.0f} tokens/s",
            *([f"{int(left) // 60}:{int(left) % 60:02d} left"] if left is not None else []),
        ]
        return "  ".join(parts)
