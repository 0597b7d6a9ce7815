"""The last stage of an AAG run: every system on the test questions, and on those of files that nothing was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aag_ray.artifacts import Run
from aag_ray.config import AlsoSection, TrainAagConfig
from aag_ray.evaluate.markdown import TOKEN_COLUMNS
from aag_ray.qa_files import QaFileError, read_questions
from aag_ray.records import Document, Question
from aag_ray.train.stages import Metrics, documents_of, questions_of, run_metrics, write_documents
from aag_ray.world.questions import name_of_test_set


@dataclass(frozen=True)
class QuestionSet:
    """Questions with the dummy documents and the compressed passages that belong to them, by id.

    `quality` is what `document_report` says of the dummy ones.
    """

    questions: list[Question]
    documents: Mapping[str, Document]
    oracle: Mapping[str, Document]
    quality: Metrics


def also_questions(section: AlsoSection) -> dict[str, list[Question]]:
    """The questions of every file in `also`, by its name, which their ids begin with.

    Raises QaFileError naming the key, the file and what is wrong with it.
    """
    found: dict[str, list[Question]] = {}
    for name, path in section.also.items():
        try:
            questions = read_questions(path).questions
        except QaFileError as error:
            raise QaFileError(f"evaluate.also.{name}: {error}") from None
        found[name] = [replace(question, id=f"{name}/{question.id}") for question in questions]
    return found


def question_sets(config: TrainAagConfig, run: Run, folder: Path) -> dict[str, QuestionSet]:
    """The test questions and those of the files in `also`, for which documents are written and passages compressed here, as
    the stages `predict` and `compress` do it; resumes what `folder` holds."""
    from aag_ray.evaluate.documents import document_report, static_baseline
    from aag_ray.pipelines.compress import compress_questions

    own = QuestionSet(
        questions_of(run, "test"), documents_of(run, "predict"), documents_of(run, "compress"), run_metrics(run, "predict")
    )
    sets, also = {"test": own}, also_questions(config.evaluate)
    if not also:
        return sets
    asked = [question for questions in also.values() for question in questions]
    documents = {document.id: document for document in write_documents(config, run, asked, folder / "written")}
    passages = [each for questions in also.values() if any(q.contexts for q in questions) for each in questions]
    compressed = compress_questions(passages, config.compress, folder / "compressed") if passages else []
    oracle = {document.id: document for document in compressed}
    for name, questions in also.items():
        mine = [documents[question.id] for question in questions]
        baseline = static_baseline(mine, list(own.oracle.values()), config.seed)
        quality = document_report(questions, mine, baseline, config.evaluate.bootstrap_samples, config.seed)
        sets[name] = QuestionSet(questions, documents, oracle, quality)
    return sets


def evaluate(config: TrainAagConfig, run: Run, folder: Path) -> Metrics:
    """Every system on every question; result.json, table.md, plot.png and cases.html, and the model's card.

    The metrics and the result of the test questions hold those of the other sets, by name, under `also`.
    """
    from aag_ray.awaken.awakened import AwakeningModel
    from aag_ray.evaluate.answering import Answering, summarise
    from aag_ray.evaluate.machine import describe_machine
    from aag_ray.evaluate.model_card import write_model_card
    from aag_ray.evaluate.report import render_terminal, write_report
    from aag_ray.llm.load import load_model
    from aag_ray.llm.sft import load_lora

    sets = question_sets(config, run, folder)  # before this process holds a model: the actors there hold one each
    trained, section = run.folder / "hypernetwork", config.evaluate
    loaded = load_model(config.model)
    model = AwakeningModel.from_pretrained(trained / "model", loaded)
    static = load_lora(trained / "static_lora" / "best").to(loaded.device)
    shots, seconds = _shots(questions_of(run, "train"), section.shots), run_metrics(run, "predict").get("seconds_per_document")
    results: dict[str, dict[str, Any]] = {}
    for name, asked in sets.items():
        print(f"  {name}: {len(asked.questions)} questions", flush=True)
        answering = Answering(model, static, asked.questions, asked.documents, asked.oracle, shots, section, config.seed)
        answers = answering.run(lambda line: print(f"  {line}", flush=True))
        results[name] = summarise(answering, answers, seconds or 0.0) | {"documents": asked.quality}
    result = results.pop("test") | {"machine": describe_machine()}
    also = {name: other | {"file": section.also[name].name} for name, other in results.items()}
    if also:
        result["also"] = also
    metrics = _metrics(result, write_report(result, folder))
    card = write_model_card(trained / "model", result, config.model.name, name_of_test_set(config.data))
    metrics["report"]["card"] = str(card)
    render_terminal(result)
    if also:
        metrics["also"] = {name: _metrics(other, write_report(other, folder / "also" / name)) for name, other in also.items()}
    return metrics


def _metrics(result: Mapping[str, Any], report: dict[str, str]) -> Metrics:
    names = [name for name in ("em", "f1", "subspan", *TOKEN_COLUMNS) if name in result["systems"]["aag"]]
    scores = {score: {name: values[score] for name, values in result["systems"].items()} for score in names}
    return scores | {"em_difference": result["differences"], "gate": result["gate"], "report": report}


def _shots(questions: Sequence[Question], count: int) -> list[Question]:
    """The first training questions that differ in relation, so that the examples show more than one kind of answer."""
    by_relation: Mapping[str, Question] = {question.relation or question.id: question for question in reversed(questions)}
    chosen = set(list(by_relation)[-count:])
    return [
        question
        for question in questions
        if by_relation.get(question.relation or question.id) is question and (question.relation or question.id) in chosen
    ]
