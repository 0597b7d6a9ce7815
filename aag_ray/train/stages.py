"""The work of each AAG stage: read what earlier stages committed, do the work, write files, return the metrics."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aag_ray.artifacts import Run, read_table, write_atomically, write_table
from aag_ray.awaken.mixture import answer_examples, generator_examples, reader_examples, split_by_entity
from aag_ray.awaken.reading import reading_examples
from aag_ray.config import TrainAagConfig
from aag_ray.records import Document, Question
from aag_ray.settings import ConfigError
from aag_ray.world.questions import load_documents, load_splits

Metrics = dict[str, Any]


def data(config: TrainAagConfig, run: Run, folder: Path) -> Metrics:
    """Questions of every split with their passages, from the embedded world or from files, as one parquet each; and the
    documents that the files bring along, where they are to be taken."""
    splits, metrics = load_splits(config.data, config.seed)
    for split, questions in splits.items():
        write_table(folder / f"{split}.parquet", [question.to_row() for question in questions])
        print(f"  {split}: {len(questions)} questions", flush=True)
    files = config.data.files
    for name in ("compressed", "written"):
        if files is not None and (column := getattr(files, name)):
            brought = load_documents(files, column).values()
            write_table(folder / name / "documents.parquet", [document.to_row() for document in brought])
            metrics[name] = {"column": column, "documents": len(brought)}
    return metrics


def questions_of(run: Run, split: str) -> list[Question]:
    return [Question.from_row(row) for row in read_table(run.folder / "data" / f"{split}.parquet")]


def documents_of(run: Run, stage: str) -> dict[str, Document]:
    documents = (Document.from_row(row) for row in read_table(run.folder / stage / "documents.parquet"))
    return {document.id: document for document in documents}


def _taken_or_made(
    run: Run, name: str, questions: Sequence[Question], folder: Path, make: Callable[[Sequence[Question], Path], list[Document]]
) -> list[Document]:
    """A document for each question: the one its file brings along where that is to be taken, else one that is made."""
    if not (run.folder / "data" / name).exists():
        return make(questions, folder)
    brought = documents_of(run, f"data/{name}")
    if missing := [question for question in questions if question.id not in brought]:
        brought |= {document.id: document for document in make(missing, folder / "made")}
    documents = [brought[question.id] for question in questions]
    write_table(folder / "documents.parquet", [document.to_row() for document in documents])
    return documents


def compress(config: TrainAagConfig, run: Run, folder: Path) -> Metrics:
    """Compressed documents: targets for the generator's part of the training questions, the oracle of dev and test."""
    from aag_ray.awaken.compress import compression_report
    from aag_ray.pipelines.compress import compress_questions

    chosen, _ = generator_split(config, questions_of(run, "train"))
    questions = [*chosen, *questions_of(run, "dev"), *questions_of(run, "test")]
    section, training = config.compress, [question.id for question in chosen]
    documents = _taken_or_made(
        run, "compressed", questions, folder, lambda asked, where: compress_questions(asked, section, where, training)
    )
    return compression_report(questions, documents, passages=section.passages, target_tokens=section.target_tokens)


def generator_split(config: TrainAagConfig, questions: Sequence[Question]) -> tuple[list[Question], list[Question]]:
    """The training questions that the generator learns from, and those it writes documents for. Both are all of them
    if compress.train_questions is not set, as in the paper."""
    first = config.compress.train_questions
    if first is None or first >= len(questions):
        return list(questions), list(questions)
    return split_by_entity(questions, first, config.seed)


def generator(config: TrainAagConfig, run: Run, folder: Path) -> Metrics:
    """Question -> compressed document, by supervised fine-tuning."""
    from aag_ray.train.builders import build_sft
    from aag_ray.train.launch import TrainingJob, train

    section, documents = config.generator, documents_of(run, "compress")
    chosen, _ = generator_split(config, questions_of(run, "train"))
    files = _write_examples(
        folder, "generator", generator_examples(chosen, documents), generator_examples(questions_of(run, "dev"), documents)
    )
    arguments = {
        "model": section.model or config.model,
        "lora": section.lora if section.tune == "lora" else None,
        "seed": config.seed,
        "shard": config.cluster.shard,
    }
    return train(TrainingJob(build_sft, arguments, *files, section.training, config.cluster, config.seed, folder / "generator"))


