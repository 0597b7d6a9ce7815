"""A reader that fuses passages in the decoder of a T5: what is trained on it, where, and what it learns from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from aag_ray.config.aag import AlsoSection, DataSection, HypernetworkSection, LoraSection, Module
from aag_ray.config.basics import (
    ClusterSection,
    JobConfig,
    ModelSection,
    Natural,
    Positive,
    Share,
    TrainingSection,
    UnpackedTraining,
)
from aag_ray.settings import Section

Placement = Literal[
    "encoder.self_attention",
    "encoder.feed_forward",
    "decoder.self_attention",
    "decoder.cross_attention",
    "decoder.feed_forward",
    "feed_forward",
]
BaseWeights = Literal["norms", "embeddings", "feed_forward", "all"]
ATTENTION: tuple[Placement, ...] = ("encoder.self_attention", "decoder.self_attention", "decoder.cross_attention")


class FidLoraSection(LoraSection):
    """A static LoRA on `modules` of the parts of a T5 that `placements` names; "feed_forward" is that of both stacks."""

    rank: Positive = 32
    alpha: float = Field(default=32.0, gt=0)
    modules: tuple[Module, ...] = ("q_proj", "v_proj")
    placements: tuple[Placement, ...] = ATTENTION


class FidHypernetworkSection(HypernetworkSection):
    """A hypernetwork whose factors go to `modules` of the parts of a T5 that `placements` names."""

    modules: tuple[Module, ...] = ("q_proj", "v_proj")
    rank: Positive = 32
    placements: tuple[Placement, ...] = ATTENTION

    @model_validator(mode="after")
    def tokens_are_read_where_they_go(self) -> FidHypernetworkSection:
        if self.variant == "tokens" and (without := [each for each in self.placements if not each.startswith("encoder.")]):
            raise ValueError(
                f"variant=tokens reads what a layer is given of the condition; a decoder, where {without[0]} has layers, is "
                "given none of it; its placements are encoder.self_attention and encoder.feed_forward"
            )
        return self


class FidDistillSection(Section):
    """alpha * KD + (1 - alpha) * NLL, and terms that are added, each by its weight; a weight of 0 switches its term off.

    `kl` is the reference's second divergence, at a temperature that stays. Hidden states are aligned by cosine, attention
    maps by their squared difference and those of the decoder to itself by divergence (AAG, eq. 5-9), in `layers`: all, or
    the first, middle and last. The encoder is aligned on the tokens that both readers' inputs begin with: the question.
    `co_train` is the weight of the teacher's own NLL: above 0 it goes on learning to answer beside the student.
    """

    kd: bool = True
    alpha: Share = 0.4
    temperature: float = Field(default=3.0, gt=0)
    temperature_every: Positive = 500
    kl: float = Field(default=0.0, ge=0)
    kl_temperature: float = Field(default=4.0, gt=0)
    encoder_hidden: float = Field(default=0.0, ge=0)
    decoder_hidden: float = Field(default=0.0, ge=0)
    encoder_attention: float = Field(default=0.0, ge=0)
    decoder_attention: float = Field(default=0.0, ge=0)
    cross_attention: float = Field(default=0.0, ge=0)
    layers: Literal["all", "ends"] = "ends"
    co_train: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def a_co_trained_teacher_is_asked(self) -> FidDistillSection:
        if self.co_train > 0 and not self.asks_teacher:
            raise ValueError(
                f"co_train={self.co_train:g} trains a teacher that nothing is learned from; switch kd or a term on"
            )
        return self

    @property
    def weights(self) -> dict[str, float]:
        """Term -> weight, of the added terms that are on."""
        names = ("kl", "encoder_hidden", "decoder_hidden", "encoder_attention", "decoder_attention", "cross_attention")
        return {name: getattr(self, name) for name in names if getattr(self, name) > 0}

    @property
    def needs_attention(self) -> bool:
        return any(name.endswith("attention") for name in self.weights)

    @property
    def asks_teacher(self) -> bool:
        return self.kd or bool(self.weights)


class FidReaderSection(Section):
    """What a reader is given and which of its weights are trained.

    `reads`: nothing but the question, one dummy document, the first passage that holds an answer (gold), or the first
    `passages` retrieved ones. `longest` and `longest_answer` bound the tokens of one input and of the answer.
    `trained` names weights of the model itself; "all" is plain fine-tuning. None for `lora` or `hypernetwork` leaves it out.
    """

    reads: Literal["nothing", "document", "gold", "passages"] = "document"
    passages: Positive = 10
    longest: Positive = 512
    longest_answer: Positive = 64
    lora: FidLoraSection | None = None
    hypernetwork: FidHypernetworkSection | None = FidHypernetworkSection()
    trained: tuple[BaseWeights, ...] = ("norms", "embeddings", "feed_forward")
    distill: FidDistillSection = FidDistillSection()
    training: UnpackedTraining = TrainingSection()

    @model_validator(mode="after")
    def something_is_trained(self) -> FidReaderSection:
        if self.lora is None and self.hypernetwork is None and not self.trained:
            raise ValueError("nothing is trained: give a lora, a hypernetwork or some of trained=[norms, embeddings, ...]")
        return self


class FidTeacherSection(FidReaderSection):
    """The reader of retrieved passages that is distilled from; `checkpoint` is one that is trained already."""

    reads: Literal["nothing", "document", "gold", "passages"] = "passages"
    longest: Positive = 256
    hypernetwork: FidHypernetworkSection | None = None
    trained: tuple[BaseWeights, ...] = ("all",)
    distill: FidDistillSection = FidDistillSection(kd=False)
    checkpoint: str | None = None


class FidEvaluateSection(AlsoSection):
    """Answers to the test questions, and to those of the files in `also`, whose dummy documents `documents` holds where the
    reader needs some: the table that an AAG run with the same `also` wrote (evaluate/written/documents.parquet).

    `token_scores` also measures token accuracy and perplexity of the gold answers, by reading every question once more.
    """

    documents: Path | None = None
    beams: Positive = 1
    batch: Positive = 16
    bootstrap_samples: Positive = 2000
    token_scores: bool = False


class TrainFidConfig(JobConfig):
    """A teacher and a reader on T5. `documents` is the table of dummy documents that an AAG run wrote
    (predict/documents.parquet), for readers that read one; without it, `data.files.written`, or else `data.files.compressed`,
    names a column of the question files that holds them. `stage` runs one stage on what is finished before it."""

    stage: Literal["all", "data", "teacher", "reader", "evaluate"] = "all"
    seed: Natural = 29
    model: ModelSection = ModelSection(name="google-t5/t5-base")
    data: DataSection = DataSection()
    documents: Path | None = None
    teacher: FidTeacherSection = FidTeacherSection()
    reader: FidReaderSection = FidReaderSection()
    cluster: ClusterSection = ClusterSection()
    evaluate: FidEvaluateSection = FidEvaluateSection()
