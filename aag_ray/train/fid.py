"""A reader that fuses passages in a T5, from questions to a table: data -> teacher -> reader -> evaluate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aag_ray.artifacts import Run, file_hash, read_table, write_atomically, write_json, write_table
from aag_ray.awaken.fid_inputs import fid_examples
from aag_ray.config import FidReaderSection, FidTeacherSection, TrainFidConfig
from aag_ray.evaluate.markdown import TOKEN_COLUMNS, interval_text
from aag_ray.job import JobResult
from aag_ray.qa_files import QaFileError
from aag_ray.records import Document, Question
from aag_ray.settings import ConfigError
from aag_ray.train.evaluation import also_questions
from aag_ray.train.fid_card import write_fid_card
from aag_ray.train.staged import Work, run_job_stages
from aag_ray.world.questions import load_documents, load_splits

# The sections that decide what a stage makes. A change in one redoes that stage and all that follow it.
DECIDES = {
    "data": ("seed", "data", "documents"),
    "teacher": ("model", "teacher"),
    "reader": ("reader",),
    "evaluate": ("evaluate",),
}
DOCUMENTS = "documents.parquet"


def train_fid(config: TrainFidConfig) -> JobResult:
    """Run the stages that are not finished.

    Raises RunError if a single stage is asked for and one before it is missing, and for a table of documents that cannot be
    read, ConfigError if documents are needed and none are named, QaFileError for a bad file in `evaluate.also`, or one of
    which no question can be read.
    """
    _refuse_what_lacks(config)  # now, not after days of training
    return run_job_stages(config, config.stage, WORK, DECIDES)


def data(config: TrainFidConfig, run: Run, folder: Path) -> dict[str, Any]:
    """Questions of every split with their passages, and the dummy documents."""
    splits, metrics = load_splits(config.data, config.seed)
    for split, questions in splits.items():
        write_table(folder / f"{split}.parquet", [question.to_row() for question in questions])
    if config.documents is not None:
        write_table(folder / DOCUMENTS, read_table(config.documents))
        metrics["documents"] = file_hash(config.documents)
    elif config.data.files is not None and (column := _brought(config)):
        documents = load_documents(config.data.files, column)
        write_table(folder / DOCUMENTS, [document.to_row() for document in documents.values()])
        metrics["documents"] = column
    return metrics


def _brought(config: TrainFidConfig) -> str | None:
    """The column of the question files whose documents are read where no table of documents is named."""
    files = config.data.files
    return (files.written or files.compressed) if files is not None else None


def teacher(config: TrainFidConfig, run: Run, folder: Path) -> dict[str, Any]:
    """The reader of retrieved passages that is distilled from, unless nobody asks it or it has a checkpoint."""
    if not config.reader.distill.asks_teacher or config.teacher.checkpoint is not None:
        return {"trained": False}
    return _train(config, config.teacher, run, folder, None, 0)


def reader(config: TrainFidConfig, run: Run, folder: Path) -> dict[str, Any]:
    """The reader itself, distilled from the teacher as its section says."""
    lesson: Path | FidTeacherSection | None = None
    if config.reader.distill.asks_teacher:
        lesson = config.teacher if config.teacher.checkpoint else run.folder / "teacher" / "training" / "best"
    return _train(config, config.reader, run, folder, lesson, config.teacher.passages)


def evaluate(config: TrainFidConfig, run: Run, folder: Path) -> dict[str, Any]:
    """The best reader on the test questions and on every other set: EM, F1 and subspan EM with intervals; its answers and card.

    With a hypernetwork also with the adapters of other questions. A question that lacks what the reader reads is a miss;
    token accuracy and perplexity, where they are asked for, are of the questions that it does read.
    """
    from aag_ray.awaken.fid_reader import FidReader
    from aag_ray.evaluate.answering import derangement
    from aag_ray.evaluate.machine import describe_machine
    from aag_ray.evaluate.token_scores import token_scores

    section, best = config.evaluate, run.folder / "reader" / "training" / "best"
    trained = FidReader.from_pretrained(best, dtype=config.model.dtype)
    result: dict[str, Any] = {"trained_parameters": trained.trained_counts(), "machine": describe_machine(), "sets": {}}
    sets, documents = {"test": _questions(run, "test")} | also_questions(section), _documents(run) | _read(section.documents)
    for name, questions in sets.items():
        examples = fid_examples(questions, config.reader, documents)
        inputs, conditions = [each["inputs"] for each in examples], [each["condition"] for each in examples]
        systems = {"reader": conditions}
        if config.reader.hypernetwork is not None:
            systems["reader_shuffled"] = [conditions[at] for at in derangement(len(conditions), config.seed)]
        result["sets"][name] = {"questions": len(questions), "read": len(examples)}
        for system, given in systems.items():
            answers = trained.answer(inputs, given, beams=section.beams, batch=section.batch)
            texts = {example["id"]: answer.text for example, answer in zip(examples, answers, strict=True)}
            write_table(folder / f"{name}-{system}.parquet", [{"id": key, "answer": text} for key, text in texts.items()])
            scores = _scores(questions, texts, section.bootstrap_samples, config.seed)
            if section.token_scores:
                told = [each["target"] for each in examples]
                gold = trained.read_gold(inputs, told, given, batch=section.batch)
                scores |= token_scores(gold, section.bootstrap_samples, config.seed)
            result["sets"][name][system] = scores
    write_json(folder / "result.json", result)
    write_atomically(folder / "table.md", table(result))
    write_fid_card(best, result, table(result), config.model.name, config.reader.reads, config.reader.passages)
    print(table(result), flush=True)
    return result


def table(result: Mapping[str, Any]) -> str:
    """Markdown: a row for each set and system."""
    rows = [row[system] for row in result["sets"].values() for system in row if system.startswith("reader")]
    columns = {"f1": "F1", "subspan": "Subspan EM"} | (TOKEN_COLUMNS if all("perplexity" in row for row in rows) else {})
    lines = [f"| Questions | System | EM, % (95 % interval) | {' | '.join(columns.values())} |"]
    lines.append(f"| --- | --- |{' ---: |' * (1 + len(columns))}")
    for name, row in result["sets"].items():
        for system in (key for key in row if key.startswith("reader")):
            told = " | ".join(f"{row[system][key]['value']:.1f}" for key in columns)
            lines.append(f"| {name} | {system} | {interval_text(row[system]['em'])} | {told} |")
    return "\n".join(lines) + "\n"


WORK: dict[str, Work[TrainFidConfig]] = {"data": data, "teacher": teacher, "reader": reader, "evaluate": evaluate}


def _scores(questions: Sequence[Question], texts: Mapping[str, str], samples: int, seed: int) -> dict[str, Any]:
    from aag_ray.evaluate.intervals import bootstrap
    from aag_ray.evaluate.metrics import best_subspan_em, exact_match, f1

    measures = {"em": exact_match, "f1": f1, "subspan": best_subspan_em}
    values = {name: [measure(texts.get(q.id, ""), q.answers) for q in questions] for name, measure in measures.items()}
    return {name: bootstrap(each, samples, seed).to_dict() for name, each in values.items()}


def _train(
    config: TrainFidConfig,
    section: FidReaderSection,
    run: Run,
    folder: Path,
    lesson: Path | FidTeacherSection | None,
    teacher_passages: int,
) -> dict[str, Any]:
    from aag_ray.train.builders import build_fid_reader
    from aag_ray.train.launch import TrainingJob, train

    documents, files = _documents(run), (folder / "train.jsonl", folder / "dev.jsonl")
    for file in files:
        examples = fid_examples(_questions(run, file.stem), section, documents, teacher_passages)
        write_atomically(file, "".join(json.dumps(example, ensure_ascii=False) + "\n" for example in examples))
    arguments = {"model": config.model, "section": section, "teacher": lesson, "examples": files[0], "seed": config.seed}
    arguments |= {"shard": config.cluster.shard}
    where = folder / "training"
    return train(TrainingJob(build_fid_reader, arguments, *files, section.training, config.cluster, config.seed, where))


def _refuse_what_lacks(config: TrainFidConfig) -> None:
    for name, section in {"teacher": config.teacher, "reader": config.reader}.items():
        network = section.hypernetwork
        used = name == "reader" or (config.reader.distill.asks_teacher and config.teacher.checkpoint is None)
        needs = section.reads == "document" or (network is not None and network.condition == "document")
        if used and needs and config.documents is None and not _brought(config):
            told = "name the predict/documents.parquet of an AAG run, or data.files.written, a column of the question files"
            raise ConfigError(f"documents: the {name} needs dummy documents; {told}")
    documents = _read(config.documents) | _read(config.evaluate.documents)
    for name, questions in also_questions(config.evaluate).items():
        try:
            fid_examples(questions, config.reader, documents)
        except ValueError as error:
            told = "documents come from evaluate.documents, passages from the file itself"
            raise QaFileError(f"evaluate.also.{name}: {error}; {told}") from None


def _questions(run: Run, name: str) -> list[Question]:
    return [Question.from_row(row) for row in read_table(run.folder / "data" / f"{name}.parquet")]


def _documents(run: Run) -> dict[str, Document]:
    path = run.folder / "data" / DOCUMENTS
    return _read(path if path.exists() else None)


def _read(table: Path | None) -> dict[str, Document]:
    """Documents by question id."""
    return {row["id"]: Document.from_row(row) for row in read_table(table)} if table is not None else {}
