"""Tiny T5s of every shape there is: equal widths, T5-3B's unequal ones, flan-T5's gated feed-forward layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from aag_ray.llm.adapters import Adapter
from aag_ray.llm.load import LoadedModel

SHAPES: dict[str, dict[str, Any]] = {
    "base": {"d_model": 64, "d_kv": 16, "num_heads": 4, "d_ff": 96},
    "3b": {"d_model": 32, "d_kv": 24, "num_heads": 4, "d_ff": 112},  # heads x d_kv = 96
    "flan": {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 40, "feed_forward_proj": "gated-gelu", "num_decoder_layers": 3},
}


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def t5(tiny_tokenizer: PreTrainedTokenizerFast) -> Callable[..., LoadedModel]:
    """`t5(shape, seed, **changes)`: a random frozen T5 of two encoder layers as the application loads it."""

    def build(shape: str = "base", seed: int = 29, **changes: Any) -> LoadedModel:
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        tokens = {"vocab_size": len(tiny_tokenizer), "eos_token_id": 1, "pad_token_id": 2, "decoder_start_token_id": 2}
        config = T5Config(**{"num_layers": 2, **tokens, **SHAPES[shape], **changes})
        model = T5ForConditionalGeneration(config).eval().requires_grad_(False)
        return LoadedModel(model, tiny_tokenizer, torch.device("cpu"), torch.float32, f"tiny-t5-{shape}", Path())

    return build


@pytest.fixture
def random_adapter() -> Callable[..., Adapter]:
    """Factors for layers of these shapes, large enough to be seen in the logits."""

    def build(shapes: dict[str, tuple[int, int]], examples: int, rank: int = 2, size: float = 0.2, seed: int = 1) -> Adapter:
        draw = torch.Generator().manual_seed(seed)
        return Adapter(
            {
                name: (
                    torch.randn(examples, d_in, rank, generator=draw) * size,
                    torch.randn(examples, rank, d_out, generator=draw) * size,
                )
                for name, (d_in, d_out) in shapes.items()
            }
        )

    return build


@pytest.fixture
def moved() -> Callable[..., Any]:
    """Move a module away from a start at which its adapters are zero."""

    def move(module: nn.Module, size: float = 0.1, seed: int = 9) -> nn.Module:
        draw = torch.Generator().manual_seed(seed)
        for parameter in module.parameters():
            parameter.data += torch.randn(parameter.shape, generator=draw) * size
        return module

    return move
