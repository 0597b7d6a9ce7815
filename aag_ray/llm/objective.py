"""What the training loop asks of anything that is trained. Plain PyTorch: no Ray, no DeepSpeed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from aag_ray.llm.load import LoadedModel

Example = Mapping[str, Any]


class Objective(nn.Module, ABC):
    """A loss over examples. Its registered parameters that require gradients are what is trained.

    A frozen base model is held outside the module tree (so it is neither cast, copied nor saved) unless it is trained
    itself or sharded over workers. Nothing here draws random numbers after construction: equal examples and an equal
    `step` (updates made so far, set by the loop, for schedules such as the temperature's), equal loss.
    """

    step: int = 0

    @property
    def loaded(self) -> LoadedModel | None:
        """The language model under it, if there is one."""
        return None

    def pack(self, tokens: int) -> None:
        """From now on read several rows in one sequence of up to `tokens` tokens, with equal losses and scores.

        Raises ValueError where rows cannot share a sequence: adapters of their own, an encoder, a recurrent state.
        """
        raise ValueError(f"{type(self).__name__} cannot read several rows in one sequence")

    @abstractmethod
    def length(self, example: Example) -> int:
        """What an example costs, in tokens; the loop puts examples of similar length into one batch."""

    @abstractmethod
    def forward(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Scalar loss terms of a micro-batch. `loss` is the one to minimise (a mean over examples), the rest is logged.

        Every trained parameter gets a gradient from it, be it of zeros, whatever the examples: several workers exchange their
        gradients, each of examples of its own, and one that has others than the rest breaks the exchange. A base model that
        lies in parts is called equally often, too, here and in `score`: all workers fetch a layer's weights together.
        """

    @abstractmethod
    def score(self, examples: Sequence[Example]) -> list[float]:
        """One number per example, higher is better, without gradients: what the best checkpoint is chosen by."""

    @abstractmethod
    def save_pretrained(self, folder: Path) -> None:
        """Write every trained weight as safetensors, with a config.json that rebuilds it."""
