"""`aag extract`: what of some pages helps to answer a question, shown on the page or as JSON; many rows at once from a file."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aag_ray.web_commands import add_fetch_options, read_sources

if TYPE_CHECKING:
    from aag_ray.extract.evidence import Extraction, Extractor, PageEvidence, TaggedPage

FORM = '{"id", "question", "pages": [{"url", "html" or "text"}]}'
EXTRACTORS = ("scorer", "tags", "bm25", "embedding", "all")


class ExtractCommandError(ValueError):
    """The command line or the input file cannot be used. The message says what was wrong and what is allowed."""


def add_extract(commands: Any) -> None:
    parser = commands.add_parser("extract", help="the spans of pages that help to answer a question")
    parser.add_argument(
        "sources", nargs="*", metavar="FILE|URL", help="an HTML or text file, - for the standard input, or a URL"
    )
    parser.add_argument("--question", help="what the evidence is for")
    parser.add_argument("--input", type=Path, metavar="FILE", help=f"JSON lines {FORM}; results likewise")
    parser.add_argument("--extractor", choices=EXTRACTORS, help="how spans are chosen (default scorer)")
    parser.add_argument("--budget", type=_share, metavar="SHARE", help="of the pages' tokens, at most (default 0.2)")
    parser.add_argument("--threshold", type=_share, metavar="SCORE", help="below it a span is no evidence")
    parser.add_argument("--model", help="the encoder, or the language model for --extractor tags")
    parser.add_argument("--checkpoint", metavar="FOLDER", help="a trained extractor (default: the newest scorer in ./runs)")
    parser.add_argument("--untrained", action="store_true", help="leave trained scorers in ./runs alone")
    parser.add_argument("--why", action="store_true", help="let the language model say what it found in its tags' spans")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_fetch_options(parser)
    parser.set_defaults(run=run_extract)


def run_extract(arguments: argparse.Namespace) -> int:
    """Status 1 if a line or source could not be read, or a model failed. That nothing is relevant is a result."""
    if bool(arguments.input) == bool(arguments.sources):
        raise ExtractCommandError("give --question and at least one FILE or URL, or --input FILE")
    if arguments.input and arguments.question is not None:
        raise ExtractCommandError(f"--question cannot be used with --input: {arguments.input} holds the questions")
    if arguments.sources and not (arguments.question or "").strip():
        raise ExtractCommandError("--question is missing: evidence is always for a question")
    if arguments.why and arguments.extractor not in (None, "tags"):
        raise ExtractCommandError(f"--why needs --extractor tags, not {arguments.extractor}: only a language model writes")
    if arguments.untrained and arguments.checkpoint:
        raise ExtractCommandError(f"--untrained contradicts --checkpoint {arguments.checkpoint}; give one of the two")
    if arguments.why and arguments.input:
        raise ExtractCommandError("--why shows pages to people and cannot be used with --input")
    return _run_rows(arguments) if arguments.input else _run_sources(arguments)


def _run_sources(arguments: argparse.Namespace) -> int:
    from aag_ray.extract.build import tag_page
    from aag_ray.extract.scoring import check_question
    from aag_ray.pages.page import PageOutcome

    try:
        check_question(arguments.question)
    except ValueError as error:
        raise ExtractCommandError(f"--question: {error}") from error
    pages: list[TaggedPage] = []
    unread: list[dict[str, str]] = []
    for source, text, outcome, detail in asyncio.run(read_sources(arguments)):
        if text is not None:
            cleaned = tag_page(text, source)
            outcome, detail = cleaned.outcome.value, cleaned.detail
            if cleaned.outcome is PageOutcome.OK:
                pages.append(cleaned.tagged)
        if outcome != PageOutcome.OK.value:
            unread.append({"url": source, "outcome": outcome, "detail": detail})
    extraction, why = _extracted(arguments, pages)
    if arguments.json:
        row = extraction.to_row() | ({"why": why} if arguments.why else {}) | {"unread": unread}
        print(json.dumps(row, ensure_ascii=False))
    else:
        _show(pages, extraction, why)
        for each in unread:
            print(f"{each['url']}: {each['outcome']}: {each['detail']}", file=sys.stderr)
    return int(bool(unread) or _failed(extraction))


def _extracted(arguments: argparse.Namespace, pages: Sequence[TaggedPage]) -> tuple[Extraction, list[dict[str, Any]]]:
    extractor = _extractor(arguments)
    if not arguments.why:
        return extractor.extract(arguments.question, pages), []
    from aag_ray.extract.tag_model import TagExtractor

    assert isinstance(extractor, TagExtractor)
    extraction, explained = extractor.explain(arguments.question, pages)
    return extraction, [asdict(each) for each in explained]


def _run_rows(arguments: argparse.Namespace) -> int:
    from aag_ray.extract.rows import read_rows
    from aag_ray.pages.page import PageOutcome

    rows = read_rows(arguments.input)
    extractor: Extractor | None = None
    status = 0
    for row in rows:
        if row.detail:
            status = 1
            result: dict[str, Any] = {"id": row.id, "outcome": "invalid", "detail": row.detail}
        else:
            extractor = extractor or _extractor(arguments)
            extraction = extractor.extract(row.question, [page.tagged for page in row.pages])
            result = {"id": row.id} | extraction.to_row()
            for told, page in zip(result["pages"], row.pages, strict=True):
                if page.outcome is not PageOutcome.OK:
                    told["detail"] = f"{page.outcome}: {page.detail}"
            status |= _failed(extraction)
        print(json.dumps(result, ensure_ascii=False), flush=True)
    return status


def _extractor(arguments: argparse.Namespace) -> Extractor:
    from aag_ray.extract.build import build_extractor, with_newest_scorer

    section = _section(arguments)
    return build_extractor(section if arguments.untrained else with_newest_scorer(section, Path("runs")))


def _section(arguments: argparse.Namespace) -> Any:
    from aag_ray.config import ExtractSection
    from aag_ray.settings import load_config

    given = {"extractor": "tags" if arguments.why else arguments.extractor, "model.name": arguments.model}
    if arguments.model and given["extractor"] != "tags":
        given["model.dtype"] = "float32"  # the default of encoders
    given |= {name: getattr(arguments, name) for name in ("budget", "threshold", "checkpoint")}
    overrides = [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]
    return load_config(ExtractSection, None, overrides)


def _failed(extraction: Extraction) -> bool:
    return any(page.outcome == "model_failed" for page in extraction.pages)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value


def _show(pages: Sequence[TaggedPage], extraction: Extraction, why: Sequence[dict[str, Any]]) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for page, found in zip(pages, extraction.pages, strict=True):
        console.print(_highlighted(page, found))
        spans = f"{len(found.evidence)} span{'s' * (len(found.evidence) != 1)}"
        kept = f"{spans}, {found.tokens_kept} of {found.tokens_in} tokens"
        told = f" ({found.detail})" if found.detail else ""
        console.print(f"-- {found.url or 'the page'}: {found.outcome}, {kept}{told}\n", style="bold", markup=False)
    for each in why:
        console.print(f"{each['url']}:\n{each['text']}\n", markup=False)
    sums = f"{extraction.tokens_kept} of {extraction.tokens_in} tokens, {extraction.seconds:.2f} s"
    console.print(f"{extraction.extractor}: {extraction.outcome}, {sums}", style="bold", markup=False)


def _highlighted(page: TaggedPage, found: PageEvidence) -> Any:
    """The page's text. Before each kept span stands its tag, so that it is seen without colours too."""
    from rich.text import Text

    shown, position = Text(), 0
    for each in found.evidence:
        shown.append(page.page.text[position : each.start])
        shown.append(f"<T-{each.tag} {each.score:.2f}> ", style="cyan")
        shown.append(each.text, style="bold reverse")
        position = each.end
    return shown.append(page.page.text[position:])
