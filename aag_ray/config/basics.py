"""What sections of every job share: kinds of numbers, the run, a model, one optimisation and the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from aag_ray.settings import Section

Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Decay = Annotated[float, Field(ge=0.0, lt=1.0)]
Seconds = Annotated[float, Field(ge=0)]
DType = Literal["auto", "bfloat16", "float32"]
Shard = Literal["device", "cpu"]


class RunSection(Section):
    """Where results go: `root`/`name`. `fresh` throws away what an earlier run left there."""

    root: Path = Path("runs")
    name: str = Field(default="embedded", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    fresh: bool = False


class ModelSection(Section):
    """A model by local folder, hub id or packaged name. `auto` is bfloat16 where the machine computes in it.

    `quantize` keeps the linear layers' weights in 8 bits or in 4 (NF4, QLoRA: arXiv 2305.14314) with bitsandbytes, which the
    extra `gpu` brings; adapters are trained on them, the weights themselves are not. Not with ZeRO stage 3.
    """

    name: str = "smollm2-135m-instruct"
    dtype: DType = "auto"
    quantize: Literal["int8", "nf4"] | None = None


class ClusterSection(Section):
    """How Ray Train runs DeepSpeed: workers, devices and the ZeRO stage.

    With `offload` what ZeRO shards lies in the memory of the CPU (optimizer state, and weights too at stage 3); with
    `gradient_checkpointing` a layer's activations are computed again in the backward pass instead of kept.
    """

    workers: Positive = 1
    use_gpu: bool = False
    cpus_per_worker: Positive = 2
    zero_stage: Literal[0, 1, 2, 3] = 0
    offload: bool = False
    gradient_checkpointing: bool = False
    max_failures: Natural = 2
    storage: Path | None = None

    @model_validator(mode="after")
    def offload_has_shards(self) -> ClusterSection:
        if self.offload and not self.zero_stage:
            raise ValueError("offload=true moves what ZeRO shards to the CPU; it needs zero_stage 1, 2 or 3")
        return self

    @property
    def shard(self) -> Shard | None:
        """Where each worker holds its part of the base model's weights; None below stage 3, where it holds all of them."""
        if self.zero_stage < 3:
            return None
        return "cpu" if self.offload else "device"


class JobConfig(Section):
    """What every job can be told."""

    run: RunSection = RunSection()

    @model_validator(mode="after")
    def quantized_weights_stay_as_they_are(self) -> JobConfig:
        """A quantised model takes adapters; its own weights are neither trained nor sharded."""
        cluster: ClusterSection | None = getattr(self, "cluster", None)
        sections = [self, *(getattr(self, name) for name in type(self).model_fields)]
        for section in (each for each in sections if isinstance(each, Section)):
            model: ModelSection | None = getattr(section, "model", None) or getattr(self, "model", None)
            if model is None or model.quantize is None:
                continue
            if cluster is not None and cluster.zero_stage == 3:
                raise ValueError(f"quantize={model.quantize}: ZeRO stage 3 cannot shard quantised weights; use 0, 1 or 2")
            if getattr(section, "tune", "") == "full" or getattr(section, "trained", ()):
                raise ValueError(f"quantize={model.quantize}: quantised weights cannot be trained; train a LoRA on them")
        return self


class TrainingSection(Section):
    """One optimisation: AdamW with linear warm-up and decay. `batch` is the global batch in examples.

    The rate falls along a line or half a cosine to `floor` times `learning_rate`, which it would reach after the last step.
    With `pack` above 0, a pass reads its rows one behind another in sequences of up to `pack` tokens, with equal losses and
    next to no padding; a longer row is not cut. Only fine-tuning of a decoder on prompts and targets can be packed.
    """

    steps: Natural = 200
    batch: Positive = 16
    accumulation: Positive = 1
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["linear", "cosine"] = "linear"
    floor: Share = 0.0
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    weight_decay: float = Field(default=0.0, ge=0)
    warmup_steps: Natural = 20
    clip: float = Field(default=1.0, gt=0)
    checkpoint_every: Positive = 50
    dev_every: Positive = 50
    dev_examples: Positive = 64
    pack: Natural = 0

    @model_validator(mode="after")
    def batch_is_divisible(self) -> TrainingSection:
        if self.batch % self.accumulation:
            raise ValueError(f"batch={self.batch} is not a multiple of accumulation={self.accumulation}")
        return self


def _of_rows_apart(training: TrainingSection) -> TrainingSection:
    if training.pack:
        raise ValueError(f"pack={training.pack}: its rows have adapters, pairs or passages of their own and share no sequence")
    return training


UnpackedTraining = Annotated[TrainingSection, AfterValidator(_of_rows_apart)]
