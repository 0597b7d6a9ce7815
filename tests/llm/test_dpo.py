"""Preference optimisation: the published loss, a frozen reference, and a policy that learns to prefer."""

import math
from pathlib import Path

import pytest
import torch

from aag_ray.config import LoraSection
from aag_ray.llm.adapters import applied
from aag_ray.llm.dpo import DpoObjective
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.sft import load_lora, new_lora

EXAMPLES = [
    {"id": "a", "prompt": "Question: capital of France?\nAnswer:", "chosen": " Paris\n", "rejected": " the yen\n"},
    {"id": "b", "prompt": "Question: currency of Japan?\nAnswer:", "chosen": " the yen\n", "rejected": " Paris\n"},
]


def lora(tiny: LoadedModel, seed: int, size: float = 0.2):
    made = new_lora(tiny, LoraSection(rank=4), seed)
    draw = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        parameter.data += torch.randn(parameter.shape, generator=draw) * size
    return made


def log_probability(tiny: LoadedModel, adapter, prompt: str, target: str) -> float:
    tokenizer = tiny.tokenizer
    read, written = tokenizer(prompt)["input_ids"], tokenizer(target, add_special_tokens=False)["input_ids"]
    with torch.no_grad(), applied(tiny.model, adapter() if adapter else None):
        logits = tiny.model(torch.tensor([[*read, *written]])).logits[0].log_softmax(-1)
    return sum(float(logits[len(read) - 1 + at, token]) for at, token in enumerate(written))


@pytest.mark.parametrize("with_reference", [True, False])
def test_the_loss_is_the_published_one(tiny: LoadedModel, with_reference: bool):
    policy, reference = lora(tiny, 1), lora(tiny, 2) if with_reference else None
    objective = DpoObjective(tiny, policy, reference, beta=0.3)
    expected = []
    for example in EXAMPLES:
        sides = [
            log_probability(tiny, policy, example["prompt"], example[side])
            - log_probability(tiny, reference, example["prompt"], example[side])
            for side in ("chosen", "rejected")
        ]
        expected.append(-math.log(1 / (1 + math.exp(-0.3 * (sides[0] - sides[1])))))
    assert float(objective(EXAMPLES)["loss"].detach()) == pytest.approx(sum(expected) / 2, abs=1e-4)
    assert objective.score(EXAMPLES) == pytest.approx([-each for each in expected], abs=1e-4)


def test_a_policy_that_equals_its_reference_has_no_margin(tiny: LoadedModel):
    terms = DpoObjective(tiny, lora(tiny, 1), lora(tiny, 1))(EXAMPLES)
    assert float(terms["loss"].detach()) == pytest.approx(math.log(2), abs=1e-5)
    assert float(terms["margin"]) == pytest.approx(0, abs=1e-4)


def test_only_the_policy_is_trained_and_it_learns_to_prefer(tiny: LoadedModel, tmp_path: Path):
    reference = lora(tiny, 1)
    before = {name: value.clone() for name, value in reference.state_dict().items()}
    objective = DpoObjective(tiny, lora(tiny, 1), reference, beta=0.5)
    assert {name.split(".")[0] for name, _ in objective.named_parameters()} == {"lora"}
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-2)
    for _ in range(15):
        optimizer.zero_grad()
        objective(EXAMPLES)["loss"].backward()
        optimizer.step()
    assert float(objective(EXAMPLES)["preferred"]) == 1
    assert all(torch.equal(value, before[name]) for name, value in reference.state_dict().items())
    objective.save_pretrained(tmp_path)
    saved = load_lora(tmp_path).state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in objective.lora.state_dict().items())


def test_prompts_may_be_tokens(tiny: LoadedModel):
    objective = DpoObjective(tiny, lora(tiny, 1), None)
    tokens = [example | {"prompt": tiny.tokenizer(example["prompt"])["input_ids"]} for example in EXAMPLES]
    assert objective.score(tokens) == pytest.approx(objective.score(EXAMPLES))
    assert objective.length(tokens[0]) == objective.length(EXAMPLES[0])
