"""What turns micro-batches into one optimizer step. `TorchEngine` is plain PyTorch on one device.

`DeepSpeedEngine` (deepspeed_setup.py) has the same interface and adds ranks and ZeRO.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from aag_ray.config import TrainingSection
from aag_ray.llm.objective import Example, Objective

MicroBatch = tuple[Sequence[Example], float]


class TrainingError(RuntimeError):
    """Training cannot go on, for a reason that a retry would meet again. Raised on every worker alike."""


class Engine(Protocol):
    """An objective with its optimizer on `world` workers, of which this is number `rank`."""

    rank: int
    world: int

    def step(self, micro_batches: Sequence[MicroBatch], learning_rate: float) -> tuple[list[dict[str, Tensor]], Any]:
        """Update the weights once from micro-batches, each with the factor that makes the gradient a mean over the
        global batch. Returns the detached loss terms of each micro-batch and the gradient's norm before clipping."""
        ...

    def score(self, examples: Sequence[Example]) -> list[float]:
        """The objective's scores of a batch, without gradients. Called by all workers equally often."""
        ...

    def saved_weights(self) -> AbstractContextManager[None]:
        """Inside, every worker holds whole weights, but for a frozen base model's, which nobody saves. All workers enter."""
        ...

    def save(self, folder: Path) -> None:
        """Write this worker's part of the weights, buffers and optimizer state below `folder`. Called by all workers."""
        ...

    def load(self, folder: Path) -> None:
        """The inverse of `save`."""
        ...

    def gather(self, value: Any) -> list[Any]:
        """The value of every worker in rank order, on every worker; a barrier."""
        ...

    def close(self) -> None:
        """Let go of the objective, so that it can be used alone."""
        ...


def learning_rate(step: int, training: TrainingSection) -> float:
    """The rate of update `step` (from 1): linear warm-up, then decay that would reach the floor after the last update."""
    warmup = min(training.warmup_steps, training.steps)
    if step <= warmup:
        return training.learning_rate * step / warmup
    left = (training.steps - step + 1) / (training.steps - warmup + 1)
    share = (1 - math.cos(math.pi * left)) / 2 if training.schedule == "cosine" else left
    return training.learning_rate * (training.floor + (1 - training.floor) * share)


def trained_parameters(objective: nn.Module) -> dict[str, nn.Parameter]:
    """Name -> parameter of what is trained. Raises TrainingError if nothing is."""
    trained = {name: parameter for name, parameter in objective.named_parameters() if parameter.requires_grad}
    if not trained:
        raise TrainingError(f"{type(objective).__name__} has no parameter that requires a gradient")
    return trained


def adamw(objective: nn.Module, training: TrainingSection) -> torch.optim.AdamW:
    """AdamW over what is trained; weight decay on matrices only, as biases and norms have no scale to decay."""
    parameters = list(trained_parameters(objective).values())
    matrices = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [
        {"params": group, "weight_decay": decay} for group, decay in ((matrices, training.weight_decay), (others, 0.0)) if group
    ]
    return torch.optim.AdamW(groups, lr=training.learning_rate, betas=training.betas, fused=parameters[0].is_cuda)


class TorchEngine:
    """One process, one device, no other library: the objective is trained where its parameters are."""

    rank, world = 0, 1

    def __init__(self, objective: Objective, training: TrainingSection) -> None:
        self.objective = objective
        self.clip = training.clip
        self.optimizer = adamw(objective, training)

    def step(self, micro_batches: Sequence[MicroBatch], learning_rate: float) -> tuple[list[dict[str, Tensor]], Any]:
        terms = []
        for examples, factor in micro_batches:
            losses = self.objective(examples)
            (losses["loss"] * factor / len(micro_batches)).backward()
            terms.append({name: value.detach() for name, value in losses.items()})
        norm = nn.utils.clip_grad_norm_(trained_parameters(self.objective).values(), self.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        return terms, norm

    @torch.no_grad()
    def score(self, examples: Sequence[Example]) -> list[float]:
        return self.objective.score(examples)

    def saved_weights(self) -> AbstractContextManager[None]:
        return nullcontext()

    def save(self, folder: Path) -> None:
        frozen = {name for name, parameter in self.objective.named_parameters() if not parameter.requires_grad}
        weights = {name: value for name, value in self.objective.state_dict().items() if name not in frozen}
        folder.mkdir(parents=True, exist_ok=True)
        torch.save({"weights": weights, "optimizer": self.optimizer.state_dict()}, folder / "state.pt")

    def load(self, folder: Path) -> None:
        state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        self.objective.load_state_dict(state["weights"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def close(self) -> None:
        self.optimizer.zero_grad()
