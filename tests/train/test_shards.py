"""ZeRO-3 from the first weight on: what is loaded in parts trains as what is loaded whole, and is saved whole."""

from __future__ import annotations

import gc
import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from aag_ray.config import (
    DistillSection,
    FidHypernetworkSection,
    FidReaderSection,
    HypernetworkSection,
    LoraSection,
    ModelSection,
    ReaderSection,
    TrainingSection,
)
from aag_ray.llm.adapters import StaticLora
from aag_ray.llm.objective import Objective
from aag_ray.llm.sft import save_lora
from aag_ray.train import deepspeed_setup
from aag_ray.train.builders import build_fid_reader, build_reader, build_sft
from aag_ray.train.deepspeed_setup import deepspeed_config
from aag_ray.train.log import read_log
from aag_ray.train.loop import run
from aag_ray.train.tags import build_dpo

WIDTH = 352  # matrices of more than 100,000 weights: below that, ZeRO-3 does not shard
CPU = torch.device("cpu")
TRAINING = TrainingSection(steps=4, batch=4, learning_rate=1e-3, warmup_steps=1, dev_every=2, checkpoint_every=3)
ROWS = [
    {
        "id": str(n), "prompt": f"Question {n}?\nAnswer:", "target": f" Au{n}\n", "condition": f"Document: {n} is {n * n}.",
        "inputs": [f"Question {n}?", f"Question {n}? Passage: {'more ' * (n % 5)}{n}"],
        "chosen": f" Au{n}\n", "rejected": f" Hg{n}, of the metals\n",
    }
    for n in range(12)
]  # fmt: skip
# The LoRA's matrices are as large as what is sharded.
LORA = LoraSection(rank=300, modules=("q_proj", "down_proj"))
# Some have no teacher and some no adapter, so that of two workers one alone can have none of either.
UNEVEN = [
    row | {"teacher_prompt": f"{row['condition']}\n{row['prompt']}" if n % 4 == 0 else None}
    | ({"condition": None} if n % 4 == 1 else {})
    for n, row in enumerate(ROWS)
]  # fmt: skip
PLACED = FidHypernetworkSection(
    variant="paper",
    rank=4,
    feature_size=3,
    condition="document",
    placements=("encoder.self_attention", "decoder.cross_attention"),
)
NETWORKS = {
    "latents": HypernetworkSection(rank=2, width=320),
    "tokens": HypernetworkSection(variant="tokens", rank=8, width=8, modules=("down_proj",)),
    "paper": HypernetworkSection(variant="paper", rank=4, feature_size=3, modules=("q_proj", "v_proj")),
}


def wide_llama(*, tied: bool) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=384, hidden_size=WIDTH, intermediate_size=400, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=256, tie_word_embeddings=tied,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def fused_model() -> T5ForConditionalGeneration:
    config = T5Config(
        vocab_size=384, d_model=WIDTH, d_kv=88, d_ff=400, num_layers=2, num_heads=4, eos_token_id=1, pad_token_id=2,
        decoder_start_token_id=2,  # pyright: ignore[reportCallIssue]
    )  # fmt: skip
    return T5ForConditionalGeneration(config)


@pytest.fixture(scope="module")
def wide(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: PreTrainedTokenizerFast):
    torch.manual_seed(29)
    folder = tmp_path_factory.mktemp("models") / request.param
    model = fused_model() if request.param == "fused" else wide_llama(tied=request.param == "tied")
    model.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    if request.param == "fused":
        return folder
    lora = StaticLora.on(model, LORA.modules, rank=20, alpha=20, seed=3)
    for b in lora.b:
        torch.nn.init.normal_(b, std=0.05)
    save_lora(lora, folder / "lora")
    return folder


def built(what: str, folder: Path, shard: Any = None) -> Objective:
    model = ModelSection(name=str(folder), dtype="float32")
    if what in NETWORKS:
        section = ReaderSection(lora=LORA, hypernetwork=NETWORKS[what], distill=DistillSection(kd=False))
        return build_reader(model, section, None, folder / "rows.jsonl", 1, CPU, shard=shard)
    if what == "taught":
        section = ReaderSection(lora=LORA, hypernetwork=NETWORKS["tokens"])
        return build_reader(model, section, folder / "lora", folder / "rows.jsonl", 1, CPU, shard=shard)
    if what == "fused":
        section = FidReaderSection(hypernetwork=PLACED, trained=("norms", "feed_forward"))
        return build_fid_reader(model, section, None, folder / "rows.jsonl", 1, CPU, shard=shard)
    if what == "preferred":
        return build_dpo(model, LORA, folder / "lora", 0.1, 1, shard, CPU)
    return build_sft(model, None if what == "everything" else LORA, 1, CPU, shard=shard)


