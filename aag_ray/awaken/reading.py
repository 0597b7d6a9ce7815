"""Retrieved passages with the questions that they answer: what a hypernetwork learns to read from.

So that only reading answers, a passage may speak of another entity than the world does, or say what nobody has said
(entity and corpus substitution, Longpre et al. 2021, arXiv 2109.05052). So that more is read than questions ask for, it may be
asked to go on as it does (`recited`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from aag_ray import prompts
from aag_ray.awaken.mixture import CONDITION
from aag_ray.awaken.reciting import OPAQUE, recited
from aag_ray.records import Passage, Question

QUESTIONS_A_PASSAGE = 4
_WORD = re.compile(r"[^\W\d_]+")
_DRAWS = 8  # until something is drawn that the passage does not say anyway
_DIGIT = re.compile(r"\d")


def reading_examples(
    questions: Sequence[Question], count: int, passages: int, seed: int, made_up: float = 0.0, recitals: float = 0.0
) -> list[dict[str, Any]]:
    """`count` examples of a retrieved passage that is given in the parameters alone, each with up to four questions.

    Where question and passage name an entity, another of its kind takes its name in both: what the passage then says
    is in nobody's memory. In a share `made_up` of the passages the answers themselves, and other numbers and capitals, give way
    to words and numbers that are drawn for this one example, so that there is nothing to learn but to read. A share `recitals`
    of the four, and, if it is above zero, those for which a passage has no question, ask how one of its sentences goes on.
    Empty if no passage among the first `passages` is known to hold an answer.
    """
    rng = random.Random(f"{seed}-reading")
    names: dict[str, list[str]] = {}
    for question in questions:
        names.setdefault(question.kind or "", []).append(question.entity or "")
    told = _told(questions, passages)
    words = sorted(
        {word for question in questions for name in (question.entity, *question.answers) for word in _WORD.findall(name)}
    )
    return list(islice(_examples(told, names, words, made_up, recitals, rng), count)) if told else []


def _told(questions: Sequence[Question], passages: int) -> list[tuple[Passage, list[Question]]]:
    """Each passage that answers something, with what it answers about one entity."""
    answered: dict[tuple[str, str], tuple[Passage, list[Question]]] = {}
    for question in questions:
        for passage in question.answering(passages):
            answered.setdefault((passage.id, question.entity or question.id), (passage, []))[1].append(question)
    return list(answered.values())


def _stated(question: Question, text: str) -> str:
    """The answer to train on, or, where a question has several and the text states another, the first that it does state."""
    said = text.casefold()
    accepted = (question.training_answer, *question.answers)
    return next((answer for answer in accepted if answer.casefold() in said), question.training_answer)


def _examples(
    told: list[tuple[Passage, list[Question]]],
    names: dict[str, list[str]],
    words: list[str],
    made_up: float,
    recitals: float,
    rng: random.Random,
) -> Iterator[dict[str, Any]]:
    number = 0
    while True:
        rng.shuffle(told)
        for passage, asked in told:
            chosen = rng.sample(asked, min(QUESTIONS_A_PASSAGE, len(asked)))
            text = f"{passage.title}\n{passage.text}"
            answers = [_stated(question, text) for question in chosen]
            asks = [question.question for question in chosen]
            entity, other = chosen[0].entity, rng.choice(names[chosen[0].kind or ""])
            named = all(entity in ask and entity not in answer for ask, answer in zip(asks, answers, strict=True))
            if named and entity and other and entity in text and other not in text:
                text, asks = text.replace(entity, other), [ask.replace(entity, other) for ask in asks]
            if made_up and rng.random() < made_up:
                text, answers = _made_up(text, asks, answers, words, rng)
            title, _, body = text.partition("\n")
            told_as = replace(passage, title=title, text=body)
            pairs = list(zip(asks, answers, strict=True))
            if recitals:
                pairs = _with_recitals(pairs, told_as, recitals, rng)
            rows = [{"prompt": prompts.reader_prompt(ask), "target": prompts.answer_text(answer)} for ask, answer in pairs]
            condition = prompts.condition_prompt(None, prompts.passage_text(told_as))
            first = {"id": f"{chosen[0].id}#{number}", "mode": "reading", CONDITION: condition}
            yield first | rows[0] | {"also": rows[1:]}
            number += 1


def _with_recitals(
    pairs: Sequence[tuple[str, str]], passage: Passage, share: float, rng: random.Random
) -> list[tuple[str, str]]:
    kept = [pair for pair in pairs if rng.random() >= share]
    wanted = QUESTIONS_A_PASSAGE - len(kept)
    told = dict.fromkeys(pair for pair in (recited(passage, rng) for _ in range(wanted + _DRAWS)) if pair)
    return [*kept, *islice(told, wanted)] or list(pairs)


def _made_up(
    text: str, asks: Sequence[str], answers: Sequence[str], words: list[str], rng: random.Random
) -> tuple[str, list[str]]:
    """The passage with another value wherever it states one of these answers, and the answers that it now gives.

    If it states all of them, its other numbers and capitals give way as well. What a question names, and values of which one
    is part of an answer, stay as they are.
    """
    drawn: dict[str, str] = {}
    opaque = OPAQUE.findall(text) if all(answer in text for answer in answers) else []
    for said in dict.fromkeys([*opaque, *answers]):
        stated = re.compile(rf"(?<!\w){re.escape(said)}(?!\w)")
        overlaps = any(said != other and (said in other or other in said) for other in answers)
        value = next((value for value in (_like(said, words, rng) for _ in range(_DRAWS)) if value not in text), None)
        if overlaps or value is None or any(map(stated.search, asks)):
            continue
        text, count = stated.subn(lambda _, value=value: value, text)
        if count:
            drawn[said] = value
    return text, [drawn.get(answer, answer) for answer in answers]


def _like(value: str, words: list[str], rng: random.Random) -> str:
    """Something of the same shape: another number of the same unit, or for each word the halves of two others in one."""
    if _DIGIT.search(value):
        return _DIGIT.sub(lambda digit: str(rng.randint(digit.start() == 0 and len(value) > 1, 9)), value)
    return _WORD.sub(lambda word: _word(word[0], words, rng), value)


def _word(like: str, words: list[str], rng: random.Random) -> str:
    front, back = rng.choice(words), rng.choice(words)
    made = (front[: (len(front) + 1) // 2] + back[len(back) // 2 :].lower())[: max(3 * len(like), 4)] if len(like) > 3 else ""
    made = made or "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in like)
    return made.upper() if like.isupper() else made.capitalize() if like[0].isupper() else made.lower()
