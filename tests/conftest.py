"""Tiny real models, built in milliseconds: random weights, a real byte-level tokenizer, fixed seed."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything reads it: no test asks a hub outside
os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # see aag_ray.threads

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from aag_ray.config import ModelSection
from aag_ray.config.fetch import RAY_PORTS
from aag_ray.llm.load import LoadedModel, load_model

VOCABULARY = 384
TEXTS = (
    "Question: What is the capital of France?\nAnswer: Paris\n",
    "Imagine contexts based on the question.\nQuestion: Which currency does Japan use?\nContexts: The yen is the currency.\n",
    "Document: The symbol of gold is Au. The country borders its neighbours and the city has many people.\n",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first."""
    items.sort(key=lambda item: item.get_closest_marker("cluster") is None)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """For `make test`, which runs two processes: most of what starts a Ray cluster in one, everything else file by file."""
    from xdist.scheduler import LoadFileScheduling

    class ClustersTogether(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            # As many as the other process has time for.
            elsewhere = file.startswith(("tests/serve/", "tests/deploy/", "tests/train/test_fid", "tests/train/test_knowledge"))
            return "clusters" if not elsewhere and "pytest.mark.cluster" in (config.rootpath / file).read_text() else file

    return ClustersTogether(config, log)


@pytest.fixture
def bound() -> Iterator[Callable[[], socket.socket]]:
    """Binds sockets to free ports of 127.0.0.1 that a guard can open: the system gives out some of Ray's own ports as well."""
    opened: list[socket.socket] = []

    def bind() -> socket.socket:
        while True:
            opened.append(socket.socket())
            opened[-1].bind(("127.0.0.1", 0))
            if opened[-1].getsockname()[1] not in RAY_PORTS:
                return opened[-1]

    yield bind
    for each in opened:
        each.close()


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of VOCABULARY tokens that gives back any text it is given. bos, eos and pad are 0, 1 and 2."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def build_tiny_llama() -> LlamaForCausalLM:
    """A random decoder with grouped-query attention (4 heads, 2 of them for keys and values) and tied embeddings."""
    torch.manual_seed(29)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture
def tiny_llama() -> LlamaForCausalLM:
    """A random decoder with grouped-query attention, new for every test."""
    return build_tiny_llama()


@pytest.fixture
def tiny_t5() -> T5ForConditionalGeneration:
    """A random encoder-decoder for the same tokenizer, new for every test."""
    torch.manual_seed(29)
    config = T5Config(
        vocab_size=VOCABULARY,
        d_model=64,
        d_kv=16,
        d_ff=96,
        num_layers=2,
        num_heads=4,
        eos_token_id=1,
        pad_token_id=2,
        decoder_start_token_id=2,  # pyright: ignore[reportCallIssue]
    )
    return T5ForConditionalGeneration(config).eval()


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast) -> Path:
    """A folder with the tiny decoder and its tokenizer, as `save_pretrained` writes them. Read only."""
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    build_tiny_llama().save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoder_folder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast) -> Path:
    """A folder with a random encoder of 128 positions and the same tokenizer. Read only."""
    torch.manual_seed(29)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        pad_token_id=2,
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-bert"
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def tiny(tiny_model_folder: Path) -> LoadedModel:
    """The tiny decoder as the application loads it: float32, frozen, on the CPU. New for every test."""
    return load_model(ModelSection(name=str(tiny_model_folder), dtype="float32"), device="cpu")
