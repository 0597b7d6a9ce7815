"""The quality of generated documents: do they repeat themselves, are they empty, do they hold an answer?

Everything stands next to a static baseline, documents of the training set that know nothing of the question, because a
long enough text holds some answers by chance.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import regex

from aag_ray.evaluate.intervals import bootstrap, paired_difference
from aag_ray.evaluate.metrics import has_answer
from aag_ray.records import Document, Outcome, Question

LOOP_TIMES = 3
_WORD = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{M}\p{N}]+")  # some scripts write without spaces


def static_baseline(documents: Sequence[Document], training: Sequence[Document], seed: int = 0) -> list[Document]:
    """For each document one of equal length in words, from training documents drawn at random.

    A training document that is too short is continued with the next one drawn. Raises ValueError if no training document
    has a word.
    """
    pool = [words for document in training if (words := document.text.split())]
    if not pool:
        raise ValueError("a static baseline needs at least one training document with words in it")
    draw = random.Random(seed)
    return [replace(document, text=" ".join(_draw_words(pool, len(document.text.split()), draw))) for document in documents]


def document_report(
    questions: Sequence[Question],
    documents: Sequence[Document],
    baseline: Sequence[Document],
    samples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """What the documents of these questions are like, joined by id: `{"n", "generated", "static", "has_answer_difference"}`.

    `generated` and `static` hold, in percent unless said otherwise: `empty`, `meaningless` (with words, but fewer than
    three different ones, or most characters neither letters nor digits), `distinct` (different texts), `repeated_trigrams`
    (word 3-grams of a document that it already had), `looping` (documents with a 4-gram at least three times), `words` and
    `tokens` (means), and `has_answer` (an interval). Raises ValueError if a question has no document.
    """
    pairs = {"generated": _joined(questions, documents), "static": _joined(questions, baseline)}
    holds = {
        name: [float(has_answer(text.text, question.answers)) for question, text in zip(questions, texts, strict=True)]
        for name, texts in pairs.items()
    }
    report: dict[str, Any] = {"n": len(questions)}
    for name, texts in pairs.items():
        report[name] = _describe(texts) | {"has_answer": bootstrap(holds[name], samples, seed).to_dict()}
    difference = paired_difference(holds["generated"], holds["static"], samples, seed)
    return report | {"has_answer_difference": difference.to_dict()}


def repeated_share(words: Sequence[str], size: int = 3) -> float:
    """Share (0..1) of the n-grams of a text that already stood in it. 0 for a text shorter than one n-gram."""
    grams = _ngrams(words, size)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def is_looping(words: Sequence[str], size: int = 4) -> bool:
    """True if one n-gram stands in the text at least LOOP_TIMES times, as when decoding goes round in circles."""
    return max(Counter(_ngrams(words, size)).values(), default=0) >= LOOP_TIMES


def is_meaningless(text: str) -> bool:
    """True for a text that is not empty and holds fewer than three different words or mostly signs."""
    words, solid = _WORD.findall(text.lower()), "".join(text.lower().split())
    return bool(solid) and (len(set(words)) < 3 or 2 * len("".join(words)) < len(solid))


def _describe(documents: Sequence[Document]) -> dict[str, Any]:
    words = [document.text.split() for document in documents]
    return {
        "empty": _percent([not document.text.strip() or document.outcome != Outcome.OK for document in documents]),
        "meaningless": _percent([is_meaningless(document.text) for document in documents]),
        "distinct": 100 * len({" ".join(text) for text in words}) / len(words),
        "repeated_trigrams": _percent([repeated_share(text) for text in words]),
        "looping": _percent([is_looping(text) for text in words]),
        "words": sum(map(len, words)) / len(words),
        "tokens": sum(document.tokens for document in documents) / len(documents),
    }


def _joined(questions: Sequence[Question], documents: Sequence[Document]) -> list[Document]:
    if not questions:
        raise ValueError("a document report needs at least one question")
    by_id = {document.id: document for document in documents}
    missing = [question.id for question in questions if question.id not in by_id]
    if missing:
        raise ValueError(f"{len(missing)} of {len(questions)} questions have no document, the first is {missing[0]!r}")
    return [by_id[question.id] for question in questions]


def _draw_words(pool: Sequence[list[str]], count: int, draw: random.Random) -> list[str]:
    words: list[str] = []
    while len(words) < count:
        words += draw.choice(pool)
    return words[:count]


def _ngrams(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + size]) for start in range(len(words) - size + 1)]


def _percent(values: Sequence[float]) -> float:
    return 100 * sum(values) / len(values)
