"""Everything `jobs/train_aag.py` can be told."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

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

Module = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
DocumentIn = Literal["text", "parameters", "both"]


class WorldSection(Section):
    """The embedded world: how many questions of each split are drawn from the packaged facts."""

    train_questions: Positive = 2000
    dev_questions: Positive = 120
    test_questions: Positive = 400
    min_city_population: Positive = 100_000


class FilesSection(Section):
    """Question files in DPR/FiD, NQ-open, WebQ or TriviaQA form, one for each split: JSON, parquet, Arrow, or a folder that
    `datasets` saved.

    `passages` is a pool ({"id", "title", "text"} a line) for questions that bring no passages of their own. `compressed` and
    `written` name columns of these files (compressed_ctxs_5, pred) whose documents are taken instead of being made.
    """

    train: Path
    dev: Path
    test: Path
    passages: Path | None = None
    compressed: str | None = None
    written: str | None = None
    skip_bad: bool = False


class DataSection(Section):
    """Where questions come from (the embedded world, or files) and how many passages each one keeps."""

    files: FilesSection | None = None
    world: WorldSection = WorldSection()
    contexts: Positive = 10
    max_train: Positive | None = None
    max_dev: Positive | None = None
    max_test: Positive | None = None


class CompressSection(Section):
    """Prompt compression of the first `passages` contexts to about `target_tokens` (AAG, C.6: five passages).

    `unit` is what is ranked against the question, and kept or dropped as a whole, before single tokens are dropped; units
    are kept until they hold more than `spare_tokens` beyond what is asked for (llmlingua's `context_budget`). Without
    `drop_tokens` what is kept stays whole.
    `use_answer` ranks the passages of training questions by question and answer; dev and test never see theirs.
    `train_questions` is how many training questions get a compressed document (AAG, C.6: 30,000); None is all.
    """

    method: Literal["longllmlingua", "llmlingua2"] = "longllmlingua"
    model: ModelSection = ModelSection()
    passages: Positive = 5
    unit: Literal["passage", "sentence"] = "passage"
    target_tokens: Positive = 64
    spare_tokens: Natural = 100
    drop_tokens: bool = True
    use_answer: bool = False
    train_questions: Positive | None = None
    batch_questions: Positive = 16
    actors: Positive = 1
    cpus_per_actor: float = Field(default=2.0, gt=0)
    gpus_per_actor: float = Field(default=0.0, ge=0)


class LoraSection(Section):
    """A static LoRA of rank `rank` on `modules` of every layer, scaled by `alpha` / `rank`."""

    rank: Positive = 8
    alpha: float = Field(default=16.0, gt=0)
    modules: tuple[Module, ...] = ("q_proj", "v_proj", "down_proj")


class GeneratorSection(Section):
    """The context generator: question -> dummy document. `model` None is the base model with a LoRA of its own."""

    model: ModelSection | None = None
    tune: Literal["lora", "full"] = "lora"
    lora: LoraSection = LoraSection()
    training: TrainingSection = TrainingSection()
    max_document_tokens: Positive = 80


class PredictSection(Section):
    """Batch decoding of dummy documents. `train_questions` bounds how many training questions get one; None is all."""

    train_questions: Positive | None = None
    batch: Positive = 64
    beams: Positive = 1
    actors: Positive = 1
    cpus_per_actor: float = Field(default=2.0, gt=0)
    gpus_per_actor: float = Field(default=0.0, ge=0)


class TeacherSection(Section):
    """The reader of retrieved passages that is trained first and then distilled from (AAG, section 3.3)."""

    lora: LoraSection = LoraSection()
    training: TrainingSection = TrainingSection()
    passages: Positive = 5


class HypernetworkSection(Section):
    """Question (and document, or its best retrieved passage) -> LoRA factors.

    `latents` is this project's default: per layer, learned queries over the base model's states of the condition; each
    latent gives one rank-one pair. `tokens` gives one for every token of the condition; of a longer condition than `rank`
    what is used is the best approximation of rank `rank`. `paper` is AAG's: a whitened feature and the raw layer index
    through a small MLP. The lower share `from_depth` of the layers is left as it is.
    """

    variant: Literal["latents", "tokens", "paper"] = "latents"
    modules: tuple[Module, ...] = ("down_proj",)
    rank: Positive = 8
    width: Positive = 192
    from_depth: float = Field(default=0.0, ge=0, lt=1)
    condition: Literal["question", "document", "passage"] = "document"
    feature_size: Positive = 255
    hidden: Positive = 8


class DistillSection(Section):
    """alpha * KD + (1 - alpha) * NLL + hidden and attention alignment (AAG, eq. 5-9). Each term has its switch.

    `share` is how many of the reader's examples the teacher is asked about: its prompts are the longest of the training.
    """

    kd: bool = True
    share: Share = 1.0
    alpha: Share = 0.4
    temperature: float = Field(default=3.0, gt=0)
    temperature_every: Positive = 500
    hidden_weight: float = Field(default=0.0, ge=0)
    attention_weight: float = Field(default=0.0, ge=0)
    layers: Literal["all", "ends"] = "ends"

    @property
    def asks_teacher(self) -> bool:
        """Whether any term needs the teacher."""
        return (self.kd or self.hidden_weight > 0 or self.attention_weight > 0) and self.share > 0


class MixtureSection(Section):
    """Shares of the training batch by what the reader is given; they are normalised to sum to one.

    `adapter_*` rows carry the hypernetwork's adapter: from the question alone, from the document in the parameters only,
    or from the document in parameters and text; the others train the reader's own LoRA.
    """

    nothing: Share = 0.2
    document: Share = 0.2
    passages: Share = 0.1
    adapter_question: Share = 0.1
    adapter_document: Share = 0.2
    adapter_both: Share = 0.2

    @model_validator(mode="after")
    def something_is_trained(self) -> MixtureSection:
        if sum(self.model_dump().values()) <= 0:
            raise ValueError("at least one share of the mixture must be above 0")
        return self


class ReaderSection(Section):
    """The reader: its LoRA, the hypernetwork, what both learn from, and the static baseline of equal size.

    Before they meet, its LoRA alone learns for `closed_book.steps` to answer without a document, and the hypernetwork alone
    for `reading.steps` to read retrieved passages (0: not at all). On the embedded world 100 steps of the former were no gain.
    In a share `made_up` of these passages answers, numbers and capitals are made up, and a share `recitals` of what they are
    asked is how one of their sentences goes on (`awaken.reading`).
    `static_training` sets the baseline's optimiser; its steps and batch follow from the budget that AAG had
    (`TrainAagConfig.static_steps`).
    `compressed_share` adds compressed documents to the dummy ones that the reader learns to read.
    """

    lora: LoraSection = LoraSection()
    hypernetwork: HypernetworkSection = HypernetworkSection()
    distill: DistillSection = DistillSection()
    mixture: MixtureSection = MixtureSection()
    closed_book: TrainingSection = TrainingSection(steps=0)
    reading: UnpackedTraining = TrainingSection(steps=0)
    made_up: Share = 0.0
    recitals: Share = 0.0
    training: UnpackedTraining = TrainingSection()
    static_training: TrainingSection = TrainingSection()
    compressed_share: Share = 0.2
    document_in: DocumentIn | Literal["best_on_dev"] = "best_on_dev"
    passages: Positive = 5

    @model_validator(mode="after")
    def adapters_need_no_passages(self) -> ReaderSection:
        if self.hypernetwork.condition == "passage":
            raise ValueError(
                "hypernetwork.condition=passage: this reader answers without passages; those of jobs/train_fid.py can have them"
            )
        return self


class AlsoSection(Section):
    """`also` are further question files, by name, that are answered after the test questions: trained on one set, tested on
    others."""

    also: dict[Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$")], Path] = Field(default_factory=dict)

    @model_validator(mode="after")
    def names_are_free(self) -> AlsoSection:
        if "test" in self.also:
            raise ValueError("also.test is the name of the run's own test questions; choose another")
        return self


class EvaluateSection(AlsoSection):
    """What is measured: few-shot examples, passage counts, and the bootstrap of the intervals.

    `token_scores` also measures token accuracy and perplexity of the gold answers: each system reads every prompt once more.
    """

    batch: Positive = 64
    shots: Positive = 4
    passages: tuple[Positive, ...] = (1, 5, 10)
    max_answer_tokens: Positive = 16
    bootstrap_samples: Positive = 2000
    token_scores: bool = False
    case_questions: Positive = 20


STAGES = ("data", "compress", "generator", "predict", "hypernetwork", "evaluate")


class TrainAagConfig(JobConfig):
    """Everything `jobs/train_aag.py` can be told. `stage` runs one stage on what is finished before it."""

    stage: Literal["all", "data", "compress", "generator", "predict", "hypernetwork", "evaluate"] = "all"
    seed: Natural = 29
    model: ModelSection = ModelSection()
    data: DataSection = DataSection()
    compress: CompressSection = CompressSection()
    generator: GeneratorSection = GeneratorSection()
    predict: PredictSection = PredictSection()
    teacher: TeacherSection = TeacherSection()
    reader: ReaderSection = ReaderSection()
    cluster: ClusterSection = ClusterSection()
    evaluate: EvaluateSection = EvaluateSection()

    @property
    def static_steps(self) -> int:
        """Updates of the static baseline: it sees as many training examples as all of AAG's parts together, at the
        reader's batch size."""
        reader = self.reader
        parts = [self.generator.training, reader.closed_book, reader.reading, reader.training]
        if reader.distill.asks_teacher:
            parts.append(self.teacher.training)
        return math.ceil(sum(part.steps * part.batch for part in parts) / reader.training.batch)


InstructionMode = Literal["closed_book", "document", "passages", "generator"]


class ExportInstructionsConfig(JobConfig):
    """Everything `jobs/export_instructions.py` can be told: which run's data, as rows of which modes."""

    modes: Annotated[tuple[InstructionMode, ...], Field(min_length=1)] = ("closed_book", "document", "passages", "generator")
    passages: Positive = 10
