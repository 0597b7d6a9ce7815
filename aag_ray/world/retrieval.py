"""BM25 over the world's passages, and whether a passage holds an accepted answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from aag_ray.records import Passage, Question
from aag_ray.world.facts import fold

_WORD = re.compile(r"(?<!\w)[.+](?=\w)\w+|\w+")
_ARTICLES = frozenset({"a", "an", "the"})


def words(text: str) -> list[str]:
    """Normalised words as in SQuAD (case, accents, punctuation and articles gone), with what short facts need kept:

    a leading dot or plus (".in", "+55"), and the case of symbols and codes ("In", "PER"), which are common words otherwise.
    """
    found = _WORD.findall(fold(text).replace("'", ""))
    kept = [word if len(word) <= 2 or (len(word) == 3 and word.isupper()) else word.lower() for word in found]
    return [word for word in kept if word.lower() not in _ARTICLES]


def has_answer(text: str, answers: Sequence[str]) -> bool:
    """Whether one of `answers` stands in `text` as whole normalised words."""
    spaced = _spaced(text)
    return any(answer in spaced for answer in _normalised(answers))


def attach_contexts(questions: Sequence[Question], passages: Sequence[Passage], k: int) -> list[Question]:
    """Each question with its `k` best passages by BM25 (Lucene's variant, k1 = 1.5, b = 0.75), best first.

    `has_answer` looks at title and text, for readers get both. With fewer than `k` passages each question gets
    all of them. Equal scores keep the order of `passages`.
    """
    if not questions or not passages:
        return list(questions)
    import bm25s

    texts = [f"{passage.title} {passage.text}" for passage in passages]
    spaced = [_spaced(text) for text in texts]
    index = bm25s.BM25()
    index.index([words(text) for text in texts], show_progress=False)
    attached = []
    for question in questions:
        scores = index.get_scores(words(question.question))
        best = (-scores).argsort(kind="stable")[:k]
        answers = _normalised(question.answers)
        holds = {at: any(answer in spaced[at] for answer in answers) for at in best}
        contexts = [replace(passages[at], score=round(float(scores[at]), 4), has_answer=holds[at]) for at in best]
        attached.append(replace(question, contexts=tuple(contexts)))
    return attached


def _spaced(text: str) -> str:
    return f" {' '.join(words(text))} "


def _normalised(answers: Sequence[str]) -> list[str]:
    return [answer for answer in map(_spaced, answers) if answer.strip()]
