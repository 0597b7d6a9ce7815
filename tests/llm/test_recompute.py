"""Activations computed twice give the gradients of activations kept, adapters and threads included."""

import threading

import pytest
import torch

from aag_ray.config import LoraSection
from aag_ray.llm import recompute
from aag_ray.llm.recompute import recompute_activations
from aag_ray.llm.sft import SftObjective, new_lora

ROWS = [{"id": "1", "prompt": "Who?", "target": " me"}, {"id": "2", "prompt": "Where is it?", "target": " there"}]


def objective(loaded) -> SftObjective:
    lora = new_lora(loaded, LoraSection(rank=2, modules=("q_proj", "down_proj")), seed=1)
    with torch.no_grad():
        for parameter in lora.b:
            parameter.normal_(std=0.1, generator=torch.Generator().manual_seed(3))
    return SftObjective(loaded, lora)


def gradients(made: SftObjective) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in made.parameters() if parameter.grad is not None]


def test_gradients_are_those_of_activations_that_were_kept(tiny):
    kept = objective(tiny)
    kept(ROWS)["loss"].backward()
    expected = gradients(kept)
    repeated = objective(tiny)
    layers = [0]
    tiny.model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: layers.__setitem__(0, layers[0] + 1))
    recompute_activations(tiny.model)
    loss = repeated(ROWS)["loss"]
    assert layers[0] == 1
    loss.backward()
    assert layers[0] == 2, "the layer ran again in the backward pass"
    for one, other in zip(gradients(repeated), expected, strict=True):
        torch.testing.assert_close(one, other)


def test_the_backward_pass_of_another_thread_sees_the_same_adapters(tiny):
    kept = objective(tiny)
    kept(ROWS)["loss"].backward()
    repeated = objective(tiny)
    recompute_activations(tiny.model)
    loss = repeated(ROWS)["loss"]
    thread = threading.Thread(target=loss.backward)
    thread.start()
    thread.join()
    for one, other in zip(gradients(repeated), gradients(kept), strict=True):
        torch.testing.assert_close(one, other)


def test_scores_are_the_same(tiny):
    made = objective(tiny)
    before = made.score(ROWS)
    recompute_activations(tiny.model)
    assert made.score(ROWS) == pytest.approx(before)


def test_a_model_that_cannot_do_it_is_named(tiny):
    with pytest.raises(ValueError, match="Linear does not support gradient checkpointing"):
        recompute.recompute_activations(torch.nn.Linear(2, 2))
