"""Every table shows the systems in one order and under names that people read."""

from __future__ import annotations

import pytest

from aag_ray.evaluate.systems import NAMES, group_of, in_order, long_name


def test_the_order_is_baselines_then_aag_then_controls_then_retrieval() -> None:
    given = ["oracle", "retrieved_10", "aag_zero", "retrieved_1", "made_up", "aag", "retrieved_5", "zero_shot", "static_lora"]
    expected = [
        "zero_shot",
        "static_lora",
        "aag",
        "aag_zero",
        "retrieved_1",
        "retrieved_5",
        "retrieved_10",
        "oracle",
        "made_up",
    ]
    assert in_order(given) == expected
    assert in_order(reversed(NAMES)) == list(NAMES)


@pytest.mark.parametrize(
    ("system", "name"),
    [
        ("zero_shot", "Zero-shot"),
        ("few_shot", "8-shot"),
        ("retrieved_1", "1 retrieved passage"),
        ("retrieved_20", "20 retrieved passages"),
        ("aag", "AAG: document + adapter"),
        ("made_up", "made_up"),
    ],
)
def test_names_are_for_people_and_unknown_systems_keep_their_key(system: str, name: str) -> None:
    assert long_name(system, shots=8) == name


def test_groups_set_the_gates_controls_apart() -> None:
    assert {name for name in NAMES if group_of(name) == "control"} == {"aag_shuffled", "aag_mean", "aag_zero"}
    assert group_of("retrieved_7") == "retrieval"
    assert group_of("made_up") == "other"
