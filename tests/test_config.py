"""What the jobs can be told, and what they refuse to be told."""

from pathlib import Path

import pytest

from aag_ray.config import (
    STAGES,
    ClusterSection,
    JobConfig,
    TrainAagConfig,
    TrainExtractorConfig,
    TrainFidConfig,
    TrainKnowledgeConfig,
)
from aag_ray.settings import ConfigError, Section, config_keys, load_config


def sections_below(kind: type[Section]) -> set[type[Section]]:
    below = {kind}
    for field in kind.model_fields.values():
        if isinstance(field.default, Section):
            below |= sections_below(type(field.default))
    return below


def test_every_default_is_itself_allowed():
    """Defaults go through the same checks, so a key that is never set cannot hold what would be refused."""
    config = TrainAagConfig()
    assert TrainAagConfig.model_validate(config.model_dump()) == config


def test_every_key_can_be_set_to_its_default_from_the_command_line():
    optional = {key.name for key in config_keys(TrainAagConfig) if key.allowed.startswith("the keys below")}
    keys = [key for key in config_keys(TrainAagConfig) if not any(key.name.startswith(f"{name}.") for name in optional)]
    assert load_config(TrainAagConfig, None, [f"{key.name}={key.default}" for key in keys]) == TrainAagConfig()


def test_every_section_is_frozen_and_refuses_unknown_keys():
    for kind in sections_below(TrainAagConfig):
        assert kind.model_config.get("frozen"), kind
        assert kind.model_config.get("extra") == "forbid", kind


def test_stage_is_one_of_the_stages_or_all():
    for stage in ("all", *STAGES):
        assert load_config(TrainAagConfig, None, [f"stage={stage}"]).stage == stage
    with pytest.raises(ConfigError, match="stage='train': Input should be 'all', 'data'"):
        load_config(TrainAagConfig, None, ["stage=train"])


@pytest.mark.parametrize(
    "override",
    [
        "run.name=../elsewhere",
        "run.name=.hidden",
        "seed=-1",
        "model.dtype=float16",
        "data.contexts=0",
        "compress.method=gzip",
        "compress.cpus_per_actor=0",
        "generator.lora.modules=[lm_head]",
        "generator.training.learning_rate=0",
        "reader.distill.alpha=1.5",
        "reader.hypernetwork.variant=guess",
        "generator.training.betas=[0.9, 1.0]",
        "generator.training.schedule=steps",
        "cluster.zero_stage=4",
        "cluster={offload: true}",
        "model={quantize: int2}",
        "evaluate.passages=[0]",
    ],
)
def test_what_cannot_be_is_refused_by_name(override: str):
    with pytest.raises(ConfigError, match=override.split("=")[0].replace(".", r"\.")):
        load_config(TrainAagConfig, None, [override])


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["model.quantize=nf4", "cluster.zero_stage=3"], "quantize=nf4: ZeRO stage 3 cannot shard"),
        (["model.quantize=int8", "generator.tune=full"], "quantize=int8: quantised weights cannot be trained"),
        (["generator.model.quantize=nf4", "generator.tune=full"], "quantize=nf4: quantised weights cannot be trained"),
    ],
)
def test_quantised_weights_are_neither_trained_nor_sharded(overrides: list[str], reason: str):
    with pytest.raises(ConfigError, match=reason) as refusal:
        load_config(TrainAagConfig, None, overrides)
    assert len(str(refusal.value)) < 200


def test_a_quantised_model_takes_adapters():
    config = load_config(TrainAagConfig, None, ["model.quantize=nf4", "cluster.zero_stage=2"])
    assert config.model.quantize == "nf4"


def test_only_stage_3_takes_the_base_model_apart():
    kept = {(stage, off): ClusterSection(zero_stage=stage, offload=off).shard for stage in (1, 2, 3) for off in (False, True)}
    assert {key: value for key, value in kept.items() if value} == {(3, False): "device", (3, True): "cpu"}


def test_a_batch_is_a_multiple_of_its_accumulation():
    with pytest.raises(ConfigError, match="batch=10 is not a multiple of accumulation=4"):
        load_config(TrainAagConfig, None, ["reader.training.batch=10", "reader.training.accumulation=4"])


def test_adapters_are_made_from_passages_only_for_readers_that_have_some_when_they_answer():
    with pytest.raises(ConfigError, match=r"hypernetwork\.condition=passage: this reader answers without passages"):
        load_config(TrainAagConfig, None, ["reader.hypernetwork.condition=passage"])
    config = load_config(TrainFidConfig, None, ["reader.hypernetwork.condition=passage"])
    assert config.reader.hypernetwork is not None
    assert config.reader.hypernetwork.condition == "passage"


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (TrainAagConfig, "reader.reading"),
        (TrainAagConfig, "reader.training"),
        (TrainExtractorConfig, "scorer.training"),
        (TrainExtractorConfig, "tags.dpo"),
        (TrainFidConfig, "reader.training"),
        (TrainKnowledgeConfig, "internalizer.training"),
    ],
)
def test_rows_that_share_no_sequence_are_not_packed(kind: type[JobConfig], key: str):
    with pytest.raises(ConfigError, match=rf"{key}=.*pack=512: its rows have adapters, pairs or passages of their own"):
        load_config(kind, None, [f"{key}.pack=512"])


def test_fine_tuning_on_prompts_and_targets_can_be_packed():
    sections = ["generator.training", "teacher.training", "reader.closed_book", "reader.static_training"]
    config = load_config(TrainAagConfig, None, [f"{section}.pack=512" for section in sections])
    assert config.reader.static_training.pack == config.generator.training.pack == 512
    assert TrainAagConfig().generator.training.pack == 0


def test_a_mixture_trains_something():
    shares = [f"reader.mixture.{name}=0" for name in type(TrainAagConfig().reader.mixture).model_fields]
    with pytest.raises(ConfigError, match="at least one share"):
        load_config(TrainAagConfig, None, shares)


def test_question_files_need_all_three_splits():
    with pytest.raises(ConfigError, match=r"data\.files\.test.*Field required"):
        load_config(TrainAagConfig, None, ["data.files.train=a.json", "data.files.dev=b.json"])
    files = load_config(
        TrainAagConfig, None, [f"data.files.{split}={split}.json" for split in ("train", "dev", "test")]
    ).data.files
    assert files is not None
    assert files.test == Path("test.json")