def train(what: str, objective: Objective, folder: Path, **where: Any) -> None:
    rows = UNEVEN if what == "taught" else ROWS
    training = TRAINING.model_copy(update={"pack": 60 if what == "packed" else 0})
    # Of two workers one scores a batch more than the other.
    run(objective, rows, rows[:5], training, seed=1, folder=folder, show=lambda _: None, **where)


def as_one_of(rank: int, workers: int, what: str, model: Path, folder: Path, shard: str) -> None:
    """What one worker does: load, train, save, and see that all the time it holds its part alone of what is frozen."""
    import os

    import torch.distributed as dist

    os.environ |= {"LOCAL_RANK": "0", "RANK": str(rank), "WORLD_SIZE": str(workers)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}.rendezvous", rank=rank, world_size=workers)
    objective = built(what, model, shard)
    base: Any = objective.loaded.model if objective.loaded else None
    large = [parameter for parameter in base.parameters() if parameter.ds_numel > 100_000]
    assert len(large) >= 10
    assert all(parameter.numel() == 0 for parameter in large)
    assert all(parameter.ds_tensor.numel() == -(-parameter.ds_numel // workers) for parameter in large)
    gc.collect()
    whole = {parameter.ds_shape for parameter in large}
    made = {id(tensor) for tensor in (*objective.parameters(), *objective.buffers())}
    tensors = [each for each in gc.get_objects() if isinstance(each, torch.Tensor) and id(each) not in made]
    assert not [each.shape for each in tensors if each.shape in whole]
    score, save = objective.score, objective.save_pretrained

    def scored_in_parts(examples: Any) -> list[float]:
        assert all(parameter.numel() == 0 for parameter in large)
        return score(examples)

    def saved_in_parts(folder: Path) -> None:
        assert all((parameter.numel() == 0) is not parameter.requires_grad for parameter in large)
        save(folder)

    def keeping_nothing(*arguments: Any) -> dict[str, Any]:  # else it keeps some of what it will soon fetch again
        config = deepspeed_config(*arguments)
        config["zero_optimization"] |= {"stage3_max_live_parameters": 0, "stage3_max_reuse_distance": 0}
        return config

    deepspeed_setup.deepspeed_config = keeping_nothing
    objective.score, objective.save_pretrained = scored_in_parts, saved_in_parts
    train(what, objective, folder, engine="deepspeed", zero_stage=3, offload=shard == "cpu")
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("wide", "what", "workers", "shard"),
    [
        ("tied", "lora", 1, "device"),
        ("untied", "lora", 2, "cpu"),
        ("tied", "everything", 2, "device"),
        ("untied", "latents", 2, "device"),
        ("untied", "tokens", 2, "device"),
        ("untied", "paper", 2, "device"),
        ("untied", "packed", 2, "device"),
        ("tied", "taught", 2, "device"),
        ("tied", "preferred", 2, "device"),
        ("fused", "fused", 2, "device"),
    ],
    indirect=["wide"],
)
def test_a_model_loaded_in_parts_trains_as_one_loaded_whole(wide: Path, tmp_path: Path, what: str, workers: int, shard: str):
    train(what, built(what, wide), tmp_path / "whole")
    context = multiprocessing.get_context("spawn")
    arguments = (workers, what, wide, tmp_path / "parts", shard)
    processes = [context.Process(target=as_one_of, args=(rank, *arguments)) for rank in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * workers
    whole, parts = (read_log(tmp_path / name / "log.jsonl") for name in ("whole", "parts"))
    for key in ("loss", "dev"):
        assert [r[key] for r in parts if key in r] == pytest.approx([r[key] for r in whole if key in r], abs=1e-3)
    for path in (tmp_path / "whole" / "last").rglob("*.safetensors"):
        expected, saved = load_file(path), load_file(tmp_path / "parts" / path.relative_to(tmp_path / "whole"))
        assert saved.keys() == expected.keys()
        for name in expected:
            torch.testing.assert_close(saved[name], expected[name], atol=2e-3, rtol=1e-2)
