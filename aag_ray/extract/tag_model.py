"""The extractor that lets a language model emit tags (ZI-ISAG), held to the tags of the page while it decodes.

extractor = TagExtractor(section, load_model(ModelSection()), Bm25Extractor(section))
extraction = extractor.extract(question, pages)
extraction, why = extractor.explain(question, pages)
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from aag_ray.artifacts import write_json
from aag_ray.config import ExtractSection, PagesSection
from aag_ray.extract.evidence import Extraction, TaggedPage
from aag_ray.extract.grammar import TagGrammar
from aag_ray.extract.prompts import INFO_HEADER, info_tag_prompt, tag_prompt
from aag_ray.extract.scoring import ScoringExtractor, check_question
from aag_ray.extract.select import PageScores, select
from aag_ray.extract.tokens import CountTokens, tokenizer_counter
from aag_ray.extract.writing import Asked, Writer, Written
from aag_ray.llm.adapters import Adapter
from aag_ray.llm.load import LoadedModel
from aag_ray.pages.tag_output import HEADER, OutputOutcome, TagOutput, parse_strict, parse_tolerant

TAG_TOKENS, INFO_TOKENS = 128, 384
WINDOWS_FILE = "windows.json"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the model wrote about one page, the spans it named, and how much of it was no tag of the page."""

    url: str
    text: str
    tags: tuple[int, ...]
    ignored: int


class TagExtractor(ScoringExtractor):
    """Every span that the model names scores 1; among them the order of pages and spans decides what the budget leaves out.

    A page that the model fails on goes to the `fallbacks`, in order: their spans keep their scores, where they pass their own
    threshold. `counts` adds up windows, outputs by kind, tokens, and pages by the fallback that took them.
    """

    name = "tags"

    def __init__(
        self,
        section: ExtractSection,
        loaded: LoadedModel,
        *fallbacks: ScoringExtractor,
        adapters: Sequence[Adapter] = (),
        pages: PagesSection | None = None,
        tokens: CountTokens | None = None,
    ) -> None:
        """Raises ValueError for a model that is no decoder."""
        super().__init__(section, 0.0, tokens or tokenizer_counter(loaded.tokenizer))
        self.writer = Writer(loaded, adapters, pages, section.batch)
        self.fallbacks, self.model = fallbacks, loaded.model

    def score(self, question: str, pages: Sequence[TaggedPage]) -> list[PageScores]:
        asked = self.writer.asked(tag_prompt, question, pages, answer=TAG_TOKENS, answer_start=HEADER)
        grammars = [TagGrammar(each.window.first, each.window.last, header=False) for each in asked]
        written = self.writer.write(asked, most=TAG_TOKENS, grammars=grammars)
        outputs = [
            parse_strict(HEADER + each.text, len(pages[ask.page].spans)) for ask, each in zip(asked, written, strict=True)
        ]
        return self._scored(question, pages, asked, written, outputs)

    def explain(self, question: str, pages: Sequence[TaggedPage]) -> tuple[Extraction, list[Explanation]]:
        """Evidence from what the model says it found, and its words (info+tag, prompt A; decoding is free, parsing tolerant).

        Raises ValueError for a question without a word.
        """
        check_question(question)
        began = time.perf_counter()
        asked = self.writer.asked(info_tag_prompt, question, pages, answer=INFO_TOKENS, answer_start=INFO_HEADER)
        written = self.writer.write(asked, most=INFO_TOKENS)
        outputs = [
            _inside(parse_tolerant(each.text, len(pages[ask.page].spans)), ask)
            for ask, each in zip(asked, written, strict=True)
        ]
        scores = self._scored(question, pages, asked, written, outputs)
        chosen = select(
            pages, scores, self.section, threshold=self.threshold, tokens=self.tokens, extractor=f"{self.name} (info)"
        )
        explained = []
        for number, page in enumerate(pages):
            own = [place for place, ask in enumerate(asked) if ask.page == number]
            text = "\n".join(written[at].text.strip() or written[at].failure for at in own)
            tags = tuple(sorted({tag for at in own for tag in outputs[at].numbers}))
            explained.append(Explanation(page.page.url, text, tags, sum(sum(outputs[at].ignored.values()) for at in own)))
        return replace(chosen, seconds=time.perf_counter() - began), explained

    def _scored(
        self,
        question: str,
        pages: Sequence[TaggedPage],
        asked: Sequence[Asked],
        written: Sequence[Written],
        outputs: Sequence[TagOutput],
    ) -> list[PageScores]:
        """All windows of a page together; a page with a window that failed or cannot be read goes to the fallbacks."""
        scores = [np.zeros(len(page.spans)) for page in pages]
        failures: dict[int, str] = {}
        for ask, wrote, output in zip(asked, written, outputs, strict=True):
            read = {"input_tokens": len(ask.tokens or ()), "output_tokens": wrote.tokens}
            self.counts.update({"windows": 1, **read, output.outcome.value: not wrote.failure})
            if wrote.failure or output.outcome is OutputOutcome.UNREADABLE:
                self.counts["failed_windows"] += 1
                failures[ask.page] = wrote.failure or output.detail
            scores[ask.page][[number - 1 for number in output.numbers]] = 1.0
        found = [PageScores(each) for each in scores]
        for number, why in failures.items():
            found[number] = self._fallback(question, pages[number], f"{self.name} failed: {why}")
        return found

    def _fallback(self, question: str, page: TaggedPage, why: str) -> PageScores:
        for fallback in self.fallbacks:
            try:
                [scored] = fallback.score(question, [page])
            except Exception as error:
                why = f"{why}; {fallback.name} failed: {type(error).__name__}: {error}"
                continue
            if scored.spans is not None:
                self.counts[f"fallback: {fallback.name}"] += 1
                spans = np.where(scored.spans >= fallback.threshold, scored.spans, 0.0)
                return PageScores(spans, detail=f"{why}; chosen by {fallback.name}")
        self.counts["model_failed"] += 1
        return PageScores(None, detail=why)


def save_windows(folder: Path, window_tokens: int) -> None:
    """Say beside a trained model, or an adapter, how long the windows were that it was trained on."""
    write_json(folder / WINDOWS_FILE, {"window_tokens": window_tokens})


def load_windows(folder: Path) -> PagesSection:
    """The windows that the model in a folder was trained on; the default ones where it does not say.

    Raises ValueError naming a file that cannot be read.
    """
    file, default = folder / WINDOWS_FILE, PagesSection()
    if not file.is_file():
        return default
    try:
        limit = int(json.loads(file.read_text())["window_tokens"])
        return PagesSection(window_tokens=limit, overlap_tokens=min(default.overlap_tokens, limit // 4))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} does not say window_tokens: {error}") from error


def _inside(output: TagOutput, asked: Asked) -> TagOutput:
    """Without tags that are on the page but were not in the window, which the model cannot have read."""
    groups = tuple(
        tuple(number for number in group if asked.window.first <= number <= asked.window.last) for group in output.groups
    )
    kept = tuple(group for group in groups if group)
    if output.outcome is OutputOutcome.TAGS and not kept:
        return replace(output, outcome=OutputOutcome.UNREADABLE, groups=(), detail="tags of other windows only")
    return replace(output, groups=kept)
