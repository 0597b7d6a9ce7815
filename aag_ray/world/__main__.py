"""`python -m aag_ray.world build --out FOLDER`: write the embedded world as DPR/FiD files and print its statistics."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one subcommand. The last line on stdout is one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m aag_ray.world", description="The embedded world: real facts, no network.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="write train/dev/test questions with contexts, and all passages")
    build.add_argument("--out", type=Path, help="folder for train.jsonl, dev.jsonl, test.jsonl and passages.jsonl")
    build.add_argument("--seed", type=int, default=29)
    build.add_argument("--contexts", type=int, default=10, help="passages for each question")
    build.add_argument("settings", nargs="*", metavar="key=value", help="for example train_questions=500")
    chosen = parser.parse_args(arguments)
    _build(parser, chosen.out, chosen.seed, chosen.contexts, chosen.settings)


def _build(parser: argparse.ArgumentParser, out: Path | None, seed: int, contexts: int, settings: Sequence[str]) -> None:
    from aag_ray.config import WorldSection
    from aag_ray.settings import ConfigError, load_config
    from aag_ray.world import build_world, write_dpr

    try:
        world = build_world(load_config(WorldSection, overrides=settings), seed, contexts)
    except (ConfigError, ImportError, ValueError) as error:
        parser.error(str(error))
    if out is not None:
        for split, questions in world.questions.items():
            write_dpr(questions, out / f"{split}.jsonl")
        rows = ({"id": row["id"], "title": row["title"], "text": row["text"]} for row in map(asdict, world.passages))
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (out / "passages.jsonl").write_text(lines, encoding="utf-8")
    print(json.dumps(world.statistics()))


if __name__ == "__main__":
    main()
