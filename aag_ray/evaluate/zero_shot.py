"""A model on the zero-shot tasks, as it is: result.json, table.md, predictions.jsonl."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aag_ray.artifacts import Manifest, Run, content_fingerprint, write_atomically, write_json
from aag_ray.config import EvaluateZeroShotConfig
from aag_ray.evaluate import zero_shot_tasks as tasks
from aag_ray.evaluate.intervals import bootstrap
from aag_ray.evaluate.long_texts import long_texts
from aag_ray.evaluate.machine import describe_machine
from aag_ray.evaluate.metrics import has_answer
from aag_ray.evaluate.truncation import truncated
from aag_ray.evaluate.zero_shot_files import KeyValueRow, LongTextRow, read_rows
from aag_ray.evaluate.zero_shot_table import table
from aag_ray.evaluate.zero_shot_tasks import Asked, Setting
from aag_ray.job import JobResult
from aag_ray.qa_files import QaFileError, read_passages, read_questions
from aag_ray.records import Outcome, Question

if TYPE_CHECKING:
    from aag_ray.llm.load import LoadedModel

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What became of one row. One that could not be asked has no text, counts as a miss, and `detail` says why."""

    id: str
    answers: tuple[str, ...]
    prediction: str = ""
    outcome: Outcome = Outcome.OK
    detail: str = ""
    prompt_tokens: int = 0
    cut: bool = False

    @property
    def asked(self) -> bool:
        return self.outcome in (Outcome.OK, Outcome.EMPTY_RESULT)


def evaluate_zero_shot(config: EvaluateZeroShotConfig, say: Say = print) -> JobResult:
    """Ask in every setting, and score the answers.

    Raises QaFileError for a file that cannot be used and for a setting in which no row can be asked; ModelNotFound, ModelError.
    """
    with Run.open((config.run.root / config.run.name).absolute(), fresh=config.run.fresh) as run:
        stage, expected = run.stage("evaluate"), content_fingerprint(config.model_dump(exclude={"run"}))
        if not stage.is_complete(expected):
            began = time.monotonic()
            metrics = _measure(config, stage.start(expected), say)
            seconds = time.monotonic() - began
            stage.commit(Manifest("evaluate", expected, config.model_dump(mode="json"), metrics, seconds=seconds))
        manifest = stage.manifest
        return JobResult(manifest.metrics if manifest else {}, {"evaluate": str(stage.folder)})


def _measure(config: EvaluateZeroShotConfig, folder: Path, say: Say) -> dict[str, Any]:
    from aag_ray.llm.load import load_model

    section = config.open_qa
    result: dict[str, Any] = {"model": config.model.name, "truncation": config.truncation, "machine": describe_machine()}
    questions, settings = settings_of(config)
    asked = questions[: section.rows] if "imagined" in section.modes else []
    documents = _by_generator(section.generator, asked) if asked and section.generator else []
    loaded = load_model(config.model)
    if asked:
        began = time.monotonic()
        written = answer(loaded, tasks.imagining(asked, section.max_document_tokens), config) if not documents else []
        documents = documents or [each.prediction for each in written]
        held = [float(has_answer(text, each.answers)) for text, each in zip(documents, asked, strict=True)]
        result["documents_that_hold_an_answer"] = bootstrap(held, config.bootstrap_samples, config.seed).to_dict()
        result["seconds_per_document"] = (time.monotonic() - began) / len(asked) if written else None
        settings.insert(len(section.modes) - 1, tasks.open_qa("imagined", asked, section, documents))
    lines: list[str] = []
    rows: dict[str, Any] = {}
    for setting in settings:
        began = time.monotonic()
        predictions = answer(loaded, setting, config)
        rows[setting.name] = summarise(setting, predictions, config)
        rows[setting.name]["seconds_per_question"] = (time.monotonic() - began) / len(predictions)
        lines += [json.dumps({"setting": setting.name} | asdict(each), ensure_ascii=False) for each in predictions]
        say(f"  {setting.name}: {len(predictions)} rows, {time.monotonic() - began:.1f} s")
    result |= {"context": context_of(loaded, config), "settings": rows}
    write_atomically(folder / "predictions.jsonl", "".join(f"{line}\n" for line in lines))
    write_json(folder / "result.json", result)
    write_atomically(folder / "table.md", table(result, config.questions.published))
    say(table(result, config.questions.published))
    return result


