"""How LongBench (Bai et al. 2023, arXiv 2308.14508) scores classes, code, numbers and Chinese answers.

All scores are 0..1, the best over the accepted answers, and raise ValueError without answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

import regex

from aag_ray.evaluate.rouge import words

_NUMBER = regex.compile(r"\d+")
_NO_CODE = ("`", "#", "//")  # fences and comments


def accuracy(prediction: str, answers: Sequence[str], classes: Sequence[str]) -> float:
    """1 over the number of classes that the text names, if the right one is among them; names in their own case.

    A name that is part of the right one's stands wherever that does, and is not counted.
    """

    def score(accepted: str) -> float:
        named = [each for each in classes if each in prediction and (each == accepted or each not in accepted)]
        return 1 / len(named) if accepted in named else 0.0

    return max(map(score, answers))


def edit_similarity(prediction: str, answers: Sequence[str]) -> float:
    """How alike the first line of code and the right one are: the ratio of Python's difflib, indentation included.

    LongBench takes fuzzywuzzy's in whole percent, which is difflib's where python-Levenshtein is not installed.
    """
    lines = prediction.lstrip("\n").split("\n")
    code = next((line for line in lines if not any(sign in line for sign in _NO_CODE)), "")
    return max(SequenceMatcher(None, code, answer).ratio() for answer in answers)


def numbers(prediction: str, answers: Sequence[str]) -> float:
    """The share that the right number has of all numbers in the text. Raises ValueError for an answer without a number."""
    said = _NUMBER.findall(prediction)
    return max(said.count(number_of(answer)) for answer in answers) / max(1, len(said))


def number_of(answer: str) -> str:
    """The number that an answer is or names ("7", "Paragraph 7", "段落7"). Raises ValueError if there is none."""
    found = _NUMBER.search(answer)
    if found is None:
        raise ValueError(f"answer {answer!r} holds no number")
    return found.group()


def character_f1(prediction: str, answers: Sequence[str]) -> float:
    """F1 of bags of Chinese and Japanese characters, and of words in other scripts, without punctuation.

    LongBench's are the words that jieba finds: of those fewer are right, so the figures are not the same.
    """
    said = Counter(words(prediction))

    def score(accepted: Counter[str]) -> float:
        return 2 * (said & accepted).total() / max(1, said.total() + accepted.total())

    return max(score(Counter(words(answer))) for answer in answers)
