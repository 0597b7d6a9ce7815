"""What a fused reader can be told, and what it refuses to be told."""

import pytest

from aag_ray.config import FidDistillSection, FidHypernetworkSection, FidLoraSection, TrainFidConfig
from aag_ray.settings import ConfigError, load_config


def test_every_default_is_itself_allowed():
    config = TrainFidConfig()
    assert TrainFidConfig.model_validate(config.model_dump()) == config


def test_the_defaults_are_the_paper_s_placement_and_rank():
    """AAG: q and v of every attention block, rank 32; LoRA scaled by 32 / 32."""
    lora, network = FidLoraSection(), FidHypernetworkSection()
    assert lora.modules == network.modules == ("q_proj", "v_proj")
    assert lora.placements == network.placements
    assert set(lora.placements) == {"encoder.self_attention", "decoder.self_attention", "decoder.cross_attention"}
    assert (lora.rank, lora.alpha, network.rank) == (32, 32.0, 32)


def test_a_teacher_is_a_reader_of_passages_that_is_trained_as_a_whole_and_learns_from_nobody():
    teacher = TrainFidConfig().teacher
    assert (teacher.reads, teacher.trained, teacher.hypernetwork) == ("passages", ("all",), None)
    assert not teacher.distill.asks_teacher


@pytest.mark.parametrize(
    "override",
    [
        "reader.hypernetwork.placements=[encoder.cross_attention]",
        "reader.lora.placements=[lm_head]",
        "reader.trained=[heads]",
        "reader.reads=everything",
        "reader.passages=0",
        "reader.distill.encoder_hidden=-1",
        "reader.distill.layers=some",
        "reader.distill.hidden_weight=1",
        "teacher.longest=0",
    ],
)
def test_what_cannot_be_is_refused_by_name(override):
    with pytest.raises(ConfigError, match=override.split("=")[0].replace(".", r"\.")):
        load_config(TrainFidConfig, None, [override])


def test_a_reader_trains_something():
    with pytest.raises(ConfigError, match="nothing is trained: give a lora, a hypernetwork or some of trained="):
        load_config(TrainFidConfig, None, ["reader.hypernetwork=null", "reader.trained=[]"])


def test_terms_that_are_on_are_those_with_a_weight():
    assert FidDistillSection().weights == {}
    some = FidDistillSection(kd=False, kl=1.0, decoder_hidden=0.5)
    assert some.weights == {"kl": 1.0, "decoder_hidden": 0.5}
    assert some.asks_teacher
    assert not some.needs_attention
    assert FidDistillSection(cross_attention=0.1).needs_attention
    assert not FidDistillSection(kd=False).asks_teacher
