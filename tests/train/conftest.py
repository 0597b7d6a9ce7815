"""Small real objectives: a wide linear map, and a low-rank head on a frozen tiny Llama."""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from aag_ray.config import TrainingSection
from aag_ray.llm.objective import Example, Objective

WIDTH = 352  # a matrix of more than 100,000 weights: below that, ZeRO-3 does not shard


class Regression(Objective):
    """Learns y from x through two layers. It can be told to kill its process."""

    batches: Tensor

    def __init__(self, device: Any = "cpu", dtype: str = "float32", die_at: int = 0, marker: str = "") -> None:
        super().__init__()
        torch.manual_seed(7)
        self.hidden = nn.Linear(4, WIDTH)
        self.middle = nn.Linear(WIDTH, WIDTH)
        self.last = nn.Linear(WIDTH, 1)
        self.register_buffer("batches", torch.zeros(()))
        self.to(device=device, dtype=getattr(torch, dtype))
        self.die_at, self.marker = die_at, Path(marker)

    def length(self, example: Example) -> int:
        return example["length"]

    def errors(self, examples: Sequence[Example]) -> Tensor:
        kind, device = self.batches.dtype, self.batches.device
        x = torch.tensor([example["x"] for example in examples], dtype=kind, device=device)
        y = torch.tensor([example["y"] for example in examples], dtype=kind, device=device)
        return (self.last(torch.tanh(self.middle(torch.tanh(self.hidden(x))))).squeeze(1) - y) ** 2

    def forward(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        self.batches += 1
        if self.die_at == int(self.batches) and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        loss = self.errors(examples).mean()
        return {"loss": loss, "root": loss.sqrt()}

    @torch.no_grad()
    def score(self, examples: Sequence[Example]) -> list[float]:
        return (-self.errors(examples)).tolist()

    def save_pretrained(self, folder: Path) -> None:
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, folder / "model.safetensors")


class Head(Objective):
    """A low-rank head over a tiny frozen Llama, which stays outside the module tree as `Objective` asks."""

    def __init__(self, device: Any = "cpu") -> None:
        from transformers import LlamaConfig, LlamaModel

        super().__init__()
        torch.manual_seed(3)
        config = LlamaConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            vocab_size=11,
            num_attention_heads=4,
            num_key_value_heads=2,
        )
        self.frozen: tuple[Any, ...] = (LlamaModel(config).to(device, torch.bfloat16).eval().requires_grad_(False),)
        self.down, self.up = nn.Linear(16, 4, bias=False, device=device), nn.Linear(4, 11, bias=False, device=device)

    def length(self, example: Example) -> int:
        return len(example["tokens"])

    def losses(self, examples: Sequence[Example]) -> list[Tensor]:
        losses = []
        for example in examples:
            tokens = torch.tensor([example["tokens"]])
            states = self.frozen[0](input_ids=tokens).last_hidden_state.float()
            losses.append(nn.functional.cross_entropy(self.up(self.down(states))[0, :-1], tokens[0, 1:]))
        return losses

    def forward(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        return {"loss": torch.stack(self.losses(examples)).mean()}

    @torch.no_grad()
    def score(self, examples: Sequence[Example]) -> list[float]:
        return [-float(loss) for loss in self.losses(examples)]

    def save_pretrained(self, folder: Path) -> None:
        save_file(dict(self.state_dict()), folder / "head.safetensors")


def examples(count: int, seed: int = 0) -> list[Mapping[str, Any]]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 4, generator=generator)
    y = x @ torch.tensor([1.0, -2.0, 0.5, 3.0])
    return [{"id": f"row-{seed}-{i}", "x": x[i].tolist(), "y": float(y[i]), "length": 3 + i * 7 % 11} for i in range(count)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A real local Ray of two CPUs, for the tests of a job."""
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs of one module lie."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def regression() -> type[Regression]:
    return Regression


@pytest.fixture(scope="session")
def head() -> type[Head]:
    return Head


@pytest.fixture(scope="session")
def rows() -> list[Mapping[str, Any]]:
    return examples(37)


@pytest.fixture(scope="session")
def dev_rows() -> list[Mapping[str, Any]]:
    return examples(9, seed=1)


@pytest.fixture
def training() -> TrainingSection:
    return TrainingSection(
        steps=12,
        batch=6,
        accumulation=2,
        learning_rate=3e-3,
        weight_decay=0.01,
        warmup_steps=3,
        checkpoint_every=4,
        dev_every=5,
    )


@pytest.fixture(scope="session")
def read_weights() -> Any:
    return lambda folder: load_file(folder / "model.safetensors")


@pytest.fixture(autouse=True)
def _quiet_threads() -> None:
    torch.set_num_threads(1)
