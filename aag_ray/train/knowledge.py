"""A hypernetwork that reads documents into parameters: data -> reader -> internalizer -> evaluate."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aag_ray.artifacts import Run, RunError, read_table, write_atomically, write_json, write_table
from aag_ray.awaken.knowledge import internalizer_examples, text_examples
from aag_ray.awaken.reading import reading_examples
from aag_ray.config import TrainingSection, TrainKnowledgeConfig
from aag_ray.job import JobResult
from aag_ray.records import SPLITS, Question
from aag_ray.settings import ConfigError
from aag_ray.train.staged import Work, run_job_stages
from aag_ray.world.questions import load_splits, name_of_test_set

Metrics = dict[str, Any]
# The sections that decide what a stage makes. A change in one redoes that stage and all that follow it.
DECIDES = {
    "data": ("seed", "data"),
    "reader": ("model", "reader"),
    "internalizer": ("internalizer",),
    "evaluate": ("evaluate",),
}


def train_knowledge(config: TrainKnowledgeConfig) -> JobResult:
    """Run the stages that are not finished. Raises RunError if a single stage is asked for and one before it is missing, or for
    a start that training cannot go on from."""
    if config.stage in ("all", "internalizer"):
        _start(config)  # refused before anything is trained
    return run_job_stages(config, config.stage, WORK, DECIDES)


def data(config: TrainKnowledgeConfig, run: Run, folder: Path) -> Metrics:
    """Questions with their passages; those on unseen relations stay in the test split only."""
    splits, metrics = load_splits(config.data, config.seed)
    known = {question.relation for questions in splits.values() for question in questions}
    if missing := set(config.data.unseen_relations) - known:
        raise ConfigError(f"data.unseen_relations: no question is on {sorted(missing)}; there are {sorted(known - {''})}")
    for split in SPLITS:
        kept = [q for q in splits[split] if split == "test" or q.relation not in config.data.unseen_relations]
        write_table(folder / f"{split}.parquet", [question.to_row() for question in kept])
        metrics["splits"][split]["questions"] = len(kept)
    return metrics


def reader(config: TrainKnowledgeConfig, run: Run, folder: Path) -> Metrics:
    """The LoRA that answers from a document in the prompt."""
    from aag_ray.train.builders import build_sft

    section = config.reader
    arguments = {"model": config.model, "lora": section.lora}
    files = _files(config, run, folder, section.training, text_examples)
    return _train(config, folder, build_sft, arguments, files, section.training)


def internalizer(config: TrainKnowledgeConfig, run: Run, folder: Path) -> Metrics:
    """The hypernetwork over that reader; `model` is the folder that `AwakeningModel.from_pretrained` loads."""
    from aag_ray.train.builders import build_internalizer

    section = config.internalizer

    def examples(reading: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return internalizer_examples(reading, section, config.seed)

    files = _files(config, run, folder, section.training, examples)
    arguments = {"model": config.model, "section": section, "reader": run.folder / "reader" / "training" / "best"}
    arguments |= {"examples": files[0], "start": _start(config)}
    metrics = _train(config, folder, build_internalizer, arguments, files, section.training)
    save_model(config, run, folder)
    return metrics


def _start(config: TrainKnowledgeConfig) -> Path | None:
    """The folder of the hypernetwork that training goes on from. Raises ModelNotFound where none is, RunError if its weights
    are of other sizes."""
    from aag_ray.awaken.awakened import CONFIG
    from aag_ray.awaken.hypernetwork import Hypernetwork
    from aag_ray.llm.load import load_model
    from aag_ray.llm.resolve import resolve_trained
    from aag_ray.train.builders import new_hypernetwork

    section = config.internalizer
    if section.start is None:
        return None
    folder = resolve_trained(section.start, CONFIG) / "hypernetwork"
    there = Hypernetwork.from_pretrained(folder)
    here = new_hypernetwork(load_model(config.model, "cpu"), section.hypernetwork, config.seed)
    sizes, wanted = ({name: tuple(weight.shape) for name, weight in each.state_dict().items()} for each in (there, here))
    if sizes != wanted:
        old, new = there.section.model_dump(), here.section.model_dump()
        differ = "; ".join(f"{name} {old.get(name)} there, {new[name]} here" for name in new if old.get(name) != new[name])
        raise RunError(f"internalizer.start={section.start}: its hypernetwork is another: {differ or 'of another base model'}")
    return folder


def save_model(config: TrainKnowledgeConfig, run: Run, folder: Path) -> None:
    """Reader and hypernetwork as one awakening model, whose generator is the base model."""
    from aag_ray.awaken.awakened import AwakeningModel, AwakeningSettings
    from aag_ray.awaken.generator import DocumentGenerator
    from aag_ray.awaken.hypernetwork import Hypernetwork
    from aag_ray.llm.load import load_model
    from aag_ray.llm.sft import load_lora

    loaded, best = load_model(config.model), folder / "training" / "best"
    settings = AwakeningSettings(config.model.name, "generator", document_in="parameters")
    settings = replace(settings, max_answer_tokens=config.evaluate.max_answer_tokens)
    writer = DocumentGenerator(loaded, None, settings.max_document_tokens)
    network = Hypernetwork.from_pretrained(best / "hypernetwork")
    AwakeningModel(loaded, settings, writer, load_lora(best / "reader"), network).save_pretrained(folder / "model")


def evaluate(config: TrainKnowledgeConfig, run: Run, folder: Path) -> Metrics:
    """The test questions with their document nowhere, in the prompt, in the parameters, and both; and the model's card."""
    from aag_ray.awaken.awakened import AwakeningModel
    from aag_ray.evaluate.knowledge import KnowledgeTest, render_knowledge, told_questions
    from aag_ray.evaluate.knowledge_card import write_knowledge_card
    from aag_ray.evaluate.machine import describe_machine
    from aag_ray.llm.load import load_model

    section, trained = config.evaluate, run.folder / "internalizer" / "model"
    questions = _questions(run, "test")[: section.questions]
    documents, told = told_questions(questions, config.data.passages)
    model = AwakeningModel.from_pretrained(trained, load_model(config.model))
    try:
        test = KnowledgeTest(model, documents, told, section, config.data.unseen_relations, config.seed)
    except ValueError as error:
        raise RunError(f"{run.folder / 'data' / 'test.parquet'}: {error}") from None
    result = test.run(lambda line: print(f"  {line}", flush=True))
    write_table(folder / "answers.parquet", result.pop("answers"))
    result |= {"questions": len(told), "left_out": len(questions) - len(told), "machine": describe_machine()}
    write_json(folder / "result.json", result)
    write_atomically(folder / "table.md", render_knowledge(result))
    print(render_knowledge(result), flush=True)
    card = write_knowledge_card(trained, result, config.model.name, name_of_test_set(config.data))
    return result | {"card": str(card)}


