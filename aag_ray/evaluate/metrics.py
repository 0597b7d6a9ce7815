"""Answer metrics: exact match, F1 and best-subspan exact match, and whether a document holds an answer.

`normalize_answer`, `exact_match` and `f1` follow the SQuAD evaluation script (Rajpurkar et al. 2016), `best_subspan_em`
"Lost in the Middle" (Liu et al. 2023), `has_answer` DPR (Karpukhin et al. 2020). All scores are 0..1, the best over the
accepted answers, for the first line of the prediction.
"""

from __future__ import annotations

import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import regex

_ARTICLES = regex.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_TOKENS = regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")


def clean_prediction(text: str) -> str:
    """The first line of what a model wrote, without outer white space: the rest is no answer."""
    return text.split("\n", 1)[0].strip()


def normalize_answer(text: str) -> str:
    """Lower case, no ASCII punctuation, no English articles, single spaces (SQuAD).

    Composed and decomposed Unicode are made equal first (NFC), so that one way of writing é is not an error of another.
    """
    bare = unicodedata.normalize("NFC", text).lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1.0 if the prediction equals an accepted answer after normalisation, else 0.0. Raises ValueError without answers."""
    predicted = normalize_answer(clean_prediction(prediction))
    return max(float(predicted == normalize_answer(answer)) for answer in _accepted(answers))


def f1(prediction: str, answers: Sequence[str]) -> float:
    """Harmonic mean of word precision and recall, bags of normalised words. Raises ValueError without answers.

    If nothing is left of one side after normalisation, the score is 1 when nothing is left of the other (SQuAD 2.0; the
    script of 1.1 gives 0 there, below its own exact match).
    """
    predicted = normalize_answer(clean_prediction(prediction)).split()
    return max(_overlap(predicted, normalize_answer(answer).split()) for answer in _accepted(answers))


def best_subspan_em(prediction: str, answers: Sequence[str]) -> float:
    """1.0 if a normalised accepted answer is a substring of the normalised prediction. Raises ValueError without answers.

    An answer of which normalisation leaves nothing ("The") would be in every text; it must equal the prediction.
    """
    predicted = normalize_answer(clean_prediction(prediction))
    accepted = (normalize_answer(answer) for answer in _accepted(answers))
    return max(float(answer in predicted if answer else not predicted) for answer in accepted)


def has_answer(text: str, answers: Sequence[str]) -> bool:
    """True if the tokens of an accepted answer follow each other in the text (DPR): "1" is not found in "1990"."""
    tokens = _tokens(text)
    return any(_contains(tokens, _tokens(answer)) for answer in _accepted(answers))


def _accepted(answers: Sequence[str]) -> Sequence[str]:
    if isinstance(answers, str):
        raise TypeError(f"answers must be a sequence of strings, not the string {answers!r}")
    if len(answers) == 0:
        raise ValueError("a question without an accepted answer cannot be scored")
    return answers


def _overlap(predicted: list[str], accepted: list[str]) -> float:
    if not predicted or not accepted:
        return float(predicted == accepted)
    common = (Counter(predicted) & Counter(accepted)).total()
    return 2 * common / (len(predicted) + len(accepted))


@lru_cache(maxsize=65536)
def _tokens(text: str) -> tuple[str, ...]:
    return tuple(_TOKENS.findall(unicodedata.normalize("NFD", text).lower()))


def _contains(tokens: tuple[str, ...], part: tuple[str, ...]) -> bool:
    size = len(part)
    return size > 0 and any(tokens[start : start + size] == part for start in range(len(tokens) - size + 1))
