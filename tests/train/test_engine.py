"""One optimizer step: the gradient is a mean over the global batch, however it is cut."""

import pytest
import torch

from aag_ray.config import TrainingSection
from aag_ray.train.engine import TorchEngine, TrainingError, adamw, learning_rate, trained_parameters


def test_the_rate_warms_up_linearly_and_decays_to_zero_after_the_last_step():
    training = TrainingSection(steps=10, warmup_steps=4, learning_rate=1.0)
    rates = [learning_rate(step, training) for step in range(1, 12)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4:] == pytest.approx([6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7, 0.0])


def test_half_a_cosine_falls_to_the_floor():
    training = TrainingSection(steps=11, warmup_steps=1, learning_rate=4.0, schedule="cosine", floor=0.25)
    rates = [learning_rate(step, training) for step in range(1, 13)]
    assert rates[0] == 4.0
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(1.0), "after the last step"
    assert learning_rate(1 + 11 // 2, training) > 2.5 > learning_rate(1 + 11 // 2 + 1, training), "half-way down in the middle"


def test_a_line_ends_at_the_floor_too():
    training = TrainingSection(steps=10, warmup_steps=0, learning_rate=2.0, floor=0.5)
    assert learning_rate(11, training) == pytest.approx(1.0)


@pytest.mark.parametrize("warmup", [0, 3, 50])
def test_any_warm_up_keeps_the_rate_between_zero_and_the_peak(warmup):
    training = TrainingSection(steps=10, warmup_steps=warmup, learning_rate=2.0)
    assert all(0 < learning_rate(step, training) <= 2.0 for step in range(1, 11))


def test_unequal_micro_batches_give_the_update_of_the_whole_batch(regression, rows):
    training = TrainingSection(batch=5, learning_rate=1e-2)
    whole, cut = TorchEngine(regression(), training), TorchEngine(regression(), training)
    _, norm = whole.step([(rows[:5], 1.0)], 1e-2)
    _, cut_norm = cut.step([(rows[:2], 2 / 2.5), (rows[2:5], 3 / 2.5)], 1e-2)
    assert float(cut_norm) == pytest.approx(float(norm), rel=1e-5)
    for one, other in zip(whole.objective.parameters(), cut.objective.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_the_moments_fade_as_configured(regression):
    assert adamw(regression(), TrainingSection()).defaults["betas"] == (0.9, 0.999)
    assert adamw(regression(), TrainingSection(betas=(0.9, 0.95))).defaults["betas"] == (0.9, 0.95)


def test_weight_decay_falls_on_matrices_only(regression):
    groups = adamw(regression(), TrainingSection(weight_decay=0.1)).param_groups
    assert {(group["weight_decay"], parameter.ndim) for group in groups for parameter in group["params"]} == {
        (0.1, 2),
        (0.0, 1),
    }


def test_an_objective_without_trained_parameters_is_refused(regression):
    with pytest.raises(TrainingError, match="Regression has no parameter"):
        trained_parameters(regression().requires_grad_(False))


def test_a_saved_engine_goes_on_as_it_was(tmp_path, regression, rows):
    training = TrainingSection(batch=4)
    first, second = TorchEngine(regression(), training), TorchEngine(regression(), training)
    first.step([(rows[:4], 1.0)], 1e-2)
    first.save(tmp_path)
    second.load(tmp_path)
    for engine in (first, second):
        engine.step([(rows[4:8], 1.0)], 1e-2)
    assert second.objective.state_dict()["batches"] == 2
    for one, other in zip(first.objective.parameters(), second.objective.parameters(), strict=True):
        assert torch.equal(one, other)