WORK: dict[str, Work[TrainKnowledgeConfig]] = {
    "data": data,
    "reader": reader,
    "internalizer": internalizer,
    "evaluate": evaluate,
}


def _questions(run: Run, split: str) -> list[Question]:
    return [Question.from_row(row) for row in read_table(run.folder / "data" / f"{split}.parquet")]


def _files(config: TrainKnowledgeConfig, run: Run, folder: Path, training: TrainingSection, examples: Any) -> tuple[Path, Path]:
    """Training and dev examples as files, made from as many read passages as the training takes."""
    counts = {"train": training.steps * training.batch, "dev": training.dev_examples or len(_questions(run, "dev"))}
    files = folder / "train.jsonl", folder / "dev.jsonl"
    for file in files:
        shares = (config.data.made_up, config.data.recitals) if file.stem == "train" else (0.0, 0.0)
        reading = reading_examples(_questions(run, file.stem), counts[file.stem], config.data.passages, config.seed, *shares)
        if not reading:
            raise RunError(f"{run.folder / 'data'}: no {file.stem} question has a passage that is known to answer it")
        write_atomically(file, _lines(examples(reading)))
    return files


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _train(
    config: TrainKnowledgeConfig,
    folder: Path,
    build: Any,
    arguments: Mapping[str, Any],
    files: tuple[Path, Path],
    training: TrainingSection,
) -> Metrics:
    from aag_ray.train.launch import TrainingJob, train

    given = {**arguments, "seed": config.seed, "shard": config.cluster.shard}
    return train(TrainingJob(build, given, *files, training, config.cluster, config.seed, folder / "training"))
