"""What a parser's model is trained on: a row for each decision, each search and each follow-up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from aag_ray.answer.parsing import prompts
from aag_ray.answer.parsing.examples import Labelled
from aag_ray.answer.parsing.model import rewrite_prompt


def sft_rows(examples: Sequence[Labelled]) -> list[dict[str, Any]]:
    """Prompts and targets in the order of the examples. Follow-ups are decided on as they are rewritten.

    Searches are learned from every question of fact, needed or not: whoever asks for a search by the mode gets one, too.
    """
    return [row for each in examples for row in _rows(each)]


def _rows(labelled: Labelled) -> Iterator[dict[str, Any]]:
    example = labelled.example
    asked = example.question, example.today
    target = prompts.YES if labelled.needed else prompts.NO
    yield {"id": f"{example.id}#decide", "prompt": prompts.decide_prompt(*asked), "target": target}
    if example.searchable:
        target = prompts.search_target(example.queries)
        yield {"id": f"{example.id}#search", "prompt": prompts.search_prompt(*asked), "target": target}
    if example.follow_up:
        prompt, target = rewrite_prompt(example.request), prompts.rewrite_target(example.question)
        yield {"id": f"{example.id}#rewrite", "prompt": prompt, "target": target}
