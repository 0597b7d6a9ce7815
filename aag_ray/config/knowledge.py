"""How a hypernetwork learns to read documents into parameters, and how it is measured what they carry."""

from __future__ import annotations

from typing import Literal

from aag_ray.config.aag import DataSection, DistillSection, HypernetworkSection, LoraSection
from aag_ray.config.basics import (
    ClusterSection,
    JobConfig,
    ModelSection,
    Natural,
    Positive,
    RunSection,
    Share,
    TrainingSection,
    UnpackedTraining,
)
from aag_ray.settings import Section


class KnowledgeDataSection(DataSection):
    """Passages, each with the questions it answers (`Question.answering`), of their first `passages` contexts.

    In a share `made_up` of those that are trained on, words and numbers that nobody knows take the place of the answers, of
    other numbers and of capitals. How one of their sentences goes on is a share `recitals` of what they are asked, and, if it
    is above zero, all that their own questions leave room for.
    Questions on `unseen_relations` are kept out of training and dev, and scored apart; only the embedded world names relations.
    """

    passages: Positive = 5
    made_up: Share = 0.5
    recitals: Share = 0.25
    unseen_relations: tuple[str, ...] = ()


class TextReaderSection(Section):
    """The reader of a document in its prompt: what knowledge in the parameters is measured against, and distilled from."""

    lora: LoraSection = LoraSection()
    training: TrainingSection = TrainingSection()


class InternalizerSection(Section):
    """The hypernetwork, trained over the frozen text reader to answer from a document that it alone was given.

    A share `shown` of the documents stands in the prompt as well, so that both together are learned. Of the others a share
    `distill.share` is taught by the text reader with the document in its prompt (context distillation). The adapters of a
    share `joined` are joined with those of one to `joined_with` other documents of the batch, which must not disturb them.

    `start` is a folder or hub id of a trained awakening model: training goes on from its hypernetwork, which has to be alike in
    all that decides its weights.
    """

    hypernetwork: HypernetworkSection = HypernetworkSection()
    start: str | None = None
    distill: DistillSection = DistillSection(share=0.25)
    training: UnpackedTraining = TrainingSection()
    shown: Share = 0.15
    joined: Share = 0.25
    joined_with: Positive = 3


class KnowledgeEvaluationSection(Section):
    """What is measured. `together` are numbers of documents whose adapters are joined into one, to see them disturb each other,
    and that are read as one text; `ranks` are those to which adapters are brought down.

    `questions` of the test split are asked, None is all.
    """

    questions: Positive | None = None
    together: tuple[Positive, ...] = (2, 4)
    ranks: tuple[Positive, ...] = (4, 16)
    batch: Positive = 64
    max_answer_tokens: Positive = 16
    bootstrap_samples: Positive = 2000


class TrainKnowledgeConfig(JobConfig):
    """Everything `jobs/train_knowledge.py` can be told. `stage` runs one stage on what is finished before it."""

    run: RunSection = RunSection(name="knowledge")
    stage: Literal["all", "data", "reader", "internalizer", "evaluate"] = "all"
    seed: Natural = 29
    model: ModelSection = ModelSection()
    data: KnowledgeDataSection = KnowledgeDataSection()
    reader: TextReaderSection = TextReaderSection()
    internalizer: InternalizerSection = InternalizerSection()
    cluster: ClusterSection = ClusterSection()
    evaluate: KnowledgeEvaluationSection = KnowledgeEvaluationSection()
