"""Packed rows: the losses and gradients of padded ones, without the padding, and no row sees another."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    Lfm2Config,
    Lfm2ForCausalLM,
    MambaConfig,
    MambaForCausalLM,
)

from aag_ray.config import DistillSection, LoraSection
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.packing import arranged, keeps_rows_apart, packed_batch, packed_logits
from aag_ray.llm.sft import SftObjective, new_lora

ROWS = [
    {"id": "1", "prompt": "Question: What is the capital of France?\nAnswer:", "target": " Paris\n"},
    {"id": "2", "prompt": "gold?", "target": " The symbol of gold is Au.\n"},
    {
        "id": "3",
        "prompt": "Question: Which currency does Japan use?\nContexts:",
        "target": " The yen is the currency of many.\n",
    },
    {"id": "4", "prompt": "Imagine", "target": " x"},
    {"id": "5", "prompt": "Document: The country borders its neighbours and the city has many people.\n", "target": " no\n"},
]
PROMPTS, TARGETS = [row["prompt"] for row in ROWS], [row["target"] for row in ROWS]


def gradients(objective: SftObjective) -> list[torch.Tensor]:
    objective.zero_grad()
    objective(ROWS)["loss"].backward()
    return [parameter.grad.clone() for parameter in objective.parameters() if parameter.grad is not None]


def lora(tiny: LoadedModel) -> SftObjective:
    made = new_lora(tiny, LoraSection(rank=4, modules=("q_proj", "v_proj", "down_proj")), seed=1)
    for parameter in made.b:
        nn.init.normal_(parameter, std=0.3)  # at its start, a LoRA changes nothing
    return SftObjective(tiny, made)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("tokens", [40, 64, 4096])
@pytest.mark.parametrize("trained", ["lora", "everything"])
def test_losses_and_gradients_are_those_of_padded_rows(tiny: LoadedModel, attention: str, tokens: int, trained: str):
    tiny.model.set_attn_implementation(attention)
    objective = lora(tiny) if trained == "lora" else SftObjective(tiny, None)
    losses, slopes, scores = objective.row_losses(ROWS), gradients(objective), objective.score(ROWS)
    objective.pack(tokens)
    torch.testing.assert_close(objective.row_losses(ROWS), losses, atol=1e-5, rtol=1e-5)
    for packed, padded in zip(gradients(objective), slopes, strict=True):
        torch.testing.assert_close(packed, padded, atol=1e-5, rtol=1e-5)
    assert objective.score(ROWS) == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_no_row_sees_another(tiny: LoadedModel, attention: str):
    tiny.model.set_attn_implementation(attention)
    batch = packed_batch(tiny, PROMPTS, TARGETS, 2048, 4096)
    assert len(batch.ids) == 1
    embedded = tiny.model.get_input_embeddings()(batch.ids).requires_grad_(True)
    output = tiny.model.base_model(inputs_embeds=embedded, position_ids=batch.places, use_cache=False)
    starts = [*(batch.places[0] == 0).nonzero().flatten().tolist(), batch.ids.shape[1]]
    for start, end in pairwise(starts):
        (slope,) = torch.autograd.grad(output.last_hidden_state[0, end - 1].sum(), embedded, retain_graph=True)
        seen = slope[0].abs().sum(-1).nonzero().flatten().tolist()
        assert seen == list(range(start, end))


def test_every_target_token_is_predicted_one_place_before_it_stands(tiny: LoadedModel):
    batch = packed_batch(tiny, PROMPTS, TARGETS, 2048, 64)
    assert torch.equal(batch.ids[batch.sequence, batch.position + 1], batch.label)
    assert torch.equal(batch.places[batch.sequence, batch.position + 1], batch.places[batch.sequence, batch.position] + 1)
    for number, target in enumerate(TARGETS):
        assert tiny.tokenizer.decode(batch.label[batch.row == number]) == target
    assert packed_logits(tiny.model, batch).shape == (len(batch.label), 384)


def test_fewer_tokens_are_computed_than_with_padding(tiny: LoadedModel):
    lengths = [SftObjective(tiny, None).length(row) for row in ROWS]
    assert packed_batch(tiny, PROMPTS, TARGETS, 2048, 4096).ids.numel() == sum(lengths)
    assert packed_batch(tiny, PROMPTS, TARGETS, 2048, 64).ids.numel() < len(ROWS) * max(lengths)


@pytest.mark.parametrize(
    ("lengths", "tokens", "expected"),
    [
        ([5, 5, 5, 5], 10, [10, 10]),
        ([9, 1, 1, 1, 1, 1], 10, [9, 5]),
        ([6, 5, 4, 3, 2], 10, [7, 7, 6]),
        ([30, 5, 4], 10, [30, 9]),
        ([7, 7, 7], 10, [7, 7, 7]),
        ([3], 10, [3]),
    ],
)
def test_rows_fill_few_sequences_evenly_and_a_long_one_is_alone_and_whole(lengths: list[int], tokens: int, expected: list[int]):
    sequences = arranged(lengths, tokens)
    assert sorted(row for rows in sequences for row in rows) == list(range(len(lengths)))
    assert sorted((sum(lengths[row] for row in rows) for rows in sequences), reverse=True) == expected
    assert arranged(lengths, tokens) == sequences


def test_rows_are_cut_as_padded_ones_are_and_never_by_the_pack(tiny: LoadedModel):
    long = {"id": "6", "prompt": "many people " * 60, "target": " yes\n"}
    whole, cut = SftObjective(tiny, None), SftObjective(tiny, None, longest=30)
    for objective in (whole, cut):
        losses = objective.row_losses([long, *ROWS])
        objective.pack(32)
        torch.testing.assert_close(objective.row_losses([long, *ROWS]), losses, atol=1e-5, rtol=1e-5)


def small(kind: str, tiny: LoadedModel) -> LoadedModel:
    torch.manual_seed(29)
    size: dict[str, Any] = {"vocab_size": 384, "hidden_size": 32, "num_hidden_layers": 2}
    heads: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 48}
    model = {
        "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=384, n_embd=32, n_layer=2, n_head=2)),
        "bloom": lambda: BloomForCausalLM(BloomConfig(vocab_size=384, hidden_size=32, n_layer=2, n_head=2)),
        "lfm2": lambda: Lfm2ForCausalLM(Lfm2Config(**size, **heads, full_attn_idxs=[1])),
        "mamba": lambda: MambaForCausalLM(MambaConfig(**size)),
    }[kind]()
    return LoadedModel(model.eval(), tiny.tokenizer, tiny.device, torch.float32, f"tiny-{kind}", tiny.path)


@pytest.mark.parametrize(("kind", "apart"), [("gpt2", True), ("bloom", False), ("lfm2", False), ("mamba", False)])
def test_a_model_that_would_not_keep_rows_apart_is_refused(tiny: LoadedModel, kind: str, apart: bool):
    loaded = small(kind, tiny)
    assert keeps_rows_apart(tiny)
    assert keeps_rows_apart(loaded) == apart
    if not apart:
        with pytest.raises(ValueError, match=f"tiny-{kind} .* would not keep the rows of one sequence apart"):
            SftObjective(loaded, None).pack(64)


def test_an_encoder_decoder_and_rows_with_adapters_of_their_own_are_refused(tiny: LoadedModel, tiny_t5):
    from aag_ray.awaken.reader import ReaderObjective

    t5 = LoadedModel(tiny_t5, tiny.tokenizer, tiny.device, torch.float32, "tiny-t5", tiny.path)
    with pytest.raises(ValueError, match="tiny-t5"):
        SftObjective(t5, None).pack(64)
    with pytest.raises(ValueError, match="ReaderObjective cannot read several rows in one sequence"):
        ReaderObjective(tiny, None, None, DistillSection(kd=False)).pack(64)
