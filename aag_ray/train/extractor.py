"""The extractors from questions to trained models: data -> scorer, calibrated, and data -> tags (both Ray Train)."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from aag_ray.artifacts import Run, RunError, write_atomically, write_table
from aag_ray.config import ModelSection, ScorerSection, TrainExtractorConfig
from aag_ray.extract.examples import ExtractionExample
from aag_ray.extract.instruction_files import read_examples
from aag_ray.extract.labelled import label_pages
from aag_ray.job import JobResult
from aag_ray.pipelines.ray_connection import connected
from aag_ray.qa_files import QaFileError
from aag_ray.train.staged import Work, run_stages
from aag_ray.train.tags import examples_of, tags
from aag_ray.train.teacher_scores import distilled
from aag_ray.world.questions import load_splits

# Each extractor is made from the data alone: training one does not redo the other.
DECIDES = {"scorer": {"data": ("seed", "data"), "scorer": ("scorer",)}, "tags": {"data": ("seed", "data"), "tags": ("tags",)}}


def train_extractor(config: TrainExtractorConfig) -> JobResult:
    """Run the stages that are not finished. Raises RunError if a single stage is asked for and one before it is missing."""
    folder = (config.run.root / config.run.name).absolute()
    wanted = ("data", *config.train) if config.stage == "all" else (config.stage,)
    with Run.open(folder, fresh=config.run.fresh) as run, connected():
        for decides in DECIDES.values():
            if chosen := [name for name in decides if name in wanted]:
                run_stages(config, run, WORK, decides, chosen)
        manifests = {name: run.stage(name).manifest for name in wanted}
        metrics = {name: manifest.metrics for name, manifest in manifests.items() if manifest is not None}
        return JobResult(metrics, {name: str(run.folder / name) for name in metrics})


def data(config: TrainExtractorConfig, run: Run, folder: Path) -> dict[str, Any]:
    """Pages with the numbers of the spans that help, of every split, as parquet; what cannot be labelled is counted.

    Raises QaFileError for a split without any, RunError for a set of instructions that cannot be read.
    """
    instructions = read_examples(config.data.instructions) if config.data.instructions else {}
    splits, read = load_splits(config.data, config.seed)
    metrics: dict[str, Any] = {"read": read["splits"]}
    for split, questions in splits.items():
        examples, outcomes = label_pages(questions, config.data, split, config.seed)
        if not examples:
            raise QaFileError(f"no question of the {split} split could be labelled: {outcomes}")
        examples += instructions.get(split, [])
        write_table(folder / f"{split}.parquet", [each.to_row() for each in examples])
        metrics[split] = {
            "questions": len(questions),
            "pages": len(examples),
            "with_evidence": sum(each.relevant for each in examples),
            "instructions": len(instructions.get(split, [])),
            "outcomes": outcomes,
        }
        print(f"  {split}: {len(examples)} pages, {metrics[split]['with_evidence']} with evidence", flush=True)
    return metrics


def scorer(config: TrainExtractorConfig, run: Run, folder: Path) -> dict[str, Any]:
    """Train the span scorer on windows of the training pages, calibrate it on dev, and put it into `model`.

    `unscored_windows` counts those that a teacher said nothing about. Raises RunError for a teacher that cannot be used, and
    for more frozen layers than there are.
    """
    from dataclasses import asdict

    from aag_ray.artifacts import replaced_folder
    from aag_ray.extract.calibrate import fit_calibration
    from aag_ray.extract.scorer import SpanScorer
    from aag_ray.extract.scorer_objective import ScorerObjective
    from aag_ray.train.launch import TrainingJob, train

    section, unscored = config.scorer, 0
    untrained = SpanScorer.new(section.model, window=section.window, width=section.width, seed=config.seed, device="cpu")
    try:
        ScorerObjective(untrained, section.positive_weight, section.frozen_layers)
    except ValueError as error:  # here once, rather than on every worker and again at each retry
        raise RunError(str(error)) from error
    files = []
    for split in ("train", "dev"):
        examples = examples_of(run, split)
        rows = chosen_windows(list(windows(untrained, examples)), section.empty_windows, config.seed)
        if split == "train":  # dev keeps gold, by which the best step is chosen
            rows, unscored = distilled(rows, examples, section)
        files.append(folder / f"{split}.jsonl")
        write_atomically(files[-1], "".join(json.dumps(row) + "\n" for row in rows))
        print(f"  {split}: {len(rows)} windows, {sum(len(row['ids']) for row in rows)} tokens", flush=True)
    arguments = {"section": section, "seed": config.seed}
    job = TrainingJob(
        build_scorer, arguments, files[0], files[1], section.training, config.cluster, config.seed, folder / "training"
    )
    metrics = train(job)
    trained = SpanScorer.from_pretrained(folder / "training" / "best")
    trained.calibration = fit_calibration(trained, examples_of(run, "dev"))
    with replaced_folder(folder / "model") as temporary:
        trained.save_pretrained(temporary)
    return metrics | {"calibration": asdict(trained.calibration), "unscored_windows": unscored}


def build_scorer(section: ScorerSection, seed: int, device: torch.device) -> Any:
    """What Ray Train builds on each worker."""
    from aag_ray.extract.scorer import SpanScorer
    from aag_ray.extract.scorer_objective import ScorerObjective

    model: ModelSection = section.model
    made = SpanScorer.new(model, window=section.window, width=section.width, seed=seed, device=str(device))
    return ScorerObjective(made, section.positive_weight, section.frozen_layers)


def windows(scorer: Any, examples: Iterable[ExtractionExample]) -> Iterator[dict[str, Any]]:
    """Training rows: every window of every page, with a label for each of its spans.

    Spans that repeat an answer without being gold are neither right nor wrong, nor is a gold one that only asks, which no
    extractor takes: label UNKNOWN.
    """
    from aag_ray.extract.gold import holds_answer
    from aag_ray.extract.scorer_objective import UNKNOWN
    from aag_ray.extract.scoring import asks

    for example in examples:
        gold = set(example.gold)
        for window in scorer.windows(example.question, [example.tagged]):
            numbers = range(window.first + 1, window.first + 1 + len(window.ranges))
            labels = [
                (UNKNOWN if asks(example.text_of(n)) else 1.0)
                if n in gold
                else (UNKNOWN if example.answers and holds_answer(example.text_of(n), example.answers) else 0.0)
                for n in numbers
            ]
            yield {"id": f"{example.id}#{window.first}"} | window.to_row() | {"labels": labels}


def chosen_windows(rows: Sequence[dict[str, Any]], ratio: float, seed: int) -> list[dict[str, Any]]:
    """In random order all windows with evidence, and `ratio` times as many without: half of them the hardest by words."""
    draw = random.Random(seed)
    full = [row for row in rows if max(row["labels"], default=0) >= 0.5]
    empty = [row for row in rows if max(row["labels"], default=0) < 0.5]
    wanted = min(len(empty), round(ratio * len(full)))
    empty.sort(key=lambda row: -max(feature[0] for feature in row["features"]))
    hardest, others = empty[: wanted // 2], empty[wanted // 2 :]
    chosen = [*full, *hardest, *draw.sample(others, wanted - len(hardest))]
    draw.shuffle(chosen)
    return chosen


WORK: dict[str, Work[TrainExtractorConfig]] = {"data": data, "scorer": scorer, "tags": tags}
