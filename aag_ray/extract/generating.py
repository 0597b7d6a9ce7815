"""For comparison: an extractor that writes the relevant text itself, and how much of it stands on the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aag_ray.config import ExtractSection, PagesSection
from aag_ray.extract.evidence import TaggedPage
from aag_ray.extract.prompts import generating_prompt
from aag_ray.extract.scoring import ScoringExtractor
from aag_ray.extract.select import PageScores
from aag_ray.extract.tokens import CountTokens, tokenizer_counter
from aag_ray.extract.writing import Writer
from aag_ray.llm.adapters import Adapter
from aag_ray.llm.load import LoadedModel
from aag_ray.pages.spans import sentences
from aag_ray.pages.tags import unescape
from aag_ray.web.rank.lexical import words

TEXT_TOKENS = 384
_TAG = re.compile(r"</?T-[0-9]+>")


@dataclass(frozen=True, slots=True)
class Generated:
    """What was written about one page: `numbers` of the spans that were copied, `invented` sentences that are not on it."""

    text: str
    numbers: tuple[int, ...] = ()
    copied: int = 0
    invented: tuple[str, ...] = ()
    tokens: int = 0
    failure: str = ""


class GeneratingExtractor(ScoringExtractor):
    """Sentences that stand on the page word for word make their spans evidence (score 1); the others are counted as invented.

    `counts` adds up copied and invented sentences and tokens. Slow, and it can say what no page says: not for use.
    """

    name = "generating"

    def __init__(
        self,
        section: ExtractSection,
        loaded: LoadedModel,
        *,
        adapters: Sequence[Adapter] = (),
        pages: PagesSection | None = None,
        tokens: CountTokens | None = None,
    ) -> None:
        """Raises ValueError for a model that is no decoder."""
        super().__init__(section, 0.0, tokens or tokenizer_counter(loaded.tokenizer))
        self.writer = Writer(loaded, adapters, pages, section.batch)

    def score(self, question: str, pages: Sequence[TaggedPage]) -> list[PageScores]:
        found: list[PageScores] = []
        for page, wrote in zip(pages, self.write(question, pages), strict=True):
            spans = np.zeros(len(page.spans))
            spans[[number - 1 for number in wrote.numbers]] = 1.0
            self.counts.update(copied=wrote.copied, invented=len(wrote.invented), output_tokens=wrote.tokens)
            told = f"{len(wrote.invented)} of {wrote.copied + len(wrote.invented)} sentences are not on the page"
            detail = wrote.failure or (told if wrote.invented else "")
            found.append(PageScores(None if wrote.failure else spans, detail=detail))
        return found

    def write(self, question: str, pages: Sequence[TaggedPage]) -> list[Generated]:
        """What the model writes about each page, matched back on it."""
        asked = self.writer.asked(_untagged, question, pages, answer=TEXT_TOKENS)
        written = self.writer.write(asked, most=TEXT_TOKENS)
        self.counts["input_tokens"] += sum(len(each.tokens or ()) for each in asked)
        found: list[Generated] = []
        for number, page in enumerate(pages):
            own = [each for ask, each in zip(asked, written, strict=True) if ask.page == number]
            text = unescape("\n".join(each.text.strip() for each in own if each.text.strip()))
            failure = next((f"{self.name} failed: {each.failure}" for each in own if each.failure), "")
            copied, invented, numbers = match(page, text)
            tokens = sum(each.tokens for each in own)
            found.append(Generated(text, numbers, copied, invented, tokens, failure))
        return found


def match(page: TaggedPage, text: str) -> tuple[int, tuple[str, ...], tuple[int, ...]]:
    """How many sentences of `text` stand on the page, those that do not, and the numbers of the spans that hold the former.

    Compared are words, so neither letters' case nor punctuation matters. A line that says None is no sentence.
    """
    page_words = [(word, span.number) for span in page.spans for word in words(page.page.text[span.start : span.end])]
    joined = f" {' '.join(word for word, _ in page_words)} "
    invented: list[str] = []
    numbers: set[int] = set()
    copied = 0
    for start, end in sentences(text):
        said = words(text[start:end])
        if not said or said == ["none"]:
            continue
        at = joined.find(f" {' '.join(said)} ")
        if at < 0:
            invented.append(text[start:end])
            continue
        copied += 1
        first = joined.count(" ", 0, at)
        numbers.update(number for _, number in page_words[first : first + len(said)])
    return copied, tuple(invented), tuple(sorted(numbers))


def _untagged(tagged: str, question: str) -> str:
    return generating_prompt(_TAG.sub("", tagged), question)
