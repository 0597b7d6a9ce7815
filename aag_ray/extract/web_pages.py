"""Pages of the local web with known labels: an answer among navigation, tables of other subjects and what visitors write.

They are made and cleaned as a reader of that web gets them, without a server.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import chain, cycle, islice

from aag_ray.config import PagesSection, WorldSection
from aag_ray.extract.examples import ExtractionExample, example
from aag_ray.extract.gold import SOURCE, gold_spans, holds_answer
from aag_ray.pages.blocks import read_page
from aag_ray.pages.page import Page
from aag_ray.pages.spans import Span, split_spans
from aag_ray.records import Question
from aag_ray.world.site import ORDINARY, Host, Site, SiteSection, Style, known_world
from aag_ray.world.site_markup import Markup
from aag_ray.world.site_wording import FACT_LABELS

# Whose pages are in the language of the questions.
STYLES = tuple(style for style in ORDINARY if style is not Style.MIRROR)
# The share of pages about another subject.
OTHERS = 1 / 3
# How the row of one of several subjects in a table begins.
ROW_OF_ANOTHER = f"{FACT_LABELS['name']}: "


def web_pages(questions: Sequence[Question], count: int, world: WorldSection, seed: int) -> Iterator[ExtractionExample]:
    """`count` pages, as many for each kind of question; fewer where a question finds no page.

    A third is about another subject of the same kind and without the answer. The questions are those of `world` and `seed`.
    """
    pages = WebPages(world, seed)
    kinds: dict[str, list[Question]] = {}
    for question in questions:
        kinds.setdefault(question.kind, []).append(question)
    turns = zip(*(cycle(kinds[kind]) for kind in sorted(kinds)), strict=True)
    for number, question in enumerate(islice(chain.from_iterable(turns), count)):
        draw = random.Random(f"web:{seed}:{number}:{question.id}")
        made = (pages.without if draw.random() < OTHERS else pages.about)(question, draw, f"web:{number}:{question.id}")
        if made is not None:
            yield made


class WebPages:
    """The local web, large enough to have a page of every style about every subject."""

    def __init__(self, world: WorldSection, seed: int) -> None:
        _, self.catalogue = known_world(world, seed)
        pages = len(ORDINARY) * len(self.catalogue.entities)
        self.site = Site(SiteSection(hosts=len(ORDINARY), pages=pages, seed=seed, world=world))
        self.markup = Markup(self.site)

    def about(self, question: Question, draw: random.Random, identity: str) -> ExtractionExample | None:
        """A page about the question's subject, labelled; None where the page drawn does not state the answer."""
        page, spans = self._read(self._subject(question), draw)
        gold = [
            number
            for number in gold_spans(question.question, question.answers, page, spans)
            if not _of_another(_text(page, spans[number - 1]), question)
        ]
        if not gold:
            return None
        return example(identity, question.question, page, gold, SOURCE, answers=question.answers, spans=spans)

    def without(self, question: Question, draw: random.Random, identity: str) -> ExtractionExample | None:
        """A page about another subject of the kind; None where it happens to say of the question's what is asked."""
        own = self._subject(question)
        others = [number for number in self.catalogue.of_kind[self.catalogue.entities[own].kind] if number != own]
        page, spans = self._read(draw.choice(others), draw)
        texts = (_text(page, span) for span in spans)
        if any(question.entity in text and holds_answer(text, question.answers) for text in texts):
            return None
        return example(identity, question.question, page, (), SOURCE, answers=question.answers, spans=spans)

    def _subject(self, question: Question) -> int:
        return self.catalogue.by_name[question.id.split("-")[1], question.entity]

    def _read(self, entity: int, draw: random.Random) -> tuple[Page, tuple[Span, ...]]:
        styles = [style for style in STYLES if self.site.about(style, entity) is not None]
        page = self.site.about(draw.choice(styles), entity)
        assert page is not None
        html = self.markup.page(page, _origin).html
        result = read_page(html, _origin(page.host) + self.site.path(page), PagesSection())
        if result.page is None:
            raise ValueError(f"a page of the local web cannot be read: {result.outcome}: {result.detail}")
        return result.page, split_spans(result.page)


def _of_another(text: str, question: Question) -> bool:
    """Whether it is the row of another subject, which may share the answer and is no evidence for it."""
    return text.startswith(ROW_OF_ANOTHER) and not text.startswith(f"{ROW_OF_ANOTHER}{question.entity};")


def _text(page: Page, span: Span) -> str:
    return page.text[span.start : span.end]


def _origin(host: Host) -> str:
    return f"http://{host.name}"
