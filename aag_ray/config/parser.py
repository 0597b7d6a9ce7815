"""Everything `jobs/train_parser.py` can be told."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from aag_ray.config.aag import DataSection, LoraSection
from aag_ray.config.basics import ClusterSection, JobConfig, ModelSection, Natural, Positive, RunSection, Share, TrainingSection
from aag_ray.settings import Section

Ratio = Annotated[float, Field(ge=0)]
Language = Literal["de", "fr", "es", "it"]


class ParserDataSection(DataSection):
    """What is asked: questions with known answers, and templates over the embedded world's places.

    For each English question there are `foreign` in other languages, `follow_ups` in a conversation, `timely` about what
    changes (a share `after_cutoff` of them about years after the model's `cutoff`), and `errands` that no page could help.
    The days of the requests lie one to five years after `cutoff`.
    """

    languages: tuple[Language, ...] = ("de", "fr", "es", "it")
    foreign: Ratio = 0.6
    follow_ups: Share = 0.4
    timely: Ratio = 0.5
    after_cutoff: Share = 0.2
    errands: Ratio = 0.15
    cutoff: date = date(2024, 6, 1)


class KnownSection(Section):
    """Who is asked, without any source, what it knows: the base model, or the awakening model in the folder `awakening` (of a
    run of `jobs/train_aag.py`). An answer is cut after `answer_tokens`."""

    awakening: Path | None = None
    answer_tokens: Positive = 20
    batch: Positive = 32
    actors: Positive = 1
    cpus_per_actor: float = Field(default=2.0, gt=0)
    gpus_per_actor: float = Field(default=0.0, ge=0)


class CostsSection(Section):
    """What a wrong decision costs: a search that was `missed` (a wrong answer), and one that was `needless` (time, and pages).

    The threshold is the one at which the decisions on dev cost least.
    """

    missed: float = Field(default=1.0, gt=0)
    needless: float = Field(default=0.5, gt=0)


class ParserSection(Section):
    """The parser: a LoRA on the base model (`tune: lora`), or all its weights.

    It learns from all requests alike: a decision for each, searches for those that need some, questions for follow-ups.
    `query_tokens` and `question_tokens` bound what it writes.
    """

    tune: Literal["lora", "full"] = "lora"
    lora: LoraSection = LoraSection()
    training: TrainingSection = TrainingSection()
    costs: CostsSection = CostsSection()
    query_tokens: Positive = 96
    question_tokens: Positive = 48
    batch: Positive = 32


class ParserEvaluationSection(Section):
    """What is measured on test: at most `written` requests also have their queries written and compared."""

    written: Natural = 120
    bootstrap_samples: Positive = 2000


class TrainParserConfig(JobConfig):
    """Everything `jobs/train_parser.py` can be told. `stage` runs one stage on what is finished before it."""

    run: RunSection = RunSection(name="parser")
    stage: Literal["all", "data", "known", "parser", "evaluate"] = "all"
    seed: Natural = 29
    model: ModelSection = ModelSection()
    data: ParserDataSection = ParserDataSection()
    known: KnownSection = KnownSection()
    parser: ParserSection = ParserSection()
    evaluate: ParserEvaluationSection = ParserEvaluationSection()
    cluster: ClusterSection = ClusterSection()
