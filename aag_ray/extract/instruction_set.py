"""Confirmed rows to a training set (ZI-ISAG, data/construct.py, step 4): duplicates out, portions, splits, two forms.

Everything is decided by hashes and a seed, so the same rows give the same set in whatever order they come.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from aag_ray.extract.info_tags import write_info, write_tags
from aag_ray.extract.instructions import InstructionRow, RowOutcome
from aag_ray.extract.prompts import info_tag_prompt, tag_prompt
from aag_ray.pages.duplicates import originals
from aag_ray.records import SPLITS

Form = Literal["info_tag", "tag"]
SHARES = (0.9, 0.05, 0.05)
# So strict that a question about another name is another question.
SAME_REQUEST = 0.9


@dataclass(frozen=True, slots=True)
class Instruction:
    """One training example in ChatML: `prompt` is the user's turn, `chosen` the assistant's, header and end included."""

    id: str
    form: Form
    prompt: str
    chosen: str
    url: str
    split: str
    relevant: bool
    source: str


class InstructionSet(NamedTuple):
    """The instructions, and what became of every row: counts by outcome, duplicates, negatives left over."""

    instructions: tuple[Instruction, ...]
    counts: Mapping[str, Any]


def construct(
    rows: Iterable[InstructionRow],
    *,
    negatives: float = 0.5,
    seed: int = 0,
    similarity: float = 0.8,
    shares: Sequence[float] = SHARES,
) -> InstructionSet:
    """The set of all confirmed rows, at most the share `negatives` (0..1, exclusive of 1) of it without relevant spans.

    Too many negatives are drawn from by `seed`; too few are all taken, and the counts say how many were wanted. Pages that are
    near-duplicates go to one split, requests that are near-duplicates on such pages are taken once. `shares` are those of
    train, dev and test. Raises ValueError for a share that is none, and for two rows with one id.
    """
    if not 0 <= negatives < 1 or len(shares) != len(SPLITS) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"negatives={negatives} must be at least 0 and below 1, shares={shares} three that add up to 1")
    given = sorted(rows, key=lambda row: row.id)
    twice = [identity for identity, count in Counter(row.id for row in given).items() if count > 1]
    if twice:
        raise ValueError(f"{len(twice)} ids come twice: {', '.join(twice[:5])}")
    confirmed = [row for row in given if row.outcome is RowOutcome.CONFIRMED]
    pages = _original_pages(confirmed, similarity)
    once = _once(confirmed, pages)
    positive = [row for row in once if row.items]
    negative = sorted((row for row in once if not row.items), key=lambda row: _hash(f"{seed}:{row.id}"))
    wanted = round(negatives / (1 - negatives) * len(positive))
    kept = sorted([*positive, *negative[:wanted]], key=lambda row: row.id)
    made = tuple(each for row in kept for each in instructions(row, split_of(pages[row.id], shares)))
    counts = {
        "rows": len(given),
        "outcomes": dict(Counter(row.outcome.value for row in given)),
        "teacher_outcomes": dict(Counter(f"{call['step']}: {call['outcome']}" for row in given for call in row.calls)),
        "ignored": dict(sum((Counter(row.ignored) for row in given), Counter())),
        "duplicates": len(confirmed) - len(once),
        "positives": len(positive),
        "negatives": min(wanted, len(negative)),
        "negatives_wanted": wanted,
        "negatives_left_over": max(0, len(negative) - wanted),
        "pages": len({pages[row.id] for row in kept}),
        "sources": dict(Counter(row.source for row in kept)),
        "splits": {split: sum(each.split == split for each in made) for split in SPLITS},
        "tokens_in": sum(call["tokens_in"] for row in given for call in row.calls),
        "tokens_out": sum(call["tokens_out"] for row in given for call in row.calls),
        "cost": sum(call["cost"] for row in given for call in row.calls),
    }
    return InstructionSet(made, counts)


def instructions(row: InstructionRow, split: str) -> Iterator[Instruction]:
    """The two forms of a confirmed row: prompt A with information and tags, prompt B with the tags alone."""
    answers: dict[Form, tuple[str, str]] = {
        "info_tag": (info_tag_prompt(row.tagged, row.request), write_info(row.items)),
        "tag": (tag_prompt(row.tagged, row.request), write_tags(item.numbers for item in row.items)),
    }
    for form, (prompt, answer) in answers.items():
        turns = (f"<|im_start|>user\n{prompt}<|im_end|>\n", f"<|im_start|>assistant\n{answer}<|im_end|>\n")
        yield Instruction(f"{row.id}/{form}", form, *turns, row.page.url, split, bool(row.items), row.source)


def split_of(page: str, shares: Sequence[float] = SHARES) -> str:
    """Train, dev or test, by a hash of the page's URL: all requests on a page stay together, today and in the next set."""
    place = _hash(page)
    for split, share in zip(SPLITS, shares, strict=True):
        place -= share
        if place < 0:
            return split
    return SPLITS[0]


def _original_pages(rows: Sequence[InstructionRow], similarity: float) -> dict[str, str]:
    """For each row id the URL of the earliest page that its page repeats."""
    texts: dict[str, str] = {}
    for row in rows:
        texts.setdefault(row.page.url, row.page.text)
    urls = list(texts)
    first = dict(zip(urls, (urls[at] for at in originals(texts.values(), similarity)), strict=True))
    return {row.id: first[row.page.url] for row in rows}


def _once(rows: Sequence[InstructionRow], pages: Mapping[str, str]) -> list[InstructionRow]:
    """Without rows that ask the same of the same part of the same page."""
    groups: dict[tuple[str, int], list[InstructionRow]] = {}
    for row in rows:
        groups.setdefault((pages[row.id], row.first), []).append(row)
    kept = []
    for group in groups.values():
        first = originals((row.request for row in group), SAME_REQUEST, shingle=2)
        kept += [row for place, row in enumerate(group) if first[place] == place]
    return kept


def _hash(text: str) -> float:
    """A number in [0, 1) that is the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode(errors="replace")).digest()[:6], "big") / 2**48
