"""What the tests of both engines share: a decoder that both can run, small settings, and random adapters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from aag_ray.config import DecodingSection, ModelSection
from aag_ray.llm.adapters import Adapter, adaptable_layers
from aag_ray.llm.load import LoadedModel, load_model

MakeAdapters = Callable[..., Adapter]


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast) -> LoadedModel:
    """A random decoder with heads of a size that vLLM knows (32), and wide enough weights that it does not repeat itself."""
    torch.manual_seed(29)
    config = LlamaConfig(
        vocab_size=len(tiny_tokenizer),
        hidden_size=128,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-wide"
    model = LlamaForCausalLM(config)
    torch.nn.init.zeros_(model.lm_head.weight[2])  # like a trained model, it never writes the pad token
    model.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return load_model(ModelSection(name=str(folder), dtype="float32"), device="cpu")


@pytest.fixture(scope="session")
def decoding() -> Callable[[str, Path], DecodingSection]:
    """Settings of an engine for 4 prompts at once and 5 that wait, with its adapters' folder."""

    def section(engine: str, folder: Path) -> DecodingSection:
        vllm = {"adapters": folder, "rank": 16, "roles": 2, "cache_bytes": 64 << 20, "eager": True}
        return DecodingSection.model_validate({"engine": engine, "batch": 4, "waiting": 5, "vllm": vllm})

    return section


@pytest.fixture(scope="session")
def adapters() -> MakeAdapters:
    """Random adapters of `count` examples on the modules of a model."""

    def made(
        loaded: LoadedModel, count: int, seed: int, modules: tuple[str, ...] = ("down_proj",), rank: int = 4, scale: float = 0.5
    ) -> Adapter:
        generator = torch.Generator().manual_seed(seed)
        factors = {}
        for name, layer in adaptable_layers(loaded.model, modules).items():
            a = torch.randn(count, layer.in_features, rank, generator=generator) * scale
            factors[name] = (a, torch.randn(count, rank, layer.out_features, generator=generator) * scale)
        return Adapter(factors)

    return made
