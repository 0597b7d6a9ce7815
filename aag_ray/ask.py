"""`aag ask`: questions from the command line or a file, answered by the base model or by AAG of the newest run."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aag_ray.records import Outcome

ROWS_AT_ONCE = 16


class AskError(ValueError):
    """The command line or the input file cannot be used. The message says what was wrong and what is allowed."""


@dataclass(frozen=True)
class Row:
    """One question of the input. `detail` says why a row cannot be asked."""

    id: str
    question: str
    document: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class Answer:
    """One line of output. `document` is what the reader had: given, or written by the generator. `seconds` is the row's
    share of its batch."""

    id: str
    answer: str | None
    outcome: Outcome
    seconds: float
    document: str | None = None
    detail: str = ""


def add_ask(commands: Any) -> None:
    parser = commands.add_parser("ask", help="answer a question, or a file of questions")
    parser.add_argument("question", nargs="?", help="the question")
    parser.add_argument(
        "--input", type=Path, metavar="FILE", help='JSON lines {"id", "question", "document"?}; answers likewise'
    )
    parser.add_argument("--mode", choices=("base", "aag"), default="aag", help="the base model alone, or AAG (default)")
    parser.add_argument("--document", type=Path, metavar="FILE", help="read this document instead of writing one")
    parser.add_argument("--document-in", choices=("text", "parameters", "both"), help="how the reader gets the document")
    parser.add_argument("--from", dest="folder", type=Path, metavar="RUN", help="a run (default: the newest below ./runs)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run_ask)


def run_ask(arguments: argparse.Namespace) -> int:
    """Status 0 if every row was answered."""
    if (arguments.question is None) == (arguments.input is None):
        raise AskError("give one question, or --input FILE")
    if arguments.mode == "base" and arguments.document_in not in (None, "text"):
        raise AskError(f"--document-in {arguments.document_in} needs --mode aag: the base model has no adapter")
    document = _read(arguments.document) if arguments.document else None
    rows = read_rows(arguments.input) if arguments.input else [Row("question", arguments.question, document)]
    answerer = Answerer(arguments.mode, arguments.folder, arguments.document_in)
    ok = True
    for answer in answerer.answer(rows):
        ok = ok and answer.outcome is Outcome.OK
        if arguments.input or arguments.json:
            print(json.dumps(asdict(answer), ensure_ascii=False), flush=True)
        else:
            if answer.document:
                print(f"document: {answer.document}", file=sys.stderr)
            print(answer.answer if answer.outcome is Outcome.OK else f"{answer.outcome}: {answer.detail}")
    return int(not ok)


class Answerer:
    """Loads what a mode needs, once, and answers rows in batches."""

    def __init__(self, mode: str, run: Path | None = None, document_in: Any = None, model: str | None = None) -> None:
        from aag_ray.artifacts import newest_run
        from aag_ray.awaken.awakened import AwakeningModel
        from aag_ray.config import ModelSection
        from aag_ray.llm.engine import TransformersEngine
        from aag_ray.llm.load import load_model

        self.document_in = document_in
        if mode == "aag":
            folder = (run or newest_run(Path("runs"), "hypernetwork").folder) / "hypernetwork" / "model"
            if not folder.exists():
                raise AskError(f"no trained model in {folder}; `make train` makes one, --mode base asks without")
            self.model: AwakeningModel | None = AwakeningModel.from_pretrained(folder)
            self.engine = self.model.engine
        else:
            self.model = None
            self.engine = TransformersEngine(load_model(ModelSection(name=model) if model else ModelSection()))

    def answer(self, rows: Iterable[Row]) -> Iterator[Answer]:
        """One answer per row, in order; a row that cannot be asked gets the outcome `failed` and its detail."""
        waiting: list[Row] = []
        for row in rows:
            waiting.append(row)
            if len(waiting) == ROWS_AT_ONCE:
                yield from self._answer_batch(waiting)
                waiting = []
        yield from self._answer_batch(waiting)

    def _answer_batch(self, rows: Sequence[Row]) -> Iterator[Answer]:
        good = [row for row in rows if not row.detail]
        began = time.perf_counter()
        documents, texts = self._documents_and_texts(good) if good else ([], [])
        seconds = round((time.perf_counter() - began) / max(len(good), 1), 4)
        answered = iter(zip(documents, texts, strict=True))
        for row in rows:
            if row.detail:
                yield Answer(row.id, None, Outcome.FAILED, 0.0, detail=row.detail)
                continue
            document, text = next(answered)
            outcome = Outcome.OK if text else Outcome.EMPTY_RESULT
            yield Answer(row.id, text, outcome, seconds, document, "" if text else "the model wrote nothing")

    def _documents_and_texts(self, rows: Sequence[Row]) -> tuple[list[str | None], list[str]]:
        from aag_ray import prompts

        questions, documents = [row.question for row in rows], [row.document for row in rows]
        if self.model is None:
            tokenizer: Any = self.engine.loaded.tokenizer
            asked = [prompts.zero_shot_prompt(tokenizer, row.question, row.document) for row in rows]
            return documents, [written.text for written in self.engine.generate(asked, max_new_tokens=32)]
        missing = [number for number, row in enumerate(rows) if row.document is None]
        written = self.model.generator.write([""] * len(missing), [questions[number] for number in missing])
        for number, document in zip(missing, written, strict=True):
            documents[number] = document.text
        return documents, [written.text for written in self.model.read(questions, documents, self.document_in)]


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSON-lines file. A line that is no question becomes a row with its reason; ids default to the line."""
    for number, line in enumerate(_read(path).splitlines(), start=1):
        if line.strip():
            yield _row(line, f"{path}:{number}", str(number))


def _row(line: str, place: str, default: str) -> Row:
    try:
        value = json.loads(line)
    except ValueError as error:
        return Row(default, "", detail=f"{place}: not JSON ({error})")
    if not isinstance(value, dict):
        return Row(default, "", detail=f'{place}: expected {{"id", "question", "document"?}}, found {type(value).__name__}')
    name, question, document = str(value.get("id", default)), value.get("question"), value.get("document")
    if not isinstance(question, str) or not question.strip():
        return Row(name, "", detail=f"{place}: question must be text, not {question!r}")
    if document is not None and not isinstance(document, str):
        return Row(name, "", detail=f"{place}: document must be text, not {document!r}")
    return Row(name, question, document)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise AskError(f"{path} is not UTF-8 text: {error}") from error
    except OSError as error:
        raise AskError(f"cannot read {path}: {error.strerror or error}") from error
