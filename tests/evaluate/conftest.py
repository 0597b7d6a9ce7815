"""A small result of an evaluation, as the evaluation stage hands it to the report."""

from __future__ import annotations

from typing import Any

import pytest


def interval(value: float, low: float, high: float, n: int = 40) -> dict[str, float]:
    return {"value": value, "low": low, "high": high, "n": n}


@pytest.fixture
def result() -> dict[str, Any]:
    return {
        "systems": {
            "oracle": {"em": interval(90.0, 80.0, 97.5), "f1": 92.5, "subspan": 95.0, "prompt_tokens": 90.4},
            "aag_shuffled": {"em": interval(40.0, 25.0, 55.0), "f1": 44.0, "subspan": 42.5, "trained_parameters": 830_000},
            "aag": {
                "em": interval(75.0, 62.5, 87.5),
                "f1": interval(78.0, 66.0, 89.0),
                "subspan": 77.5,
                "trained_parameters": 830_000,
                "prompt_tokens": 85.2,
                "seconds_per_question": 0.21,
            },
            "retrieved_5": {"em": interval(85.0, 72.5, 95.0), "f1": 86.0, "prompt_tokens": 410.0},
            "zero_shot": {"em": 2.5, "trained_parameters": 0, "seconds_per_question": 0.1234},
        },
        "differences": {"aag-aag_shuffled": interval(35.0, 20.0, 50.0), "aag-static_lora": interval(1.0, -2.0, 4.0)},
        "by_kind": {
            "country": {"aag": interval(80.0, 60.0, 95.0, 30), "zero_shot": interval(3.3, 0.0, 10.0, 30)},
            "city|town": {"aag": 60.0},
        },
        "gate": {"passed": False, "reason": "It is not above.", "adapter_variance": 0.25, "eta_squared": {"relation": 0.5}},
        "documents": {
            "n": 40,
            "generated": {"has_answer": interval(55.0, 40.0, 70.0), "repeated_trigrams": 3.21, "words": 48.0},
            "static": {"has_answer": interval(5.0, 0.0, 12.5), "repeated_trigrams": 2.0, "words": 48.0},
        },
        "machine": {"cpu": "A <fast> one", "cores": 2, "gpu": None},
        "cases": [
            {
                "question": "What is <script>alert(1)</script>?",
                "answers": ["Paris", "Paris & Seine"],
                "entity": '"France"',
                "document": "The capital <b>Paris</b> lies on the Seine.",
                "predictions": {"aag": " paris \nLyon", "zero_shot": "<img src=x onerror=alert(2)>", "oracle": ""},
            },
            {"question": "日本の首都は?", "answers": ["東京"], "entity": "", "document": None, "predictions": {"aag": "東京"}},
        ],
    }
