"""The distillation loss, term by term, against the formulas of the paper and torch's own functions."""

import math

import pytest
import torch
import torch.nn.functional as F

from aag_ray.awaken.losses import (
    attention_alignment,
    attention_divergence,
    chosen_layers,
    gated_kl,
    hidden_alignment,
    kd,
    kd_temperature,
)
from aag_ray.llm.batches import nll

ROW = torch.tensor([0, 0, 0, 1, 2, 2])


@pytest.fixture
def logits():
    draw = torch.Generator().manual_seed(4)
    return torch.randn(6, 11, generator=draw) * 3, torch.randn(6, 11, generator=draw) * 3


def test_nll_is_the_mean_cross_entropy_of_each_row(logits):
    label = torch.tensor([1, 4, 2, 9, 0, 3])
    expected = [F.cross_entropy(logits[0][row == ROW], label[row == ROW]) for row in range(3)]
    torch.testing.assert_close(nll(logits[0], label, ROW, 3), torch.stack(expected))


def test_kd_of_equal_logits_is_zero(logits):
    torch.testing.assert_close(kd(logits[0], logits[0].clone(), ROW, 3, 3.0), torch.zeros(3))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_kd_is_torch_s_divergence_times_the_squared_temperature_over_each_row_s_tokens(logits, temperature):
    student, teacher = logits[0] / temperature, logits[1] / temperature
    expected = [
        F.kl_div(student[row == ROW].log_softmax(-1), teacher[row == ROW].softmax(-1), reduction="batchmean") * temperature**2
        for row in range(3)
    ]
    torch.testing.assert_close(kd(logits[0], logits[1], ROW, 3, temperature), torch.stack(expected))


def test_kd_refuses_a_teacher_with_another_vocabulary_or_another_target(logits):
    student, teacher = logits
    with pytest.raises(ValueError, match=r"student logits \(6, 11\) and teacher logits \(6, 9\).* one vocabulary"):
        kd(student, teacher[:, :9], ROW, 3, 1.0)
    with pytest.raises(ValueError, match=r"\(6, 11\) and teacher logits \(5, 11\)"):
        kd(student, teacher[:5], ROW, 3, 1.0)


@pytest.mark.parametrize("step", [0, 1, 499, 500, 999, 1000, 5000, 80_000])
def test_the_temperature_falls_as_in_the_reference(step):
    assert kd_temperature(step, 3.0, 500) == pytest.approx(3.0 / (1 + math.log(math.floor(step / 500) + 1)))


def test_the_temperature_starts_at_its_setting_and_changes_every_so_many_steps():
    assert kd_temperature(0, 3.0, 500) == kd_temperature(499, 3.0, 500) == 3.0
    assert kd_temperature(500, 3.0, 500) == pytest.approx(1.7718, abs=1e-4)


def test_layers_are_all_or_first_middle_and_last():
    assert chosen_layers(5, "all") == [0, 1, 2, 3, 4]
    assert chosen_layers(30, "ends") == [0, 15, 29]
    assert chosen_layers(2, "ends") == [0, 1]
    assert chosen_layers(1, "ends") == [0]


def test_hidden_alignment_is_zero_for_one_direction_and_two_for_the_opposite():
    states = torch.randn(4, 8)
    assert hidden_alignment([states], [states * 3]).item() == pytest.approx(0.0, abs=1e-6)
    assert hidden_alignment([states], [-states]).item() == pytest.approx(2.0)
    assert hidden_alignment([states, states], [states, -states]).item() == pytest.approx(1.0)


def test_attention_alignment_is_the_mean_squared_difference_over_layers():
    one, two = torch.rand(2, 3, 5), torch.rand(2, 3, 5)
    assert attention_alignment([one], [one.clone()]).item() == 0.0
    expected = (F.mse_loss(one, two) + F.mse_loss(two, one * 0)) / 2
    torch.testing.assert_close(attention_alignment([one, two], [two, one * 0]), expected)


def test_the_second_divergence_is_a_gated_hundredth_of_each_row_s_sum(logits):
    student, teacher = logits[0] / 4, logits[1] / 4
    sums = [
        F.kl_div(student[row == ROW].log_softmax(-1), teacher[row == ROW].softmax(-1), reduction="sum") / 100
        for row in range(3)
    ]
    expected = torch.stack([k * k.sigmoid() for k in sums])
    torch.testing.assert_close(gated_kl(logits[0], logits[1], ROW, 3, 4.0), expected)
    torch.testing.assert_close(gated_kl(logits[0], logits[0].clone(), ROW, 3, 4.0), torch.zeros(3))


def test_attention_divergence_is_torch_s_over_the_last_dimension(logits):
    maps = [part.softmax(-1).view(2, 3, 11) for part in logits]
    expected = F.kl_div(maps[0].log(), maps[1], reduction="sum") / 6
    torch.testing.assert_close(attention_divergence(maps[:1], maps[1:]), expected)


def test_attention_divergence_of_equal_causal_maps_is_zero():
    causal = torch.randn(2, 4, 4).masked_fill(torch.ones(4, 4).triu(1).bool(), -torch.inf).softmax(-1).requires_grad_()
    divergence = attention_divergence([causal], [causal.detach()])
    assert divergence.item() == pytest.approx(0.0, abs=1e-6)
    divergence.backward()
    assert causal.grad is not None
    assert torch.isfinite(causal.grad).all()
