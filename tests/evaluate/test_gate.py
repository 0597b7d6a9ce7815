"""The adapter gate: what it measures of adapters, and when it opens."""

from __future__ import annotations

import pytest
import torch

from aag_ray.evaluate import gate
from aag_ray.evaluate.gate import MIN_QUESTIONS, adapter_variance, delta_features, eta_squared, gate_verdict
from aag_ray.evaluate.intervals import Interval
from aag_ray.llm.adapters import Adapter


def random_adapter(n: int = 6, rank: int = 3) -> Adapter:
    draw = torch.Generator().manual_seed(29)
    shapes = {"layers.0.down_proj": (20, 12), "layers.1.down_proj": (20, 12), "layers.1.q_proj": (12, 8)}
    return Adapter(
        {
            name: (torch.randn(n, d_in, rank, generator=draw), torch.randn(n, rank, d_out, generator=draw))
            for name, (d_in, d_out) in shapes.items()
        }
    )


def dense(adapter: Adapter) -> torch.Tensor:
    return torch.cat([adapter.deltas(name).flatten(1) for name in adapter.factors], dim=1).double()


@pytest.mark.parametrize("rank", [2, 3, 9])
def test_features_keep_the_geometry_of_the_weight_updates(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a low rank from the factors, of a higher one from a few rows of the updates at a time."""
    monkeypatch.setattr(gate, "ROWS_AT_ONCE", 7)
    adapter = random_adapter(rank=rank)
    features, updates = delta_features(adapter), dense(adapter)
    torch.testing.assert_close(features @ features.T, updates @ updates.T, rtol=1e-4, atol=1e-3)
    assert adapter_variance(features) == pytest.approx(adapter_variance(updates), abs=1e-5)
    labels = ["x", "y", "x", "y", "x", "z"]
    assert eta_squared(features, labels) == pytest.approx(eta_squared(updates, labels), abs=1e-5)


def test_factors_that_cannot_be_told_apart_by_their_update_have_equal_features() -> None:
    adapter = random_adapter()
    rescaled = Adapter({name: (a * 5, b / 5) for name, (a, b) in adapter.factors.items()})
    assert adapter_variance(delta_features(rescaled)) == pytest.approx(adapter_variance(delta_features(adapter)), abs=1e-5)


def test_one_adapter_for_all_questions_explains_nothing() -> None:
    same = random_adapter(1).select([0]).map(lambda factor: factor.repeat(5, 1, 1))
    assert adapter_variance(delta_features(same)) == pytest.approx(0, abs=1e-5)
    assert adapter_variance(torch.zeros(4, 7)) == 0
    assert eta_squared(torch.ones(4, 7), ["a", "b", "a", "b"]) == 0


def test_adapters_with_nothing_in_common_differ_almost_wholly() -> None:
    assert adapter_variance(torch.eye(100)) == pytest.approx(0.99)


def test_a_common_part_lowers_the_share() -> None:
    own = torch.randn(200, 50, generator=torch.Generator().manual_seed(1))
    common = torch.full((50,), 3.0)
    assert adapter_variance(own + common) == pytest.approx(0.1, abs=0.02)


def test_a_label_explains_what_lies_between_its_groups() -> None:
    labels = ["capital", "currency"] * 50
    by_label = torch.tensor([[1.0, 0.0], [0.0, 1.0]] * 50)
    noise = torch.randn(100, 2, generator=torch.Generator().manual_seed(2))
    assert eta_squared(by_label, labels) == pytest.approx(1)
    assert eta_squared(noise, labels) < 0.1
    assert eta_squared(by_label + noise, labels) == pytest.approx(0.2, abs=0.1)


def test_one_question_has_no_variance() -> None:
    with pytest.raises(ValueError, match="at least two questions"):
        adapter_variance(torch.ones(1, 4))
    with pytest.raises(ValueError, match="3 labels for 2 adapters"):
        eta_squared(torch.ones(2, 4), ["a", "b", "c"])


EM = {"aag": Interval(75.0, 70.0, 80.0, 400)}
ABOVE, AROUND, BELOW = (Interval(value, value - 3, value + 3, 400) for value in (5.0, 1.0, -6.0))


def test_the_gate_opens_only_above_both_rivals() -> None:
    verdict = gate_verdict(EM, {"aag-static_lora": ABOVE, "aag-aag_shuffled": ABOVE, "aag-few_shot": BELOW})
    assert verdict["passed"]
    assert verdict["reason"] == (
        "AAG answers 75.0 % exactly; it is above a static LoRA with as many trained parameters (+5.0 points, 95 % interval "
        "+2.0 to +8.0); it is above AAG with the adapters of other questions (+5.0 points, 95 % interval +2.0 to +8.0). "
        "The adapter carries information about its question."
    )


@pytest.mark.parametrize(("worse", "word"), [(AROUND, "not shown to be above"), (BELOW, "is below")])
@pytest.mark.parametrize("rival", ["aag-static_lora", "aag-aag_shuffled"])
def test_one_rival_not_beaten_closes_the_gate_and_is_named(rival: str, worse: Interval, word: str) -> None:
    verdict = gate_verdict(EM, {"aag-static_lora": ABOVE, "aag-aag_shuffled": ABOVE} | {rival: worse})
    assert not verdict["passed"]
    assert [name for name, check in verdict["checks"].items() if not check["passed"]] == [rival]
    assert word in verdict["reason"]
    assert "carries information" not in verdict["reason"]


def test_what_was_not_measured_does_not_pass() -> None:
    verdict = gate_verdict({}, {"aag-static_lora": ABOVE})
    assert not verdict["passed"]
    assert "adapters of other questions was not measured" in verdict["reason"]


def test_a_handful_of_questions_shows_nothing() -> None:
    sure = Interval(100.0, 100.0, 100.0, MIN_QUESTIONS - 1)
    verdict = gate_verdict(EM, {"aag-static_lora": sure, "aag-aag_shuffled": sure})
    assert not verdict["passed"]
    assert f"at least {MIN_QUESTIONS} are needed" in verdict["reason"]
