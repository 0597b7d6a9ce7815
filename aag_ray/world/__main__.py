"""The embedded world on the command line.

`python -m aag_ray.world build --out FOLDER` writes it as DPR/FiD files and prints its statistics;
`python -m aag_ray.world serve` makes it a local web with a search endpoint, on loopback addresses only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aag_ray.world.serve import LocalWeb


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one subcommand. `build` ends with one JSON object on stdout, `serve` begins with one and runs until it is stopped."""
    parser = argparse.ArgumentParser(prog="python -m aag_ray.world", description="The embedded world: real facts, no network.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="write train/dev/test questions with contexts, and all passages")
    build.add_argument("--out", type=Path, help="folder for train.jsonl, dev.jsonl, test.jsonl and passages.jsonl")
    build.add_argument("--seed", type=int, default=29)
    build.add_argument("--contexts", type=int, default=10, help="passages for each question")
    build.add_argument("settings", nargs="*", metavar="key=value", help="for example train_questions=500")
    serve = commands.add_parser("serve", help="serve the world as a local web with a search endpoint, until SIGINT or SIGTERM")
    serve.add_argument("--port", type=int, help="default 0: a free one, which the printed line names")
    serve.add_argument("--hosts", type=int, help="ordinary hosts, default 8, each on a loopback address of its own")
    serve.add_argument("--pages", type=int, help="articles on the ordinary hosts, default 4000")
    serve.add_argument("--seed", type=int, help="default 29")
    serve.add_argument("--bias", help="none, or spam: the search endpoint puts wrong answers first")
    serve.add_argument("--truth", type=Path, metavar="FILE", help="write what is true of every URL and question, as JSON lines")
    serve.add_argument("--json", action="store_true", help="print nothing but the JSON line")
    serve.add_argument("settings", nargs="*", metavar="key=value", help="for example crawl_delay=0 index=at_first_search")
    chosen = parser.parse_args(arguments)
    if chosen.command == "build":
        _build(parser, chosen.out, chosen.seed, chosen.contexts, chosen.settings)
    else:
        _serve(parser, chosen)


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


def _serve(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> None:
    from aag_ray.settings import ConfigError, load_config
    from aag_ray.world.serve import LocalWeb
    from aag_ray.world.site import SiteSection

    options = {key: getattr(chosen, key) for key in ("port", "hosts", "pages", "seed", "bias")}
    settings = [*chosen.settings, *(f"{key}={value}" for key, value in options.items() if value is not None)]
    try:
        web = LocalWeb(load_config(SiteSection, overrides=settings))
        asyncio.run(_until_stopped(web, chosen.truth, chosen.json))
    except (ConfigError, ImportError, ValueError, OSError) as error:
        parser.error(str(error))


async def _until_stopped(web: LocalWeb, truth: Path | None, quiet: bool) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with web.running():
        if truth is not None:
            with truth.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in web.truth())
        print(json.dumps(web.described()), flush=True)
        if not quiet:
            print(f"Serving {web.section.pages} articles on {len(web.site.hosts)} hosts; Ctrl-C stops.", file=sys.stderr)
        await stopped.wait()


if __name__ == "__main__":
    main()