def predict(config: TrainAagConfig, run: Run, folder: Path) -> Metrics:
    """Dummy documents for the reader's part of the training questions, dev and test; and how good they are."""
    from aag_ray.evaluate.documents import document_report, static_baseline

    _, rest = generator_split(config, questions_of(run, "train"))
    dev, test = questions_of(run, "dev"), questions_of(run, "test")
    asked = [*rest[: config.predict.train_questions], *dev, *test]
    began = time.monotonic()
    written = _taken_or_made(run, "written", asked, folder, lambda rest, where: write_documents(config, run, rest, where))
    seconds = (time.monotonic() - began) / len(asked)
    by_id = {document.id: document for document in written}
    mine = [by_id[question.id] for question in test]
    baseline = static_baseline(mine, list(documents_of(run, "compress").values())[: len(written)], config.seed)
    report = document_report(test, mine, baseline, config.evaluate.bootstrap_samples, config.seed)
    return report | {"seconds_per_document": seconds}


def write_documents(config: TrainAagConfig, run: Run, asked: Sequence[Question], folder: Path) -> list[Document]:
    """The trained generator's dummy documents for these questions, in order; resumes what `folder` holds."""
    from aag_ray.pipelines.predict import predict_documents

    section, best = config.generator, run.folder / "generator" / "generator" / "best"
    return predict_documents(asked, section.model or config.model, best, section.max_document_tokens, config.predict, folder)


def hypernetwork(config: TrainAagConfig, run: Run, folder: Path) -> Metrics:
    """The teacher, the hypernetwork's reading, the reader with it, and the static baseline of equal size and budget."""
    from aag_ray.llm.load import load_model
    from aag_ray.llm.sft import static_lora_rank
    from aag_ray.train.builders import build_reader, build_reading, build_sft
    from aag_ray.train.launch import TrainingJob, train

    questions, dev = questions_of(run, "train"), questions_of(run, "dev")
    section, shared = config.reader, {"seed": config.seed, "shard": config.cluster.shard}
    metrics: Metrics = {}

    teacher: Path | None = None
    if section.distill.asks_teacher:
        passages = config.teacher.passages
        examples = answer_examples(questions, passages, config.seed), answer_examples(dev, passages, config.seed)
        files = _write_examples(folder, "teacher", *examples)
        arguments = {"model": config.model, "lora": config.teacher.lora} | shared
        job = TrainingJob(
            build_sft, arguments, *files, config.teacher.training, config.cluster, config.seed, folder / "teacher"
        )
        metrics["teacher"] = train(job)
        teacher = folder / "teacher" / "best"

    lora: Path | None = None
    if section.closed_book.steps:
        files = _write_examples(folder, "closed_book", answer_examples(questions), answer_examples(dev))
        arguments = {"model": config.model, "lora": section.lora} | shared
        job = TrainingJob(
            build_sft, arguments, *files, section.closed_book, config.cluster, config.seed, folder / "closed_book"
        )
        metrics["closed_book"] = train(job)
        lora = folder / "closed_book" / "best"

    start: Path | None = None
    if section.reading.steps:
        count = section.reading.steps * section.reading.batch
        made = (
            reading_examples(questions, count, section.passages, config.seed, section.made_up, section.recitals),
            reading_examples(dev, len(dev), section.passages, config.seed),
        )
        files = _write_examples(folder, "reading", *made)
        arguments = {"model": config.model, "section": section, "examples": files[0]} | shared
        job = TrainingJob(build_reading, arguments, *files, section.reading, config.cluster, config.seed, folder / "reading")
        metrics["reading"] = train(job)
        start = folder / "reading" / "best" / "hypernetwork"

    documents = _documents_to_learn_from(config, run, questions)
    count = section.training.steps * section.training.batch
    files = _write_examples(
        folder,
        "reader",
        reader_examples(questions, documents, section.mixture, section.distill, count, section.passages, config.seed),
        reader_examples(dev, documents, section.mixture, section.distill, section.training.dev_examples, section.passages, 0),
    )
    arguments = {"model": config.model, "section": section, "teacher": teacher, "examples": files[0]} | shared
    arguments |= {"start": start, "lora": lora}
    job = TrainingJob(build_reader, arguments, *files, section.training, config.cluster, config.seed, folder / "reader")
    metrics["reader"] = train(job)

    trained = metrics["reader"]["trained_parameters"] + run_metrics(run, "generator").get("trained_parameters", 0)
    rank = static_lora_rank(load_model(config.model, "cpu"), section.lora, trained)
    files = _write_examples(folder, "static_lora", answer_examples(questions), answer_examples(dev))
    budget = {"steps": config.static_steps, "batch": section.training.batch}
    training = section.static_training.model_copy(update=budget)
    arguments = {"model": config.model, "lora": section.lora, "rank": rank} | shared
    job = TrainingJob(build_sft, arguments, *files, training, config.cluster, config.seed, folder / "static_lora")
    metrics["static_lora"] = train(job) | {"rank": rank}
    return metrics | save_model(config, run, folder, dev)


