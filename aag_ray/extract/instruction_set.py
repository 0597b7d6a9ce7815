"""Confirmed rows to a training set (ZI-ISAG, data/construct.py, step 4): duplicates out, portions, splits, two forms.

Everything is decided by hashes and a seed, so the same rows give the same set in whatever order they come.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
    """The instructions, what became of every row (counts by outcome, duplicates, negatives left over), and the rows kept.

    Each of the rows is in its `split`.
    """

    instructions: tuple[Instruction, ...]
    counts: Mapping[str, Any]
    rows: tuple[InstructionRow, ...]


def construct(
    rows: Iterable[InstructionRow],
    *,
    negatives: float = 0.5,
    seed: int = 0,
    similarity: float = 0.8,
    shares: Sequence[float] = SHARES,
) -> InstructionSet:
    """The set of all confirmed rows, at most the share `negatives` (0..1, exclusive of 1) of it without relevant spans.

    Too many negatives are drawn from by `seed`; too few are all taken, and the counts say how many were wanted. Requests that
    are near-duplicates on near-duplicate pages are taken once with spans and once without. A row stays in the split of its
    question; the page of a row without one goes to train, dev or test by `shares`. Near-duplicate pages are in one split: test
    before dev before train. Raises ValueError for a share that is none, and for two rows with one id.
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
    splits = _splits(confirmed, pages, shares)
    chosen = sorted([*positive, *negative[:wanted]], key=lambda row: row.id)
    kept = tuple(replace(row, split=splits[pages[row.id]]) for row in chosen)
    made = tuple(each for row in kept for each in instructions(row, row.split))
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
        "needles": dict(Counter(_needle(row) for row in kept if row.language)),
        "splits": {split: sum(each.split == split for each in made) for split in SPLITS},
        "tokens_in": sum(call["tokens_in"] for row in given for call in row.calls),
        "tokens_out": sum(call["tokens_out"] for row in given for call in row.calls),
        "cost": sum(call["cost"] for row in given for call in row.calls),
    }
    return InstructionSet(made, counts, kept)


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


def _splits(rows: Sequence[InstructionRow], pages: Mapping[str, str], shares: Sequence[float]) -> dict[str, str]:
    """For each original page the strictest split of the rows on it."""
    found: dict[str, str] = {}
    for row in rows:
        page = pages[row.id]
        found[page] = max(found.get(page, SPLITS[0]), row.split or split_of(page, shares), key=SPLITS.index)
    return found


def _needle(row: InstructionRow) -> str:
    """Its language, and the quarter of the page that its first sentence is in."""
    if row.depth is None:
        return f"{row.language}, left out"
    quarter = min(3, int(4 * row.depth))
    return f"{row.language}, depth {25 * quarter} to {25 * quarter + 25} %"


def _once(rows: Sequence[InstructionRow], pages: Mapping[str, str]) -> list[InstructionRow]:
    """Without rows that ask the same of the same part of the same page.

    A question's page without its answer has the URL of the page with it, and much of its text, and is another example.
    """
    groups: dict[tuple[str, int, bool], list[InstructionRow]] = {}
    for row in rows:
        groups.setdefault((pages[row.id], row.first, bool(row.items)), []).append(row)
    kept = []
    for group in groups.values():
        # An index takes time to set up, and most pages are asked about once.
        first = originals((row.request for row in group), SAME_REQUEST, shingle=2) if len(group) > 1 else [0]
        kept += [row for place, row in enumerate(group) if first[place] == place]
    return kept


def _hash(text: str) -> float:
    """A number in [0, 1) that is the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode(errors="replace")).digest()[:6], "big") / 2**48
