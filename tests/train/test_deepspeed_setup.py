"""DeepSpeed trains as plain PyTorch does, at every ZeRO stage, and compiles nothing."""

import importlib
import inspect

import pytest
import torch

from aag_ray.config import TrainingSection
from aag_ray.train.deepspeed_setup import DeepSpeedEngine, deepspeed_config, import_deepspeed
from aag_ray.train.engine import TorchEngine, TrainingError


def batches(rows):
    return [[(rows[at : at + 2], 1.0), (rows[at + 2 : at + 4], 1.0)] for at in range(0, 16, 4)]


def curve(engine, rows):
    taken = [engine.step(parts, 1e-2) for parts in batches(rows)]
    return [float(terms[1]["loss"]) for terms, _ in taken], [float(norm) for _, norm in taken]


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_every_stage_follows_plain_pytorch(regression, rows, zero_stage):
    training = TrainingSection(batch=4, accumulation=2, clip=0.5, weight_decay=0.01)
    engine = DeepSpeedEngine(regression(), training, zero_stage)
    losses, norms = curve(engine, rows)
    expected_losses, expected_norms = curve(TorchEngine(regression(), training), rows)
    assert losses == pytest.approx(expected_losses, abs=1e-4)
    assert norms == pytest.approx(expected_norms, rel=1e-3)
    engine.close()


@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_offloaded_shards_train_alike(regression, rows, zero_stage):
    training = TrainingSection(batch=4, accumulation=2)
    engine = DeepSpeedEngine(regression(), training, zero_stage, offload=True)
    losses, _ = curve(engine, rows)
    expected, _ = curve(TorchEngine(regression(), training), rows)
    assert losses == pytest.approx(expected, abs=1e-4)
    engine.close()


@pytest.mark.parametrize("zero_stage", [0, 3])
def test_bfloat16_weights_train_with_a_float32_master_copy(regression, rows, zero_stage):
    training = TrainingSection(batch=4, accumulation=2)
    engine = DeepSpeedEngine(regression(dtype="bfloat16"), training, zero_stage)
    losses, _ = curve(engine, rows)
    expected, _ = curve(TorchEngine(regression(), training), rows)
    assert losses == pytest.approx(expected, rel=0.1)
    engine.close()


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_a_loaded_engine_goes_on_as_the_saved_one(tmp_path, regression, rows, zero_stage):
    training = TrainingSection(batch=4, accumulation=2)
    first = DeepSpeedEngine(regression(), training, zero_stage)
    before, after = batches(rows)[:2], batches(rows)[2:]
    for parts in before:
        first.step(parts, 1e-2)
    first.save(tmp_path)
    expected = [float(first.step(parts, 1e-2)[0][0]["loss"]) for parts in after]
    first.close()
    second = DeepSpeedEngine(regression(), training, zero_stage)
    second.load(tmp_path)
    assert [float(second.step(parts, 1e-2)[0][0]["loss"]) for parts in after] == pytest.approx(expected, abs=1e-4)
    with second.saved_weights():
        assert int(second.engine.module.batches) == 8  # buffers are part of a checkpoint
    second.close()


def test_under_zero_3_weights_are_scored_with_in_parts_and_saved_whole(regression, rows):
    objective = regression()
    expected = objective.score(rows[:3])
    engine = DeepSpeedEngine(objective, TrainingSection(batch=4, accumulation=2), zero_stage=3)
    for _ in range(2):
        assert objective.middle.weight.numel() == 0
        assert engine.score(rows[:3]) == pytest.approx(expected, abs=1e-5)
    with engine.saved_weights():
        assert objective.middle.weight.numel() > 100_000
    assert objective.middle.weight.numel() == 0
    losses, _ = curve(engine, rows)
    assert losses[-1] != losses[0]
    engine.close()


def test_trained_parameters_of_mixed_or_strange_types_are_refused(regression):
    mixed = regression()
    mixed.last.to(torch.bfloat16)
    with pytest.raises(TrainingError, match=r"mixed types .*torch\.bfloat16, torch\.float32"):
        DeepSpeedEngine(mixed, TrainingSection())
    with pytest.raises(TrainingError, match=r"torch\.float64"):
        deepspeed_config(TrainingSection(), 1, 0, torch.float64)


def test_the_private_name_that_keeps_adapters_whole_still_exists():
    import_deepspeed(use_gpu=False)
    coordinator = importlib.import_module("deepspeed.runtime.zero.partitioned_param_coordinator")
    assert "not param.is_external_param" in inspect.getsource(coordinator)


def test_the_private_name_that_keeps_deepspeed_from_compiling_still_exists():
    deepspeed = import_deepspeed(use_gpu=False)
    assert deepspeed.ops.__compatible_ops__ == {}
    backend = importlib.import_module("deepspeed.comm.torch")
    assert "deepspeed.ops.__compatible_ops__.get(" in inspect.getsource(backend.build_shm_op)
    assert backend.build_shm_op() is None
    assert '"__compatible_ops__"' in inspect.getsource(deepspeed.ops)