def _documents_to_learn_from(config: TrainAagConfig, run: Run, questions: Sequence[Question]) -> dict[str, Document]:
    """Dummy documents, and `reader.compressed_share` as many compressed ones, which are always right about the question."""
    written, compressed = documents_of(run, "predict"), documents_of(run, "compress")
    mine = [question.id for question in questions if question.id in compressed and question.id not in written]
    count = round(config.reader.compressed_share * sum(question.id in written for question in questions))
    return {key: compressed[key] for key in mine[:count]} | written


def save_model(config: TrainAagConfig, run: Run, folder: Path, dev: Sequence[Question]) -> Metrics:
    """Put the trained parts into one folder, and choose on dev where the reader wants its document."""
    from aag_ray.awaken.awakened import AwakeningModel, AwakeningSettings
    from aag_ray.awaken.generator import DocumentGenerator
    from aag_ray.awaken.hypernetwork import Hypernetwork
    from aag_ray.evaluate.metrics import exact_match
    from aag_ray.llm.load import load_model
    from aag_ray.llm.sft import is_lora, load_lora

    loaded, best = load_model(config.model), run.folder / "generator" / "generator" / "best"
    own = (
        None if is_lora(best) and config.generator.model is None else str(best if not is_lora(best) else config.generator.model)
    )
    settings = AwakeningSettings(
        base_model=config.model.name,
        generator="generator",
        generator_model=own,
        max_document_tokens=config.generator.max_document_tokens,
        max_answer_tokens=config.evaluate.max_answer_tokens,
    )
    model = AwakeningModel(
        loaded,
        settings,
        DocumentGenerator.from_pretrained(loaded, best, settings.max_document_tokens),
        load_lora(folder / "reader" / "best" / "reader"),
        Hypernetwork.from_pretrained(folder / "reader" / "best" / "hypernetwork"),
        config.evaluate.batch,
    )
    documents, asked = documents_of(run, "predict"), [question.question for question in dev]
    shown = [documents[question.id].text for question in dev]
    scores: dict[str, float] = {}
    for place in ("text", "parameters", "both"):
        answers = model.read(asked, shown, place)
        hits = [exact_match(written.text, question.answers) for written, question in zip(answers, dev, strict=True)]
        scores[place] = 100 * sum(hits) / len(hits)
    wanted = config.reader.document_in
    # AAG awakens through an adapter: the document as text alone is a row of its own in the table.
    place = wanted if wanted != "best_on_dev" else ("both" if scores["both"] >= scores["parameters"] else "parameters")
    model.with_document_in(place).save_pretrained(folder / "model")
    print(f"  document in text / parameters / both, EM on dev: {scores}; AAG uses {place}", flush=True)
    return {"document_in": place, "dev_em": scores}


def run_metrics(run: Run, stage: str) -> Metrics:
    manifest = run.stage(stage).manifest
    return manifest.metrics if manifest is not None else {}


def _write_examples(folder: Path, name: str, *parts: Iterable[Mapping[str, Any]]) -> tuple[Path, Path]:
    train, dev = (folder / f"{name}-{split}.jsonl" for split in ("train", "dev"))
    for path, examples in zip((train, dev), parts, strict=True):
        lines = [json.dumps(example, ensure_ascii=False) for example in examples]
        if not lines:
            raise ConfigError(f"no examples for {path.name}: every row of the stage before it failed")
        write_atomically(path, "\n".join(lines) + "\n")
    return train, dev
