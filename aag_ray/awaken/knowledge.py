"""Training examples for documents in the parameters: what a text reader, and then a hypernetwork, learn to answer from one."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from aag_ray.awaken.mixture import CONDITION
from aag_ray.config import InternalizerSection

Row = Mapping[str, Any]


def shown(condition: str, prompt: str) -> str:
    """A prompt with the condition's document above its question, as `prompts.reader_prompt(question, document=…)` writes it."""
    return f"{condition}\n{prompt}"


def text_examples(reading: Sequence[Row]) -> list[dict[str, Any]]:
    """One example for each question of `reading.reading_examples`, with the document in the prompt."""
    return [
        {"id": row["id"], "prompt": shown(row[CONDITION], pair["prompt"]), "target": pair["target"]}
        for row in reading
        for pair in (row, *row["also"])
    ]


def internalizer_examples(reading: Sequence[Row], section: InternalizerSection, seed: int) -> list[dict[str, Any]]:
    """The examples of `reading.reading_examples`: of a share `shown` the document stands in the prompt as well; of the others
    a share `distill.share` carries, for every question, the prompt that the teacher reads. Of all a share `joined` is joined
    with up to `joined_with` others."""
    draw = random.Random(f"{seed}-knowledge")
    share_taught = section.distill.share if section.distill.asks_teacher else 0.0
    examples = []
    for row in reading:
        in_prompt = draw.random() < section.shown
        taught = not in_prompt and draw.random() < share_taught
        first, *others = (_pair(row[CONDITION], pair, in_prompt, taught) for pair in (row, *row["also"]))
        mode = "both" if in_prompt else "parameters"
        beside = draw.randint(1, section.joined_with) if draw.random() < section.joined else 0
        told = {"id": row["id"], "mode": mode, "beside": beside, CONDITION: row[CONDITION]}
        examples.append({**told, **first, "also": others})
    return examples


def _pair(condition: str, pair: Row, in_prompt: bool, taught: bool) -> dict[str, Any]:
    text = shown(condition, pair["prompt"])
    prompt = text if in_prompt else pair["prompt"]
    return {"prompt": prompt, "target": pair["target"], "teacher_prompt": text if taught else None}
