"""What an instruction set is made of: requests and pages of a file, of a log, or of questions with known answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from aag_ray.config import BuildInstructionsConfig, InstructionsSection, RequestLogSection
from aag_ray.extract.examples import ExtractionExample
from aag_ray.extract.haystack import SOURCE as NEEDLE
from aag_ray.extract.instructions import InstructionRow

Count = Callable[[str], int]


def requests(config: BuildInstructionsConfig, folder: Path) -> tuple[list[InstructionRow], dict[str, Any]]:
    """A row for each window of each page: labelled already by gold, else waiting for a teacher. And counts of what was read.

    Pages that were fetched are kept in `folder`.
    """
    section = config.instructions
    if section.rows is None and section.log is None:
        return _of_questions(config), {}
    count = _counter(section)
    rows: list[InstructionRow] = []
    counts: dict[str, Any] = {}
    if section.rows is not None:
        rows, counts["refused_rows"] = _of_file(section, section.rows, count)
    if section.log is not None:
        logged, told = _of_log(config, section.log, count, folder)
        rows += logged
        counts |= told
    return rows, counts


def _of_questions(config: BuildInstructionsConfig) -> list[InstructionRow]:
    from aag_ray.extract.instructions import from_example, split_and_tag
    from aag_ray.extract.labelled import label_pages
    from aag_ray.world.questions import load_splits

    section, count = config.instructions, _counter(config.instructions)
    rows: list[InstructionRow] = []
    for split, questions in load_splits(config.data, config.seed)[0].items():
        for example in label_pages(questions, config.data, split, config.seed)[0]:
            if section.teacher == "gold":
                made = from_example(example, count, section.window_tokens)
            else:
                made = split_and_tag(example.id, example.question, example.page, count, section.window_tokens)
            rows += _known(made, example, split)
    return rows


def _known(rows: Iterable[InstructionRow], example: ExtractionExample, split: str) -> Iterator[InstructionRow]:
    """With the split, and with what is known of a needle."""
    language, depth = "", None
    if example.source == NEEDLE:
        language = example.page.language
        depth = example.spans[example.gold[0] - 1].start / len(example.page.text) if example.gold else None
    return (replace(row, split=split, language=language, depth=depth) for row in rows)


def _of_file(section: InstructionsSection, path: Path, count: Count) -> tuple[list[InstructionRow], int]:
    from aag_ray.extract.instructions import split_and_tag
    from aag_ray.extract.rows import read_rows

    rows: list[InstructionRow] = []
    refused = 0
    for each in read_rows(path):
        if each.detail:
            print(f"  refused: {each.detail}", flush=True)
            refused += 1
        for place, page in enumerate(each.pages):
            rows += split_and_tag(f"{each.id}/{place}", each.question, page.tagged.page, count, section.window_tokens)
    return rows, refused


def _of_log(
    config: BuildInstructionsConfig, log: RequestLogSection, count: Count, folder: Path
) -> tuple[list[InstructionRow], dict[str, Any]]:
    from aag_ray.extract.instructions import split_and_tag
    from aag_ray.extract.logged_pages import read_logged_pages
    from aag_ray.extract.request_log import mine_requests

    keys = {"request": log.request, "time": log.time, "searched": log.searched, "pages": log.pages}
    mined = mine_requests(log.path, log.start, log.end, **keys)
    for line in mined.refused:
        print(f"  refused: {log.path}, row {line.row}: {line.reason}", flush=True)
    rows: list[InstructionRow] = []
    outcomes: Counter[str] = Counter()
    for read in read_logged_pages(mined.requests, log.path, config.fetch, folder / "fetched.parquet"):
        outcomes[read.outcome] += 1
        if read.page is None:
            print(f"  {log.path}, row {read.request.row}: {read.outcome}: {read.detail}", flush=True)
            continue
        name, page = f"log:{read.request.row}/{read.place}", read.page.tagged.page
        rows += split_and_tag(name, read.request.request, page, count, config.instructions.window_tokens)
    told = {
        "requests": len(mined.requests),
        "requests without a page": sum(not request.pages for request in mined.requests),
        "refused lines": len(mined.refused),
        "outside the window": mined.outside,
        "without a search": mined.without_search,
        "repeated": mined.repeated,
    }
    return rows, {"log": told, "log_pages": dict(outcomes)}


def _counter(section: InstructionsSection) -> Count:
    from transformers import AutoTokenizer

    from aag_ray.llm.resolve import resolve_model

    tokenizer: Any = AutoTokenizer.from_pretrained(resolve_model(section.model.name))
    return lambda text: len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
