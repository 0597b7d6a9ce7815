"""`aag fetch`, `aag tag`, `aag search` and `aag world`: each part of the web alone, on the command line."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aag_ray.config import FetchSection, SearchSection
    from aag_ray.web.fetched import Fetched


class WebCommandError(ValueError):
    """The command line cannot be used. The message says what was wrong and what is allowed."""


def add_web_commands(commands: Any) -> None:
    """Add all four to argparse's subcommands."""
    fetch = commands.add_parser("fetch", help="read pages politely and under guard: one JSON outcome a line")
    fetch.add_argument("urls", nargs="+", metavar="URL")
    fetch.add_argument("--text", action="store_true", help="put the decoded body into the line")
    add_fetch_options(fetch)
    fetch.set_defaults(run=run_fetch)

    tag = commands.add_parser("tag", help="clean pages and cut them into spans with exact offsets")
    tag.add_argument("sources", nargs="+", metavar="FILE|URL", help="an HTML or text file, - for the standard input, or a URL")
    tag.add_argument("--json", action="store_true", help="one JSON object a line, with text, blocks and spans")
    tag.add_argument("--cleaner", choices=["lexbor", "trafilatura"], default="lexbor")
    add_fetch_options(tag)
    tag.set_defaults(run=run_tag)

    search = commands.add_parser("search", help="ask the configured search engines")
    search.add_argument("query")
    search.add_argument("--searxng", metavar="URL", help="ask this SearXNG instance")
    search.add_argument("--provider", metavar="KIND", help="ask brave, tavily, serper or google, its key in the environment")
    search.add_argument("--count", type=int, default=10)
    search.add_argument("--language", metavar="TAG")
    search.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="of the section search"
    )
    search.add_argument("--json", action="store_true", help="print one JSON object")
    search.set_defaults(run=run_search)

    world = commands.add_parser("world", help="the embedded world: build its files, or serve it as a local web", add_help=False)
    world.add_argument("arguments", nargs=argparse.REMAINDER)
    world.set_defaults(run=run_world)


def add_fetch_options(parser: argparse.ArgumentParser) -> None:
    """What every command that reads pages can be told about fetching."""
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="open an address that is not public, for example a test site",
    )
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="of the section fetch")


def run_fetch(arguments: argparse.Namespace) -> int:
    """Status 1 if any URL ended otherwise than `ok`."""
    section = _fetch_section(arguments)

    async def read() -> int:
        failed = 0
        async for fetched in _fetched(section, arguments.urls):
            row = fetched.to_row() | {"bytes": len(fetched.body)}
            del row["body"]
            if arguments.text:
                from aag_ray.web.encoding import decode_page

                row["text"] = decode_page(fetched.body, fetched.content_type).text
            print(json.dumps(row, ensure_ascii=False), flush=True)
            failed |= not fetched.ok
        return int(failed)

    return asyncio.run(read())


async def _fetched(section: FetchSection, urls: Sequence[str]) -> AsyncIterator[Fetched]:
    from aag_ray.web.fetch import Fetcher

    async with Fetcher(section) as fetcher:
        async for fetched in fetcher.fetch_all(dict.fromkeys(urls)):
            yield fetched


def run_tag(arguments: argparse.Namespace) -> int:
    """Status 1 if any source gave no page."""
    from aag_ray.config import PagesSection
    from aag_ray.pages.blocks import read_page
    from aag_ray.pages.plain import read_text
    from aag_ray.pages.spans import split_spans
    from aag_ray.pages.tags import tagged

    section, failed = PagesSection(cleaner=arguments.cleaner), False
    for source, text, outcome, detail in asyncio.run(read_sources(arguments)):
        result = None
        if text is not None:
            result = (read_page if text.lstrip()[:1] == "<" else read_text)(text, source, section)
            outcome, detail = result.outcome.value, result.detail
        page = result.page if result is not None else None
        spans = split_spans(page, section) if page is not None else ()
        failed |= page is None
        if arguments.json:
            told = page.to_row() if page is not None else {}
            row = {"source": source, "outcome": outcome, "detail": detail} | told
            print(json.dumps(row | {"spans": [span._asdict() for span in spans]}, ensure_ascii=False), flush=True)
        elif page is not None:
            print(tagged(page, spans))
        else:
            print(f"{source}: {outcome}: {detail}", file=sys.stderr)
    return int(failed)


async def read_sources(arguments: argparse.Namespace) -> list[tuple[str, str | None, str, str]]:
    """Each source with its text, or with an outcome and a detail, in the order given."""
    from aag_ray.web.encoding import decode_page

    remote = [source for source in arguments.sources if source.startswith(("http://", "https://"))]
    read: dict[str, tuple[str, str | None, str, str]] = {}
    if remote:
        async for fetched in _fetched(_fetch_section(arguments), remote):
            text = decode_page(fetched.body, fetched.content_type).text if fetched.ok else None
            read[fetched.url] = (fetched.final_url or fetched.url, text, fetched.outcome.value, fetched.detail)
    for source in arguments.sources:
        if source not in read:
            try:
                body = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
            except OSError as error:
                raise WebCommandError(f"cannot read {source}: {error.strerror or error}") from error
            read[source] = (source, decode_page(body).text, "ok", "")
    return [read[source] for source in arguments.sources]


def run_search(arguments: argparse.Namespace) -> int:
    """Status 1 if no engine answered."""
    from aag_ray.web.search.pool import SearchPool
    from aag_ray.web.search.request import SearchRequest

    section = _search_section(arguments)
    try:
        request = SearchRequest(arguments.query, count=arguments.count, language=arguments.language)
    except ValueError as error:
        raise WebCommandError(str(error)) from error

    async def ask() -> Any:
        async with SearchPool(section) as pool:
            return await pool.search(request)

    answer = asyncio.run(ask())
    if arguments.json:
        print(json.dumps(asdict(answer), ensure_ascii=False, default=str))
    else:
        for result in answer.results:
            print(f"{result.rank}. {result.title}\n   {result.url}\n   {result.snippet}")
        if not answer.ok or not answer.results:
            print(f"{answer.outcome}: {answer.detail}", file=sys.stderr)
    return int(not answer.ok)


def run_world(arguments: argparse.Namespace) -> int:
    """What `python -m aag_ray.world` does."""
    from aag_ray.world.__main__ import main

    main(arguments.arguments)
    return 0


def _fetch_section(arguments: argparse.Namespace) -> FetchSection:
    from aag_ray.config import FetchSection
    from aag_ray.settings import load_config

    allow = [f"guard.allow={json.dumps(arguments.allow)}"] if arguments.allow else []
    return load_config(FetchSection, None, [*allow, *arguments.settings])


def _search_section(arguments: argparse.Namespace) -> SearchSection:
    from aag_ray.config import SearchSection
    from aag_ray.settings import load_config

    providers = [{"kind": "searxng", "url": arguments.searxng}] if arguments.searxng else []
    if arguments.provider:
        providers.append({"kind": arguments.provider})
    given = [f"providers={json.dumps(providers)}"] if providers else []
    section = load_config(SearchSection, None, [*given, *arguments.settings])
    if not section.providers:
        raise WebCommandError("no search engine is named; say --searxng URL or --provider KIND")
    return section
