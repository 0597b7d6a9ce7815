"""The gold teacher: labels spans from known answers, without a model.

A span is evidence if an accepted answer stands in it as whole normalised words, and if it is as close to the question as the
best such span is. Pages of which every passage with an answer was taken away are the examples of "nothing relevant".
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import regex

from aag_ray.extract.examples import ExtractionExample, example, page_from_passages, passage_of_block
from aag_ray.pages.page import BlockKind, Page
from aag_ray.pages.spans import Span, split_spans
from aag_ray.records import Passage, Question
from aag_ray.world.retrieval import has_answer, words

SOURCE = "gold"
# A span this much less like the question than the best one holds the answer by chance: "1990" in another section.
CLOSE = 0.7
HEADING_WEIGHT = 0.5
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*")


class GoldOutcome(StrEnum):
    """How the labelling of one question ended. Everything but OK says why there is no example."""

    OK = "ok"
    NO_PASSAGES = "no_passages"
    NO_ANSWER_FOUND = "no_answer_found"
    NO_OTHER_PASSAGES = "no_other_passages"


@dataclass(frozen=True, slots=True)
class Labelled:
    """An example, or why there is none. `example` is set if and only if `outcome` is OK."""

    outcome: GoldOutcome
    question: str
    example: ExtractionExample | None = None


def holds_answer(text: str, answers: Sequence[str]) -> bool:
    """Whether an accepted answer stands in `text`: whole normalised words (`world.retrieval.has_answer`).

    In scripts without spaces every character counts as a word.
    """
    return has_answer(_spaced(text), [_spaced(answer) for answer in answers])


def gold_spans(
    question: str, answers: Sequence[str], page: Page, spans: Sequence[Span], preferred: Collection[int] | None = None
) -> tuple[int, ...]:
    """Numbers of the spans that hold an answer and share the question's words, in page order; empty if none does.

    `preferred` are indices of blocks that are known to be right; spans elsewhere count only if none there holds an answer.
    A heading counts only where no other span does. An answer that two neighbouring spans of a block share labels both.
    """
    texts = [page.text[span.start : span.end] for span in spans]
    held = [(span,) for span, text in zip(spans, texts, strict=True) if holds_answer(text, answers)]
    if not any(preferred is None or span.block in preferred for (span,) in held):
        pairs = ((one, two) for one, two in pairwise(spans) if one.block == two.block)
        held += [pair for pair in pairs if holds_answer(page.text[pair[0].start : pair[1].end], answers)]
    if preferred is not None:
        held = [part for part in held if part[0].block in preferred] or held
    held = [part for part in held if page.blocks[part[0].block].kind is not BlockKind.HEADING] or held
    closeness = _closeness(question, page, texts, spans)
    close = [max(closeness[span.number] for span in part) for part in held]
    chosen = (part for part, own in zip(held, close, strict=True) if own >= CLOSE * max(close))
    return tuple(sorted({span.number for part in chosen for span in part}))


def positive(question: Question, seed: int | None = None) -> Labelled:
    """The page of all passages of a question with its labelled spans.

    With a `seed` the passages are shuffled, equally in every run: retrievers put the gold passage first far too often for
    a model to learn anything but its place. Without one they stay as they are.
    """
    passages = _ordered(question.contexts, question.id, seed)
    if not passages:
        return Labelled(GoldOutcome.NO_PASSAGES, question.id)
    page = page_from_passages(passages, _url(question))
    spans = split_spans(page)
    known = [bool(passage.has_answer) for passage in passages]
    preferred = {block for block, owner in enumerate(passage_of_block(passages)) if known[owner]}
    gold = gold_spans(question.question, question.answers, page, spans, preferred or None)
    if not gold:
        return Labelled(GoldOutcome.NO_ANSWER_FOUND, question.id)
    made = example(question.id, question.question, page, gold, SOURCE, answers=question.answers, spans=spans)
    return Labelled(GoldOutcome.OK, question.id, made)


def negative(question: Question, seed: int | None = None) -> Labelled:
    """The same page without any passage that holds an answer: no span of it does, so nothing is relevant."""
    others = [
        passage
        for passage in question.contexts
        if not passage.has_answer and not holds_answer(f"{passage.title}\n{passage.text}", question.answers)
    ]
    if not others:
        return Labelled(GoldOutcome.NO_OTHER_PASSAGES if question.contexts else GoldOutcome.NO_PASSAGES, question.id)
    page = page_from_passages(_ordered(others, question.id, seed), _url(question))
    made = example(f"{question.id}/negative", question.question, page, (), SOURCE, answers=question.answers)
    return Labelled(GoldOutcome.OK, question.id, made)


def label(questions: Iterable[Question], negatives: float = 0.5, seed: int | None = 0) -> Iterator[Labelled]:
    """A positive of every question, and a negative of about the share `negatives` (0..1) of them, chosen by id and seed.

    `seed=None` keeps the order of passages; the choice of negatives is then that of seed 0. Raises ValueError for a share
    outside 0..1.
    """
    if not 0 <= negatives <= 1:
        raise ValueError(f"negatives={negatives} must be a share from 0 to 1")
    for question in questions:
        yield positive(question, seed)
        if random.Random(f"negative:{seed or 0}:{question.id}").random() < negatives:
            yield negative(question, seed)


def _ordered(passages: Sequence[Passage], identity: str, seed: int | None) -> list[Passage]:
    ordered = list(passages)
    if seed is not None:
        random.Random(f"order:{seed}:{identity}").shuffle(ordered)
    return ordered


def _url(question: Question) -> str:
    return f"passages:{question.id}"


def _spaced(text: str) -> str:
    return _UNSPACED.sub(r" \g<0> ", text)


def _closeness(question: str, page: Page, texts: Sequence[str], spans: Sequence[Span]) -> dict[int, float]:
    """For each span number the weight of the question's words in it (rare on the page = heavy); in its headings, half."""
    own = {span.number: set(words(_spaced(text))) for span, text in zip(spans, texts, strict=True)}
    frequency = Counter(word for found in own.values() for word in found)
    weights = {word: math.log1p(len(spans) / (1 + frequency[word])) for word in set(words(_spaced(question)))}
    closeness = {}
    for span in spans:
        above = set(words(_spaced(" ".join(page.blocks[span.block].heading_path))))
        shares = {word: 1.0 if word in own[span.number] else HEADING_WEIGHT * (word in above) for word in weights}
        closeness[span.number] = math.fsum(weight * shares[word] for word, weight in weights.items())
    return closeness
