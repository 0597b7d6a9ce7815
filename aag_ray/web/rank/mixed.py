"""Mixed ranking in two stages: search results by their snippets before anything is read, pages by their text after.

ranker = Ranker(RankSection(), embed=embedder.embed, originals=duplicates.originals)
to_read = ranker.rank_snippets(question, answer.results).items
ranking = ranker.rank_pages(question, pages)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, TypeVar

from aag_ray.config import RankSection
from aag_ray.web.rank.chunks import chunks
from aag_ray.web.rank.fusion import Vote, fuse, total
from aag_ray.web.rank.hosts import publisher
from aag_ray.web.rank.lexical import bm25
from aag_ray.web.rank.ranked import Dropped, DropReason, PageText, Ranked, Ranking, Signal
from aag_ray.web.rank.stuffing import stuffing
from aag_ray.web.search.answer import SearchResult
from aag_ray.web.urls import canonical_url

if TYPE_CHECKING:
    import numpy as np

Embed = Callable[[list[str]], "np.ndarray"]
Score = Callable[[str, list[str]], Sequence[float]]
Originals = Callable[[list[str]], Sequence[int]]
Item = TypeVar("Item", SearchResult, PageText)


@dataclass(frozen=True, slots=True)
class Pieces:
    """The texts of one item that are compared with the question, and when it was published."""

    texts: list[str]
    published: date | None


class Ranker:
    """Ranks under one configuration. What is not given takes no part.

    `embed` gives one row a text, float32 [n, d], rows of length 1; `score` is a cross-encoder: higher is more relevant.
    `originals` gives for each text the index of the first one that it nearly repeats, its own if none.
    """

    def __init__(
        self,
        config: RankSection,
        *,
        embed: Embed | None = None,
        score: Score | None = None,
        originals: Originals | None = None,
    ) -> None:
        self.config = config
        self.embed = embed
        self.score = score
        self.originals = originals

    def rank_snippets(
        self,
        query: str,
        results: Sequence[SearchResult],
        *,
        time_sensitive: bool = False,
        today: date | None = None,
        keep: int | None = None,
    ) -> Ranking[SearchResult]:
        """Order results by title and snippet: which pages are worth reading. Keeps `snippets_kept`, or `keep`.

        Age counts only for a `time_sensitive` question, and only where a date is known; `today` (UTC) is what it counts from.
        """
        pieces = [Pieces([_shown(each)], each.published) for each in results]
        votes = self._votes(query, results, pieces, (today or datetime.now(UTC).date()) if time_sensitive else None)
        ranked = self._ranked(results, results, votes)
        return self._kept(ranked, lambda each: each, _shown, keep or self.config.snippets_kept)

    def rank_pages(
        self,
        query: str,
        pages: Sequence[PageText],
        *,
        time_sensitive: bool = False,
        today: date | None = None,
        keep: int | None = None,
    ) -> Ranking[PageText]:
        """Order pages by what stands in them: a page is as good as its best chunk, and worse for repeating one phrase.

        Keeps `pages_kept`, or `keep`.
        """
        pieces = [self._pieces(page) for page in pages]
        results = [page.result for page in pages]
        votes = self._votes(query, results, pieces, (today or datetime.now(UTC).date()) if time_sensitive else None)
        ranked = self._ranked(pages, results, votes, [stuffing(page.text) for page in pages])
        return self._kept(ranked, lambda each: each.result, lambda each: each.text, keep or self.config.pages_kept)

    def _pieces(self, page: PageText) -> Pieces:
        title = page.title or page.result.title
        parts = chunks(page.text, self.config.chunk_words, self.config.overlap_words)
        return Pieces(
            [f"{title}\n{part}" for part in parts[: self.config.chunks_read]], page.published or page.result.published
        )

    def _votes(self, query: str, results: Sequence[SearchResult], pieces: Sequence[Pieces], today: date | None) -> list[Vote]:
        weights = self.config.weights
        matches = _by_item(pieces, bm25(query, [text for each in pieces for text in each.texts]))
        best = [max(range(len(each)), key=each.__getitem__) for each in matches]
        votes = self._engines(results)
        found = {item: max(each) for item, each in enumerate(matches) if max(each) > 0}
        votes.append(Vote("lexical", weights.lexical, found))
        if self.embed is not None and weights.embedding > 0 and pieces:
            similar, best = self._similar(query, pieces, matches)
            votes.append(Vote("embedding", weights.embedding, similar))
        if today is not None:
            votes.append(self._recent(pieces, today))
        if self.score is not None and weights.cross_encoder > 0 and pieces:
            scores = [total(signals) for signals in fuse(len(pieces), votes, self.config.k)]
            first = sorted(range(len(pieces)), key=lambda item: -scores[item])[: self.config.cross_encoded]
            judged = self.score(query, [pieces[item].texts[best[item]] for item in first])
            votes.append(Vote("cross_encoder", weights.cross_encoder, dict(zip(first, map(float, judged), strict=True))))
        return votes

    def _engines(self, results: Sequence[SearchResult]) -> list[Vote]:
        """One vote for each engine. They share the weight, so that asking more engines does not outvote the content."""
        ranks: dict[str, dict[int, float]] = {}
        for item, result in enumerate(results):
            for engine, rank in result.ranks or ((result.engine, result.rank),):
                ranks.setdefault(engine, {})[item] = -float(rank)
        share = {engine: self.config.engines.get(engine, 1.0) for engine in ranks}
        whole = sum(share.values()) or 1.0
        weight = self.config.weights.engine
        return [Vote(f"engine:{engine}", weight * share[engine] / whole, ranks[engine]) for engine in sorted(ranks)]

    def _similar(
        self, query: str, pieces: Sequence[Pieces], matches: Sequence[Sequence[float]]
    ) -> tuple[dict[int, float], list[int]]:
        """Each item's cosine similarity by its closest piece, and which piece that is."""
        assert self.embed is not None
        chosen = [
            sorted(range(len(each)), key=lambda piece, each=each: (-each[piece], piece))[: self.config.embedded_chunks]
            for each in matches
        ]
        texts = [pieces[item].texts[piece] for item, picked in enumerate(chosen) for piece in picked]
        vectors = self.embed([query, *texts])
        similarities = iter((vectors[1:] @ vectors[0]).tolist())
        by_piece = [{piece: next(similarities) for piece in picked} for picked in chosen]
        best = [max(each, key=each.__getitem__) for each in by_piece]
        return {item: by_piece[item][piece] for item, piece in enumerate(best)}, best

    def _recent(self, pieces: Sequence[Pieces], today: date) -> Vote:
        """Age as a vote that fades with its half-life: among old pages it hardly matters which is the least old."""
        ages = {item: (today - each.published).days for item, each in enumerate(pieces) if each.published is not None}
        # A day of slack for time zones; what claims to come from later than that has no date.
        known = {item: max(0, days) for item, days in ages.items() if days >= -1}
        strengths = {item: 0.5 ** (days / self.config.half_life_days) for item, days in known.items()}
        return Vote("recency", self.config.weights.recency, {item: -float(days) for item, days in known.items()}, strengths)

    def _ranked(
        self, items: Sequence[Item], results: Sequence[SearchResult], votes: list[Vote], stuffed: Sequence[float] = ()
    ) -> list[Ranked[Item]]:
        signals = fuse(len(items), votes, self.config.k)
        for item, share in enumerate(stuffed):
            if share > 0:
                lost = -self.config.stuffing_penalty * share * total(signals[item])
                signals[item] = (*signals[item], Signal("stuffing", 1, share, self.config.stuffing_penalty, lost))
        # Equal scores: the better place in the merged list, then the address, never the order of coming.
        order = sorted(
            range(len(items)),
            key=lambda item: (-total(signals[item]), results[item].rank, canonical_url(results[item].url)),
        )
        return [Ranked(items[item], rank, total(signals[item]), signals[item]) for rank, item in enumerate(order, 1)]

    def _kept(
        self,
        ranked: Sequence[Ranked[Item]],
        result: Callable[[Item], SearchResult],
        text: Callable[[Item], str],
        keep: int,
    ) -> Ranking[Item]:
        originals = self.originals([text(each.item) for each in ranked]) if self.originals else range(len(ranked))
        kept: list[Ranked[Item]] = []
        dropped: list[Dropped[Item]] = []
        by_host: dict[str, int] = {}
        shown: dict[int, str] = {}
        for each, original in zip(ranked, originals, strict=True):
            url = result(each.item).url
            host = publisher(url)
            if original in shown:
                dropped.append(Dropped(each, DropReason.NEAR_DUPLICATE, shown[original]))
            elif by_host.get(host, 0) >= self.config.per_host:
                dropped.append(Dropped(each, DropReason.HOST_CAP, host))
            elif len(kept) >= keep:
                dropped.append(Dropped(each, DropReason.BELOW_LIMIT))
            else:
                by_host[host] = by_host.get(host, 0) + 1
                shown[original] = url
                kept.append(Ranked(each.item, len(kept) + 1, each.score, each.signals))
        return Ranking(tuple(kept), tuple(dropped))


def _shown(result: SearchResult) -> str:
    return f"{result.title}\n{result.snippet}"


def _by_item(pieces: Sequence[Pieces], values: Sequence[float]) -> list[list[float]]:
    left = iter(values)
    return [[next(left) for _ in each.texts] for each in pieces]
