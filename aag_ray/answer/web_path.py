"""The way through the web: search, choose, fetch and clean at once, rank, extract. Every end is an outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate

from aag_ray.answer.allowance import Allowance, Degradation, GivenUp
from aag_ray.answer.event import AnswerEvent, Sources
from aag_ray.answer.memory_path import BROKEN
from aag_ray.answer.page_reading import cleaned, ranking_text
from aag_ray.answer.parsed import MAX_CHARACTERS, ParsedRequest
from aag_ray.answer.parts import AsyncExtractor, Fetch, PageRanker, Search, Unavailable
from aag_ray.answer.provenance import WebOutcome
from aag_ray.answer.request import Filters
from aag_ray.answer.source import ReadPage, Source, SourceState
from aag_ray.answer.stages import Stages
from aag_ray.config import AnswerSection, PagesSection
from aag_ray.extract.evidence import Evidence, Extraction, ExtractOutcome, TaggedPage
from aag_ray.web.search.answer import SearchAnswer, SearchOutcome, SearchResult
from aag_ray.web.search.merge import merged
from aag_ray.web.search.request import SearchRequest

# Of the time that is left for the web when a stage begins.
SEARCH_SHARE, FETCH_SHARE = 0.5, 0.6
# Where the reader is shown nothing of a page: what the extractor found there.
_WITHOUT_EVIDENCE = {
    ExtractOutcome.RELEVANT: SourceState.PASSED_OVER,
    ExtractOutcome.OVER_BUDGET: SourceState.PASSED_OVER,
    ExtractOutcome.NOTHING_RELEVANT: SourceState.NOTHING_RELEVANT,
    ExtractOutcome.PAGE_TOO_SHORT: SourceState.NOT_READ,
    ExtractOutcome.MODEL_FAILED: SourceState.NOT_READ,
}
log = logging.getLogger(__name__)
Emit = Callable[[AnswerEvent], None]


@dataclass(frozen=True, slots=True)
class Findings:
    """What the web gave. `evidence` is best first, of `pages` alone; there is some if and only if `outcome` is RELEVANT.

    `retry_after`, in seconds, is set where a part was `Unavailable` and the same request may find more later.
    """

    outcome: WebOutcome
    detail: str = ""
    pages: tuple[ReadPage, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    retry_after: float | None = None


class Stopped(Exception):
    """The way ends here, without evidence."""

    def __init__(self, outcome: WebOutcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome, self.detail = outcome, detail


@dataclass(frozen=True)
class WebPath:
    """The parts that find evidence, under one configuration."""

    search: Search
    fetch: Fetch
    ranker: PageRanker
    extractor: AsyncExtractor
    section: AnswerSection
    pages: PagesSection = PagesSection()  # noqa: RUF009  (frozen)

    async def find(
        self,
        parsed: ParsedRequest,
        filters: Filters,
        allowance: Allowance,
        stages: Stages,
        emit: Emit,
        count: Callable[[str], int],
    ) -> Findings:
        """Evidence for a parsed request within the web's share of its allowance. Only cancellation is raised: a part that fails
        ends the way with an outcome that says so.

        Both `Sources` events are emitted whatever happens. `count` gives the tokens of a text.
        """
        return await Finding(self, parsed, filters, allowance, stages, emit, count).run()


class Finding:
    """One request on its way."""

    def __init__(
        self,
        path: WebPath,
        parsed: ParsedRequest,
        filters: Filters,
        allowance: Allowance,
        stages: Stages,
        emit: Emit,
        count: Callable[[str], int],
    ) -> None:
        self.path, self.section, self.parsed, self.filters = path, path.section, parsed, filters
        self.allowance, self.stages, self.emit, self.count = allowance, stages, emit, count
        self.sources: list[Source] = []

    async def run(self) -> Findings:
        limit = asyncio.timeout(self.allowance.left_for_web)
        try:
            async with limit:
                findings = await self._findings()
        except Stopped as stop:
            findings = Findings(stop.outcome, stop.detail)
        except Unavailable as busy:
            findings = Findings(WebOutcome.EXTRACTOR_FAILED, str(busy), retry_after=busy.retry_after)
        except Exception:
            if limit.expired():
                findings = Findings(WebOutcome.OUT_OF_TIME, f"not done within {self.allowance.web_seconds:g} s")
            else:
                log.exception("while examining pages")
                findings = Findings(WebOutcome.EXTRACTOR_FAILED, BROKEN.format("the extractor"))
        self.emit(Sources(tuple(self.sources), read=True))
        return findings

    async def _findings(self) -> Findings:
        question, hasty = self.parsed.question, self.parsed.time_sensitive
        with self.stages.of("search"):
            results = await self._search()
        with self.stages.of("rank"):
            chosen = await asyncio.to_thread(
                self.path.ranker.rank_snippets, question, results, time_sensitive=hasty, keep=self.allowance.budget.pages
            )
        self.sources = [
            Source(number, each.url, each.title or each.url, each.snippet) for number, each in enumerate(chosen.items, 1)
        ]
        self.emit(Sources(tuple(self.sources)))
        with self.stages.of("fetch"):
            read = await self._fetch()
        if not read:
            raise Stopped(WebOutcome.NO_PAGE_READ, "; ".join(f"{each.url}: {each.detail}" for each in self.sources))
        by_url = {each.url: each for each in chosen.items}
        found = [by_url[self.sources[number].url] for number in read]
        self._name_by_page(read)
        with self.stages.of("rank"):
            texts = [ranking_text(result, page.page) for result, page in zip(found, read.values(), strict=True)]
            ranking = await asyncio.to_thread(self.path.ranker.rank_pages, question, texts, time_sensitive=hasty)
        places = {id(text): number for text, number in zip(texts, read, strict=True)}
        for dropped in ranking.dropped:
            self._note(
                places[id(dropped.ranked.item)], SourceState.RANKED_OUT, f"{dropped.reason}: {dropped.detail}".strip(": ")
            )
        kept = [places[id(text)] for text in ranking.items]
        with self.stages.of("extract"):
            extraction = await self.path.extractor.extract(question, [read[number] for number in kept])
        return self._evidence(extraction, {number: read[number] for number in kept})

    async def _search(self) -> tuple[SearchResult, ...]:
        queries = self._queries()[: self.section.queries]
        if len(queries) < len(self.parsed.queries):
            self._give_up(Degradation.FEWER_QUERIES, f"{len(queries)} of {len(self.parsed.queries)} queries were searched for")
        seconds = min(self.section.search_seconds, SEARCH_SHARE * self.allowance.left_for_web)
        asked = [self.filters.over(replace(query, count=self.section.results)) for query in queries]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.path.search.search(each, deadline=seconds)) for each in asked]
        except ExceptionGroup as errors:
            log.warning("the search failed", exc_info=errors)
            told = dict.fromkeys(_told(error, "the search") for error in errors.exceptions)
            raise Stopped(WebOutcome.SEARCH_FAILED, "; ".join(told)) from errors
        answers = [task.result() for task in tasks]
        if results := merged(answer.results for answer in answers if answer.ok):
            return results
        raise Stopped(*_nothing(answers))

    def _queries(self) -> tuple[SearchRequest, ...]:
        """The parser's, and last the question itself: keywords that were written may be wrong."""
        written = self.parsed.queries or (SearchRequest(self.parsed.question[:MAX_CHARACTERS]),)
        own = replace(written[0], query=self.parsed.question[:MAX_CHARACTERS])
        said = {query.query.casefold() for query in written}
        return written if own.query.casefold() in said else (*written, own)

    async def _fetch(self) -> dict[int, TaggedPage]:
        """The pages that were read in time, by the place of their source."""
        seconds = min(self.section.page_seconds, FETCH_SHARE * self.allowance.left_for_web)
        tasks = [asyncio.create_task(self._read(place, seconds)) for place in range(len(self.sources))]
        try:
            _, late = await asyncio.wait(tasks, timeout=seconds)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for place, task in enumerate(tasks):
            if task in late:
                self._note(place, SourceState.NOT_FETCHED, f"not read within {seconds:.1f} s")
        if late:
            self._give_up(Degradation.FEWER_PAGES, f"{len(late)} of {len(tasks)} pages were not read within {seconds:.1f} s")
        pages: dict[int, TaggedPage] = {}
        first: dict[str, int] = {}
        for place, task in enumerate(tasks):
            page = None if task in late else task.result()
            if page is not None and page.page.url in first:
                number = self.sources[first[page.page.url]].number
                self._note(place, SourceState.RANKED_OUT, f"the same page as source {number}")
            elif page is not None:
                first[page.page.url] = place
                pages[place] = page
        return pages

    async def _read(self, place: int, seconds: float) -> TaggedPage | None:
        source = self.sources[place]
        fresh = self.section.max_age_seconds if self.parsed.time_sensitive else None
        try:
            fetched = await self.path.fetch.fetch(source.url, deadline=seconds, max_age=fresh)
        except Exception as error:
            log.exception("while fetching %s", source.url)
            self._note(place, SourceState.NOT_FETCHED, _told(error, "fetching"))
            return None
        if not fetched.ok:
            self._note(place, SourceState.NOT_FETCHED, _why(fetched.outcome, fetched.detail))
            return None
        page, detail = await asyncio.to_thread(cleaned, fetched, self.path.pages)
        self.sources[place] = replace(self.sources[place], fetched_at=fetched.fetched_at, record=fetched.record)
        if page is None:
            self._note(place, SourceState.NOT_READ, detail)
        return page

    def _name_by_page(self, read: dict[int, TaggedPage]) -> None:
        """A source is from now on the page that was read: redirects may have led to another address."""
        for place, tagged in read.items():
            page = tagged.page
            self.sources[place] = replace(self.sources[place], url=page.url, title=page.title or self.sources[place].title)

    def _evidence(self, extraction: Extraction, pages: dict[int, TaggedPage]) -> Findings:
        best, most = extraction.evidence[: self.section.evidence], self.allowance.budget.tokens
        totals = list(accumulate(self.count(each.text) for each in best))
        fit = sum(total <= most for total in totals)
        chosen = best[: max(fit, 1)]  # half a sentence says what the page does not: one is read whole whatever it takes
        if fit < len(best):
            read = "" if fit else f"; the best is read all the same, with {totals[0]}"
            self._give_up(Degradation.LESS_EVIDENCE, f"{fit} of {len(best)} spans fit into {most} tokens{read}")
        outcomes = {each.url: each for each in extraction.pages}
        for place, tagged in pages.items():
            spans = sum(each.url == tagged.page.url for each in chosen)
            if spans:
                self._note(place, SourceState.EVIDENCE)
            elif found := outcomes.get(tagged.page.url):
                self._note(place, _WITHOUT_EVIDENCE[found.outcome], found.detail or "better evidence of others came first")
            self.sources[place] = replace(self.sources[place], spans=spans)
        if not chosen:
            failed = extraction.outcome is ExtractOutcome.MODEL_FAILED
            detail = "; ".join(dict.fromkeys(each.detail for each in extraction.pages if each.detail))
            return Findings(WebOutcome.EXTRACTOR_FAILED if failed else WebOutcome.NOTHING_RELEVANT, detail)
        shown = {each.url for each in chosen}
        read = tuple(ReadPage(self.sources[n], each.page) for n, each in pages.items() if each.page.url in shown)
        return Findings(WebOutcome.RELEVANT, "", read, chosen)

    def _note(self, place: int, state: SourceState, detail: str = "") -> None:
        self.sources[place] = replace(self.sources[place], state=state, detail=detail)

    def _give_up(self, step: Degradation, detail: str) -> None:
        self.emit(GivenUp(step, detail))


def _nothing(answers: list[SearchAnswer]) -> tuple[WebOutcome, str]:
    """Nothing found if every search was made and found nothing, else a failed search: nobody knows what is to be found."""
    failed = [_why(answer.outcome, answer.detail) for answer in answers if answer.outcome is not SearchOutcome.EMPTY]
    if failed:
        return WebOutcome.SEARCH_FAILED, "; ".join(dict.fromkeys(failed))
    return WebOutcome.NOTHING_FOUND, ""


def _why(outcome: str, detail: str) -> str:
    return f"{outcome}: {detail}" if detail else str(outcome)


def _told(error: BaseException, part: str) -> str:
    return str(error) if isinstance(error, Unavailable) else BROKEN.format(part)
