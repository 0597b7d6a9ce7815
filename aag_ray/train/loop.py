"""The one training loop: steps, dev scores, checkpoints, log and resume. It knows nothing of Ray (see launch.py).

A training folder holds log.jsonl, tensorboard/, best/ and last/ (`Objective.save_pretrained`), checkpoints/ while it is
not finished, and metrics.json, written last: with it, nothing is left to do.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from aag_ray.artifacts import RunError, read_table, replaced_folder, write_json
from aag_ray.config import TrainingSection
from aag_ray.llm.objective import Example, Objective
from aag_ray.train.checkpoints import Checkpoints, only_writer
from aag_ray.train.engine import Engine, TorchEngine, TrainingError, learning_rate, trained_parameters
from aag_ray.train.log import ProgressLines, Record, TrainingLog, read_log
from aag_ray.train.sampler import BatchPlan

METRICS = "metrics.json"


@dataclass
class State:
    """What the loop knows besides weights and optimizer; every checkpoint holds it. `seconds` is wall time of training."""

    step: int = 0
    best_score: float | None = None
    best_step: int | None = None
    tokens: int = 0
    seconds: float = 0.0


@dataclass
class Step:
    """One update whose numbers are still on the device: loss terms with the number of examples each is a mean over."""

    step: int
    terms: list[tuple[str, Tensor, int]]
    grad_norm: Any
    lr: float
    tokens: int
    seconds: float
    time: float


def read_examples(path: Path) -> list[dict[str, Any]]:
    """Examples from a parquet file or JSON lines. Raises TrainingError naming the file and the line."""
    if not path.exists():
        raise TrainingError(f"no file of examples {path}")
    if path.is_dir() or path.suffix == ".parquet":
        return read_table(path)
    examples = []
    with path.open() as file:
        for number, line in enumerate(file, start=1):
            try:
                examples.append(json.loads(line))
            except ValueError as error:
                raise TrainingError(f"{path}:{number}: not a JSON object ({error})") from None
    return examples


def run(
    objective: Objective,
    train: Sequence[Example],
    dev: Sequence[Example],
    training: TrainingSection,
    *,
    seed: int,
    folder: Path,
    engine: Literal["torch", "deepspeed"] = "torch",
    zero_stage: int = 0,
    offload: bool = False,
    checkpoints: Path | None = None,
    show: Callable[[Sequence[Record]], None] | None = None,
) -> dict[str, Any]:
    """Train `objective` where its parameters are and return the metrics; go on where an interrupted call stopped.

    With "deepspeed" every rank of torch.distributed calls this alike. `show` gets each new log record (on rank 0);
    None prints progress. Raises TrainingError for what a retry would meet again
    (no examples, a loss that is not finite, a folder in use), RunError if the folder cannot be written.
    """
    if engine == "deepspeed":
        from aag_ray.train.deepspeed_setup import DeepSpeedEngine

        machine: Engine = DeepSpeedEngine(objective, training, zero_stage, offload)
    else:
        machine = TorchEngine(objective, training)
    return _Training(objective, train, dev, training, seed, folder, machine, checkpoints or folder / "checkpoints").run(
        show or ProgressLines(folder.name, training.steps)
    )


class _Training:
    def __init__(
        self,
        objective: Objective,
        train: Sequence[Example],
        dev: Sequence[Example],
        training: TrainingSection,
        seed: int,
        folder: Path,
        engine: Engine,
        checkpoints: Path,
    ) -> None:
        for name, examples in (("train", train), ("dev", dev)):
            if not examples:
                raise TrainingError(f"the {name} set of {folder} is empty; there is nothing to {name} on")
        if training.batch < engine.world * training.accumulation:
            raise TrainingError(
                f"training.batch={training.batch} cannot be shared by {engine.world} workers x "
                f"{training.accumulation} accumulation steps; it must be at least {engine.world * training.accumulation}"
            )
        if training.pack:
            try:
                objective.pack(training.pack)
            except ValueError as error:
                raise TrainingError(f"training.pack={training.pack}: {error}") from error
        self.objective, self.training, self.folder, self.engine = objective, training, folder, engine
        self.train, self.dev = train, dev[: training.dev_examples]
        self.checkpoints = Checkpoints(checkpoints)
        self.parameters = sum(_numel(parameter) for parameter in trained_parameters(objective).values())
        self.plan = BatchPlan(self._lengths(), training.batch, seed)
        self.pending: list[Step] = []
        # Reading numbers off a GPU, and exchanging them, stalls the step; a lone CPU loses nothing by it.
        on_device = next(iter(trained_parameters(objective).values())).is_cuda
        self.log_every = 10 if on_device or engine.world > 1 else 1

    def _lengths(self) -> list[int]:
        rank, world = self.engine.rank, self.engine.world
        parts = self.engine.gather([self.objective.length(example) for example in self.train[rank::world]])
        lengths = [0] * len(self.train)
        for number, part in enumerate(parts):
            lengths[number::world] = part
        return lengths

    def run(self, show: Callable[[Sequence[Record]], None]) -> dict[str, Any]:
        try:
            with only_writer(self.folder, self.engine):
                self.state, restarts = self._resume()
                self.log = TrainingLog(self.folder, self.state.step) if self.engine.rank == 0 else None
                self.show = show
                began = time.monotonic() - self.state.seconds
                self._steps(began)
                if self.state.best_step is None:
                    self._score()
                _save(self.objective, self.folder / "last", self.engine)
                self.state.seconds = time.monotonic() - began
                if self.log is not None:
                    self.log.close()
                    write_json(self.folder / METRICS, self._metrics(restarts))
                    self.checkpoints.clear()
                self.engine.gather(None)
                return json.loads((self.folder / METRICS).read_text())
        finally:
            self.engine.close()

    def _resume(self) -> tuple[State, int]:
        """The state to go on from, agreed on by all workers, and how often this training was begun before."""
        found, starts = None, 0
        if self.engine.rank == 0:
            found = self.checkpoints.newest()
            record = self.folder / "starts.json"
            starts = json.loads(record.read_text()) if record.exists() else 0
            write_json(record, starts + 1)
        found, starts = self.engine.gather((found, starts))[0]
        if found is None:
            return State(), starts
        self.engine.load(found.folder)
        state = State(**found.state)
        if state.best_step is not None and not (self.folder / "best").exists():
            state.best_score = state.best_step = None  # lost with the folder; the next score makes one
        return state, starts

    def _steps(self, began: float) -> None:
        training, state, last = self.training, self.state, time.monotonic()
        self.objective.train()
        for step in range(state.step + 1, training.steps + 1):
            record = self._step(step)
            record.seconds, record.time, last = time.monotonic() - last, time.time(), time.monotonic()
            self.pending.append(record)
            state.step, state.tokens = step, state.tokens + record.tokens
            score_now = step % training.dev_every == 0 or step == training.steps
            save_now = step % training.checkpoint_every == 0 or step == training.steps
            if score_now or save_now or step % self.log_every == 0:
                records = self._read_pending()
                if score_now:
                    records[-1]["dev"] = self._score()
                self._log(records)
            if save_now:
                state.seconds = time.monotonic() - began
                self.checkpoints.save(step, asdict(state), self.engine)
            if score_now or save_now:
                last = time.monotonic()

    def _step(self, step: int) -> Step:
        training, world = self.training, self.engine.world
        self.objective.step = step - 1
        micro_batches = self.plan.micro_batches(step - 1, self.engine.rank, world, training.accumulation)
        # The engine averages over micro-batches; the factor makes that a mean over examples when their sizes differ.
        whole = training.batch / (world * training.accumulation)
        rate = learning_rate(step, training)
        losses, norm = self.engine.step([([self.train[i] for i in part], len(part) / whole) for part in micro_batches], rate)
        terms = [
            (name, value, len(part)) for part, loss in zip(micro_batches, losses, strict=True) for name, value in loss.items()
        ]
        tokens = int(self.plan.lengths[self.plan.batch_at(step - 1)].sum())
        return Step(step, terms, norm, rate, tokens, 0.0, 0.0)

    def _read_pending(self) -> list[Record]:
        """One log record for each step since the last call, with terms averaged over all workers' examples."""
        values = iter(torch.stack([value.float() for step in self.pending for _, value, _ in step.terms]).tolist())
        mine = [[(name, next(values), count) for name, _, count in step.terms] for step in self.pending]
        everyone = self.engine.gather(mine)
        records = []
        for number, step in enumerate(self.pending):
            sums: dict[str, tuple[float, int]] = {}
            for name, value, count in (term for worker in everyone for term in worker[number]):
                total, examples = sums.get(name, (0.0, 0))
                sums[name] = total + value * count, examples + count
            means = {name: total / examples for name, (total, examples) in sums.items()}
            record: Record = {"step": step.step} | means | {"lr": step.lr, "grad_norm": float(step.grad_norm)}
            records.append(record | {"tokens": step.tokens, "seconds": step.seconds, "time": step.time})
            for name in ("loss", "grad_norm"):
                if not math.isfinite(records[-1][name]):
                    ids = [self.train[i].get("id", i) for i in self.plan.batch_at(step.step - 1)]
                    raise TrainingError(f"{name} is {records[-1][name]} at step {step.step}; its batch holds examples {ids}")
        self.pending = []
        return records

    def _score(self) -> float:
        """The mean score over all dev rows, each scored by one worker; a new best is saved to best/."""
        engine, state = self.engine, self.state
        mine = sorted(self.dev[engine.rank :: engine.world], key=self.objective.length)
        size = max(1, self.training.batch // (engine.world * self.training.accumulation))
        self.objective.eval()
        scores = [score for at in range(0, len(mine), size) for score in engine.score(mine[at : at + size])]
        batches, most = -(-len(mine) // size), -(-len(self.dev) // engine.world)
        for _ in range(batches, -(-most // size)):  # where other workers have a batch more
            engine.score(self.dev[:1])
        self.objective.train()
        parts = engine.gather((math.fsum(scores), len(scores)))
        total, count = math.fsum(part for part, _ in parts), sum(part for _, part in parts)
        if count != len(self.dev) or not math.isfinite(total):
            raise TrainingError(f"step {state.step}: {count} of {len(self.dev)} dev rows were scored, their sum is {total}")
        mean = total / count
        if state.best_score is None or mean > state.best_score:
            _save(self.objective, self.folder / "best", engine)
            state.best_score, state.best_step = mean, state.step
        return mean

    def _log(self, records: list[Record]) -> None:
        if self.log is not None:
            self.log.write(records)
            self.show(records)

    def _metrics(self, restarts: int) -> dict[str, Any]:
        records = read_log(self.folder / "log.jsonl")
        stride = max(1, len(records) // 50)
        seconds = sum(record["seconds"] for record in records)
        return {
            "steps": self.state.step,
            "tokens": self.state.tokens,
            "tokens_per_second": self.state.tokens / seconds if seconds else 0.0,
            "seconds": self.state.seconds,
            "loss_first": records[0]["loss"] if records else None,
            "loss_last": records[-1]["loss"] if records else None,
            "loss_curve": [[record["step"], record["loss"]] for record in records[::stride]],
            "dev_curve": [[record["step"], record["dev"]] for record in records if "dev" in record],
            "dev_score": self.state.best_score,
            "dev_step": self.state.best_step,
            "trained_parameters": self.parameters,
            "train_examples": len(self.train),
            "dev_examples": len(self.dev),
            "workers": self.engine.world,
            "restarts": restarts,
        }


def _numel(parameter: Tensor) -> int:
    return getattr(parameter, "ds_numel", parameter.numel())  # ZeRO-3 leaves an empty tensor and the true size beside it


def _save(objective: Objective, folder: Path, engine: Engine) -> None:
    with engine.saved_weights():
        if engine.rank == 0:
            try:
                with replaced_folder(folder) as temporary:
                    objective.save_pretrained(temporary)
            except OSError as error:
                raise RunError(f"cannot write {folder}: {error.strerror or error}") from error
    engine.gather(None)
