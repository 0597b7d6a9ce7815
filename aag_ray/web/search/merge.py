"""Several engines' lists as one, each page once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from aag_ray.web.search.answer import SearchResult
from aag_ray.web.urls import canonical_url

K = 60


def merged(lists: Iterable[Sequence[SearchResult]]) -> tuple[SearchResult, ...]:
    """One list of all results, best first, with every engine's rank for a page in `ranks`.

    Two results are one page if their canonical URLs are equal. The first list's spelling and title are kept, the longest
    snippet, the first date. The order is by reciprocal ranks, equal ones as they came.
    """
    pages: dict[str, SearchResult] = {}
    for result in (result for results in lists for result in results):
        key = canonical_url(result.url)
        pages[key] = _joined(pages[key], result) if key in pages else result
    ordered = sorted(pages.values(), key=lambda page: -sum(1 / (K + rank) for _, rank in page.ranks))
    return tuple(replace(page, rank=rank) for rank, page in enumerate(ordered, 1))


def _joined(page: SearchResult, other: SearchResult) -> SearchResult:
    ranks = dict(page.ranks)
    for engine, rank in other.ranks:
        ranks[engine] = min(rank, ranks.get(engine, rank))
    return replace(
        page,
        title=page.title or other.title,
        snippet=max(page.snippet, other.snippet, key=len),
        published=page.published or other.published,
        ranks=tuple(ranks.items()),
    )
