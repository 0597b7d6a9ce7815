"""The pages of logged requests: those that the log holds, files beside it, and the web by way of the guarded fetcher."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from aag_ray.artifacts import read_table, write_table
from aag_ray.config import FetchSection
from aag_ray.extract.build import CleanedPage, tag_page
from aag_ray.extract.request_log import LoggedPage, LoggedRequest
from aag_ray.pages.page import PageOutcome


class ReadPage(NamedTuple):
    """A page of a request, by its place in the request's list. `page` is None where `outcome` is not ok."""

    request: LoggedRequest
    place: int
    page: CleanedPage | None
    outcome: str
    detail: str = ""


def read_logged_pages(requests: Sequence[LoggedRequest], log: Path, fetch: FetchSection, fetched: Path) -> list[ReadPage]:
    """Every page of every request, in their order.

    The table `fetched` keeps the pages of the web, so that none is asked for twice, even by a later call; one that could not
    be read is asked for again. Files are read only below the folder of `log`: a log may hold what strangers wrote.
    """
    named = (page.place for request in requests for page in request.pages if page.text is None and _on_web(page.place))
    web = _from_web(dict.fromkeys(named), fetch, fetched)
    found: list[ReadPage] = []
    for request in requests:
        for place, page in enumerate(request.pages):
            text, outcome, detail = _text_of(page, log.parent, web)
            if text is None:
                found.append(ReadPage(request, place, None, outcome, detail))
                continue
            kind = None if page.text is None else page.kind
            cleaned = tag_page(text, page.place, kind=kind)
            ok = cleaned.outcome is PageOutcome.OK
            found.append(ReadPage(request, place, cleaned if ok else None, cleaned.outcome.value, cleaned.detail))
    return found


def _on_web(place: str) -> bool:
    return place.startswith(("http://", "https://"))


def _text_of(page: LoggedPage, folder: Path, web: Mapping[str, tuple[str | None, str, str]]) -> tuple[str | None, str, str]:
    """The text, or an outcome and a detail that say why there is none."""
    if page.text is not None:
        return page.text, "ok", ""
    if page.place in web:
        return web[page.place]
    from aag_ray.web.encoding import decode_page

    try:
        path = (folder / page.place).resolve()
        if not path.is_relative_to(folder.resolve()):
            return None, "file_refused", f"{page.place} is not below {folder}, the folder of the log"
        return decode_page(path.read_bytes()).text, "ok", ""
    except (OSError, ValueError) as error:
        return None, "file_unreadable", f"{page.place}: {getattr(error, 'strerror', None) or error}"


def _from_web(urls: Iterable[str], fetch: FetchSection, table: Path) -> dict[str, tuple[str | None, str, str]]:
    known = {row["url"]: row["text"] for row in (read_table(table) if table.exists() else [])}
    missing = [url for url in urls if url not in known]
    ended = asyncio.run(_fetched(missing, fetch)) if missing else {}
    known |= {url: text for url, (text, _, _) in ended.items() if text is not None}
    if missing and known:
        write_table(table, [{"url": url, "text": text} for url, text in known.items()])
    return {url: (text, "ok", "") for url, text in known.items()} | ended


async def _fetched(urls: Sequence[str], fetch: FetchSection) -> dict[str, tuple[str | None, str, str]]:
    from aag_ray.web.encoding import decode_page
    from aag_ray.web.fetch import Fetcher

    ended: dict[str, tuple[str | None, str, str]] = {}
    async with Fetcher(fetch) as fetcher:
        async for one in fetcher.fetch_all(urls):
            text = decode_page(one.body, one.content_type).text if one.ok else None
            ended[one.url] = (text, one.outcome.value, one.detail)
    return ended
