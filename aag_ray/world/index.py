"""The search engine of the local web: BM25 (tantivy, in memory) over the articles of the ordinary and spam hosts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aag_ray.world.articles import article
from aag_ray.world.retrieval import words
from aag_ray.world.site import Page, Site, Style

TITLE_WEIGHT = 2.0
SNIPPET_CHARACTERS = 300
MAX_QUERY_WORDS = 64


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched, and where. `since` is a day as `date.toordinal`; `hosts` are names, `refused` those left out."""

    text: str
    language: str = ""
    since: int = 0
    hosts: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    style: Style | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One found page, the text of it that has most of the query's words, and the engine's score."""

    page: Page
    title: str
    snippet: str
    score: float


class PageIndex:
    """An index of every article of a site. Building it reads each article once; the articles themselves are not kept.

    Words are compared as `retrieval.words` writes them, so that the symbol `In` is not the word `in`.
    """

    def __init__(self, site: Site) -> None:
        import tantivy

        self.site = site
        builder = tantivy.SchemaBuilder()
        for field in ("title", "body"):
            builder.add_text_field(field, tokenizer_name="whitespace", index_option="freq")
        for field in ("language", "style", "host"):
            builder.add_text_field(field, tokenizer_name="raw", index_option="basic")
        builder.add_unsigned_field("number", stored=True, fast=True)
        builder.add_unsigned_field("day", indexed=True, fast=True)
        self.schema = builder.build()
        index = tantivy.Index(self.schema)
        writer = index.writer(heap_size=50_000_000, num_threads=1)  # one thread: the same order of documents every time
        for page in site.articles():
            writer.add_document(tantivy.Document.from_dict(self._fields(page), self.schema))
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        self.searcher = index.searcher()
        self.size = self.searcher.num_docs

    def search(self, query: Query, limit: int, offset: int = 0) -> tuple[list[Hit], int]:
        """The `limit` best pages after the first `offset`, best first, and how many match in all. Equal scores by number."""
        asked = list(dict.fromkeys(words(query.text)))[:MAX_QUERY_WORDS]
        if not asked:
            return [], 0
        found = self.searcher.search(self._query(query, asked), limit=offset + limit + 20, count=True)
        numbered = [(-score, self.searcher.doc(address)["number"][0]) for score, address in found.hits]
        weights = self._weights(asked)
        kept = sorted(numbered)[offset : offset + limit]
        count = found.count  # pyright: ignore[reportAttributeAccessIssue]  (left out of the stubs)
        return [self._hit(self.site.numbered(number), -negative, weights) for negative, number in kept], count

    def _fields(self, page: Page) -> dict[str, Any]:
        title, *texts = article(self.site, page).texts()
        return {
            "title": " ".join(words(title)), "body": " ".join(word for text in texts for word in words(text)),
            "language": self.site.language(page), "style": str(page.host.style), "host": page.host.name,
            "number": page.number, "day": self.site.day(page).toordinal(),
        }  # fmt: skip

    def _query(self, query: Query, asked: Sequence[str]) -> Any:
        from tantivy import FieldType, Occur
        from tantivy import Query as Q

        def term(field: str, word: str) -> Any:
            return Q.term_query(
                self.schema, field, word, index_option="basic" if field in ("language", "style", "host") else "freq"
            )

        def any_of(queries: Iterable[Any]) -> Any:
            return Q.boolean_query([(Occur.Should, each) for each in queries])

        texts = [term("body", word) for word in asked]
        texts += [Q.boost_query(term("title", word), TITLE_WEIGHT) for word in asked]
        parts = [(Occur.Must, any_of(texts))]
        chosen = {"language": (query.language,), "host": query.hosts, "style": (str(query.style),) if query.style else ()}
        for field, values in chosen.items():
            if any(values):
                parts.append((Occur.Must, Q.const_score_query(any_of(term(field, value) for value in values), 0.0)))
        parts += [(Occur.MustNot, term("host", host)) for host in query.refused]
        if query.since:
            newer = Q.range_query(self.schema, "day", FieldType.Unsigned, lower_bound=query.since)
            parts.append((Occur.Must, Q.const_score_query(newer, 0.0)))
        return Q.boolean_query(parts)

    def _weights(self, asked: Sequence[str]) -> dict[str, float]:
        """How much a word says: the fewer pages have it, the more."""
        return {word: 1.0 / (1 + self.searcher.doc_freq("body", word)) for word in asked}

    def _hit(self, page: Page, score: float, weights: dict[str, float]) -> Hit:
        told = article(self.site, page)
        title, *texts = told.texts()
        best = max(texts, key=lambda text: sum(weights.get(word, 0.0) for word in set(words(text))))
        cut = best if len(best) <= SNIPPET_CHARACTERS else best[: SNIPPET_CHARACTERS - 1].rsplit(" ", 1)[0] + "…"
        return Hit(page, title, cut, score)
