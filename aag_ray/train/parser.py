"""The parser from questions to a calibrated model and its table: data -> known -> parser -> evaluate.

What is to be searched for is labelled by what the model that will answer got right without any source (stage `known`).
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from aag_ray.answer.parsing.examples import Labelled, ParserExample, Recalled, labelled
from aag_ray.artifacts import Run, fingerprint, read_table, write_atomically, write_json, write_table
from aag_ray.config import ModelSection, TrainParserConfig
from aag_ray.job import JobResult
from aag_ray.qa_files import QaFileError
from aag_ray.records import SPLITS
from aag_ray.train.staged import Work, run_job_stages

Metrics = dict[str, Any]
# The sections that decide what a stage makes. A change in one redoes that stage and all that follow it.
DECIDES = {"data": ("seed", "data"), "known": ("model", "known"), "parser": ("parser",), "evaluate": ("evaluate",)}
WEIGHTS = "weights"  # where a model that was trained whole stands, beside its settings


def train_parser(config: TrainParserConfig) -> JobResult:
    """Run the stages that are not finished. Raises RunError if a single stage is asked for and one before it is missing."""
    return run_job_stages(config, config.stage, WORK, DECIDES)


def data(config: TrainParserConfig, run: Run, folder: Path) -> Metrics:
    """The requests of every split as parquet, not yet labelled."""
    from aag_ray.answer.parsing.making import make_examples, split_places
    from aag_ray.world.questions import load_splits

    splits, read = load_splits(config.data, config.seed)
    places = split_places(config.data, config.seed)
    metrics: Metrics = {"read": read["splits"]}
    for split, questions in splits.items():
        examples = make_examples(questions, places[split], config.data, split, config.seed)
        write_table(folder / f"{split}.parquet", [example.to_row() for example in examples])
        metrics[split] = {
            "requests": len(examples),
            "needs": dict(Counter(example.need.value for example in examples)),
            "languages": dict(Counter(example.language for example in examples)),
            "in_a_conversation": sum(example.follow_up for example in examples),
        }
        print(f"  {split}: {len(examples)} requests", flush=True)
    return metrics


def known(config: TrainParserConfig, run: Run, folder: Path) -> Metrics:
    """The model's own answers to all questions without any source, and how many of each split's it got right."""
    from aag_ray.train.parser_known import recall_all

    splits = {split: examples_of(run, split) for split in SPLITS}
    began = time.monotonic()
    recalled = recall_all([each for part in splits.values() for each in part], config.model, config.known, folder)
    metrics: Metrics = {"questions": len(recalled), "failed": sum(bool(each.detail) for each in recalled.values())}
    for split, examples in splits.items():
        facts = [each for each in labelled(examples, recalled) if each.example.answers]
        if not facts:
            raise QaFileError(f"no question of the {split} split was answered: {next(iter(recalled.values())).detail}")
        right = Counter(each.example.language for each in facts if not each.needed)
        asked = Counter(each.example.language for each in facts)
        metrics[split] = {language: {"asked": n, "known": right[language]} for language, n in asked.items()}
        print(f"  {split}: {right.total()} of {asked.total()} questions of fact are known", flush=True)
    return metrics | {"seconds_per_question": (time.monotonic() - began) / max(1, len(recalled))}


def parser(config: TrainParserConfig, run: Run, folder: Path) -> Metrics:
    """Train on the labelled requests, calibrate on dev, choose the thresholds there, and put it all into `model`."""
    from aag_ray.answer.parsing.calibrate import cheapest_threshold, fit_platt, fit_weighing
    from aag_ray.answer.parsing.model import ParserModel
    from aag_ray.answer.parsing.settings import ParserSettings
    from aag_ray.artifacts import replaced_folder
    from aag_ray.llm.load import load_model
    from aag_ray.llm.sft import load_lora
    from aag_ray.train.builders import build_sft
    from aag_ray.train.launch import TrainingJob, train
    from aag_ray.train.parser_rows import sft_rows

    section, files = config.parser, []
    for split in ("train", "dev"):
        rows = sft_rows(labelled_of(run, split))
        files.append(folder / f"{split}.jsonl")
        write_atomically(files[-1], "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        print(f"  {split}: {len(rows)} rows", flush=True)
    lora = section.lora if section.tune == "lora" else None
    arguments = {"model": config.model, "lora": lora, "seed": config.seed, "shard": config.cluster.shard}
    job = TrainingJob(
        build_sft, arguments, files[0], files[1], section.training, config.cluster, config.seed, folder / "training"
    )
    metrics = train(job)
    best = folder / "training" / "best"
    settings = ParserSettings(
        config.model.name if lora else WEIGHTS, query_tokens=section.query_tokens, question_tokens=section.question_tokens
    )
    base = config.model if lora else ModelSection(name=str(best), dtype=config.model.dtype)
    model = ParserModel(load_model(base), settings, load_lora(best) if lora else None, section.batch)
    dev = labelled_of(run, "dev")
    labels, likelihoods = [each.needed for each in dev], [each.likelihood for each in dev]
    odds = model.log_odds(model.rewritten([each.example.request for each in dev]), [each.example.today for each in dev])
    platt = fit_platt(odds, labels)
    threshold = cheapest_threshold([platt(value) for value in odds], labels, section.costs)
    weighing = fit_weighing(odds, likelihoods, labels)
    own = cheapest_threshold([weighing(*pair) for pair in zip(odds, likelihoods, strict=True)], labels, section.costs)
    weighing = replace(weighing, threshold=own)
    model.settings = replace(settings, calibration=platt, threshold=threshold, weighing=weighing)
    with replaced_folder(folder / "model") as temporary:
        model.save_pretrained(temporary)
    print(f"  the web is asked from a probability of {own:.2f} on, {threshold:.2f} by the question alone", flush=True)
    return metrics | {"threshold": threshold, "calibration": asdict(platt), "weighing": asdict(weighing)}


def evaluate(config: TrainParserConfig, run: Run, folder: Path) -> Metrics:
    """The trained parser on test, with memory's likelihood and by the question alone, beside always, never, and a threshold on
    that likelihood alone; JSON and Markdown."""
    from aag_ray.answer.parsing.calibrate import cheapest_threshold, fit_platt
    from aag_ray.answer.parsing.model import ParserModel
    from aag_ray.answer.parsing.report import render
    from aag_ray.answer.parsing.scores import Decisions, Scorer, score_writing
    from aag_ray.evaluate.machine import describe_machine
    from aag_ray.llm.load import load_model

    section, costs = config.evaluate, config.parser.costs
    base = load_model(config.model) if config.parser.tune == "lora" else None
    model = ParserModel.from_pretrained(run.folder / "parser" / "model", base, config.parser.batch)
    test, dev = labelled_of(run, "test"), labelled_of(run, "dev")
    began = time.monotonic()
    questions, days = model.rewritten([each.example.request for each in test]), [each.example.today for each in test]
    odds = model.log_odds(questions, days)
    seconds = (time.monotonic() - began) / len(test)
    # The likelihood is turned into a probability as the parser's odds are, on the same dev requests.
    platt = fit_platt([each.likelihood for each in dev], [each.needed for each in dev])
    own = cheapest_threshold([platt(each.likelihood) for each in dev], [each.needed for each in dev], costs)
    settings, weighing = model.settings, model.settings.weighing
    assert weighing is not None
    chances = [weighing(value, each.likelihood) for value, each in zip(odds, test, strict=True)]
    decisions = {
        "parser": Decisions.at(chances, weighing.threshold),
        "question": Decisions.at([settings.calibration(value) for value in odds], settings.threshold),
        "likelihood": Decisions.at([platt(each.likelihood) for each in test], own),
        "always": Decisions.all(True, len(test)),
        "never": Decisions.all(False, len(test)),
    }
    scorer = Scorer(test, costs, section.bootstrap_samples, config.seed)
    result: Metrics = {
        "examples": len(test),
        "needed": sum(each.needed for each in test) / len(test),
        "costs": costs.model_dump(),
        "systems": {name: scorer.score(each) for name, each in decisions.items()},
        "differences": {
            name: scorer.difference(decisions["parser"], each) for name, each in decisions.items() if name != "parser"
        },
        "seconds_per_decision": seconds,
        "machine": describe_machine(),
    }
    rows = [n for n, each in enumerate(test) if each.example.searchable][: section.written]
    if rows:
        written = model.searches([questions[n] for n in rows], [days[n] for n in rows])
        result["writing"] = score_writing(
            [(test[n], questions[n], parsed) for n, parsed in zip(rows, written, strict=True)],
            section.bootstrap_samples,
            config.seed,
        )
    _write_decisions(folder / "decisions.jsonl", test, questions, decisions["parser"].searched, chances)
    write_json(folder / "result.json", result)
    write_atomically(folder / "table.md", render(result))
    print(render(result), flush=True)
    return result


def _write_decisions(
    path: Path, test: Sequence[Labelled], questions: Sequence[str], searched: Sequence[bool], chances: Sequence[float]
) -> None:
    """One line for each test request, for whoever wants to see where it went wrong."""
    lines = [
        {"id": each.example.id, "said": each.example.conversation[-1], "question": question}
        | {"needed": each.needed, "searched": decided, "chance": round(chance, 4)}
        for each, question, decided, chance in zip(test, questions, searched, chances, strict=True)
    ]
    write_atomically(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def examples_of(run: Run, split: str) -> list[ParserExample]:
    return [ParserExample.from_row(row) for row in read_table(run.folder / "data" / f"{split}.parquet")]


def labelled_of(run: Run, split: str) -> list[Labelled]:
    """A split's requests with what was measured of them; those on which the model failed are left out."""
    recalled = {row["id"]: Recalled(**row) for row in read_table(run.folder / "known" / "recalled.parquet")}
    examples = examples_of(run, split)
    return labelled(examples, {each.question: recalled[fingerprint(each.question)] for each in examples})


WORK: dict[str, Work[TrainParserConfig]] = {"data": data, "known": known, "parser": parser, "evaluate": evaluate}
