"""The systems that a result compares: their keys, the names people read, their order and their groups."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Group = Literal["baseline", "aag", "control", "retrieval", "other"]

NAMES: dict[str, tuple[str, Group]] = {
    "zero_shot": ("Zero-shot", "baseline"),
    "few_shot": ("4-shot", "baseline"),
    "static_lora": ("Static LoRA, equal parameters", "baseline"),
    "generator_only": ("Dummy document in the prompt", "aag"),
    "hypernetwork_only": ("Hypernetwork on the question", "aag"),
    "aag": ("AAG: document + adapter", "aag"),
    "aag_shuffled": ("AAG, adapters shuffled", "control"),
    "aag_mean": ("AAG, mean adapter", "control"),
    "aag_zero": ("AAG, zero adapter", "control"),
    "oracle": ("Oracle compressed document", "retrieval"),
}
_RETRIEVED = re.compile(r"retrieved_(\d+)")
_BEFORE_RETRIEVED = list(NAMES).index("oracle")


def long_name(system: str, shots: int = 4) -> str:
    """The name for people. A system that is not known keeps its key."""
    if system == "few_shot":
        return f"{shots}-shot"
    if found := _RETRIEVED.fullmatch(system):
        return f"{found[1]} retrieved passage{'' if found[1] == '1' else 's'}"
    return NAMES[system][0] if system in NAMES else system


def group_of(system: str) -> Group:
    if _RETRIEVED.fullmatch(system):
        return "retrieval"
    return NAMES[system][1] if system in NAMES else "other"


def in_order(systems: Iterable[str]) -> list[str]:
    """Systems in the order of every table: baselines, AAG and its parts, its controls, retrieval, then any other by name."""
    return sorted(systems, key=_rank)


def _rank(system: str) -> tuple[float, int, str]:
    if found := _RETRIEVED.fullmatch(system):
        return _BEFORE_RETRIEVED - 0.5, int(found[1]), system
    return list(NAMES).index(system) if system in NAMES else len(NAMES), 0, system