def settings_of(config: EvaluateZeroShotConfig) -> tuple[list[Question], list[Setting]]:
    """The questions, and every setting that can be made without a model. Raises QaFileError as `evaluate_zero_shot` does."""
    section, many, pairs, long = config.open_qa, config.multi_document, config.key_value, config.long_text
    count = max(section.rows, many.rows)
    questions = _questions(config)[:count] if count else []
    settings: list[Setting] = []
    if section.rows:
        modes = [mode for mode in section.modes if mode != "imagined"]
        settings += [tasks.open_qa(mode, questions[: section.rows], section) for mode in modes]
    if many.rows:
        settings += tasks.multi_document(questions[: many.rows], many, config.seed)
    if pairs.rows:
        made = tasks.made_key_values(pairs.rows, pairs.keys, config.seed)
        settings += tasks.key_value(read_rows(pairs.file, KeyValueRow, pairs.rows) if pairs.file else made, pairs)
    if long.file is not None:
        settings += long_texts(read_rows(long.file, LongTextRow), long)
    for setting in settings:
        if all(each.lacking for each in setting.asked):
            raise QaFileError(
                f"{setting.name}: none of {len(setting.asked)} rows can be asked; {setting.asked[0].lacking}. "
                "questions.passages names passages to retrieve from; modes, and rows=0, leave out what cannot be asked"
            )
    return questions, settings


def answer(loaded: LoadedModel, setting: Setting, config: EvaluateZeroShotConfig) -> list[Prediction]:
    """A prediction for every row, in order."""
    from aag_ray.evaluate.zero_shot_writing import write

    room = context_of(loaded, config) - (0 if loaded.is_encoder_decoder else setting.tokens)
    made = [fitted(loaded.tokenizer, asked, room, config) for asked in setting.asked]
    texts = [text for text, each in made if each.asked]
    written = iter(write(loaded, texts, setting.tokens, config.batch_tokens, lines=setting.lines))

    def answered(each: Prediction) -> Prediction:
        text = next(written).text
        return replace(each, prediction=text, outcome=Outcome.OK if text.strip() else Outcome.EMPTY_RESULT)

    return [answered(each) if each.asked else each for _, each in made]


def fitted(tokenizer: Any, asked: Asked, room: int, config: EvaluateZeroShotConfig) -> tuple[str, Prediction]:
    """The prompt in at most `room` tokens, and how it came about; the parts are cut where they have to be, and nothing else."""

    def measured(parts: Sequence[str]) -> tuple[str, int]:
        text = tasks.prompt_text(tokenizer, asked, parts)
        return text, len(tokenizer(text, verbose=False)["input_ids"])

    made = Prediction(asked.id, asked.answers)
    if asked.lacking:
        return "", replace(made, outcome=Outcome.NO_PASSAGES, detail=asked.lacking)
    text, size = measured(asked.parts)
    if size <= room:
        return text, replace(made, prompt_tokens=size)
    _, least = measured(())
    if least > room:
        told = f"{asked.id}: the question with its instructions has {least} tokens, the context has room for {room}"
        return "", replace(made, outcome=Outcome.QUESTION_TOO_LONG, detail=told)
    left = room - least
    while size > room:  # joined, texts may have more tokens than apart
        text, size = measured(truncated(tokenizer, asked.parts, left, config.truncation, f"{config.seed}-{asked.id}"))
        left -= max(1, size - room)
    return text, replace(made, prompt_tokens=size, cut=True)


def summarise(setting: Setting, predictions: Sequence[Prediction], config: EvaluateZeroShotConfig) -> dict[str, Any]:
    """Means in percent with intervals over all rows, how the rows ended, and what was read."""
    scores = {
        name: [measure(each.prediction, each.answers) if each.asked else 0.0 for each in predictions]
        for name, measure in setting.measures.items()
    }
    means = {name: bootstrap(each, config.bootstrap_samples, config.seed).to_dict() for name, each in scores.items()}
    return means | {
        "outcomes": dict(Counter(each.outcome.value for each in predictions)),
        "asked": sum(each.asked for each in predictions),
        "cut": sum(each.cut for each in predictions),
        "prompt_tokens": sum(each.prompt_tokens for each in predictions) / max(1, sum(each.asked for each in predictions)),
    }


def context_of(loaded: LoadedModel, config: EvaluateZeroShotConfig) -> int:
    """Tokens that the model reads and writes together."""
    known = (getattr(loaded.model.config, "max_position_embeddings", None), loaded.tokenizer.model_max_length)
    return config.context or min(int(limit) for limit in known if limit)


def _questions(config: EvaluateZeroShotConfig) -> list[Question]:
    from aag_ray.world import attach_contexts, build_world

    section = config.questions
    if section.file is None:
        return build_world(section.world, config.seed, section.contexts).questions["test"]
    questions = read_questions(section.file, skip_bad=section.skip_bad).questions
    pool = read_passages(section.passages) if section.passages else []
    bare = [question for question in questions if not question.contexts]
    found = {question.id: question for question in attach_contexts(bare, pool, section.contexts)}
    return [found.get(question.id, question) for question in questions]


def _by_generator(folder: Path, questions: Sequence[Question]) -> list[str]:
    from aag_ray.awaken.awakened import AwakeningModel

    inside = folder / "hypernetwork" / "model"
    generator = AwakeningModel.from_pretrained(inside if inside.exists() else folder).generator
    return [each.text for each in generator.write([each.id for each in questions], [each.question for each in questions])]
