"""The adapter gate: does the adapter made for a question carry anything about that question?

A hypernetwork can answer well and still act as one static LoRA. So AAG must beat a static LoRA of equal size and its own
adapters handed to the wrong questions; and its adapters must differ between questions at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aag_ray.evaluate.intervals import Interval

if TYPE_CHECKING:
    from torch import Tensor

    from aag_ray.llm.adapters import Adapter

MIN_QUESTIONS = 30
ROWS_AT_ONCE = 128
REQUIRED = {
    "aag-static_lora": "a static LoRA with as many trained parameters",
    "aag-aag_shuffled": "AAG with the adapters of other questions",
}


def delta_features(adapter: Adapter) -> Tensor:
    """Coordinates (n, n) with the same lengths and distances as the n weight updates A B over all layers.

    The updates of one model have up to 10^8 entries and the factors are not unique, so the inner products of the updates
    are taken, exactly, and turned into coordinates: from the factors where their rank is low, else from a few rows of the
    updates at a time. Time grows with n^2: some 200 questions are enough.
    """
    import torch

    n = adapter.examples
    products = torch.zeros(n, n, dtype=torch.float64)
    for a, b in adapter.factors.values():
        inner = _from_factors if a.shape[2] ** 2 <= min(a.shape[1], b.shape[2]) else _from_rows
        products += inner(a.detach().float(), b.detach().float()).cpu()
    values, vectors = torch.linalg.eigh(products)
    return vectors * values.clamp_min(0).sqrt()


def _from_factors(a: Tensor, b: Tensor) -> Tensor:
    n, _, rank = a.shape
    left, right = a.transpose(1, 2).reshape(n * rank, -1), b.reshape(n * rank, -1)
    both = (left @ left.T) * (right @ right.T)
    return both.view(n, rank, n, rank).double().sum(dim=(1, 3))


def _from_rows(a: Tensor, b: Tensor) -> Tensor:
    inner = a.new_zeros(len(a), len(a)).double()
    for rows in a.split(ROWS_AT_ONCE, dim=1):
        update = (rows @ b).flatten(1)
        inner += (update @ update.T).double()
    return inner


def adapter_variance(adapters: Tensor) -> float:
    """Share (0..1) of the adapters' size that differs between questions: variance over questions / second moment.

    `adapters` is (n, features), see `delta_features`. 0: every question got the same adapter (or none at all); near 1:
    nothing is common to two questions. Raises ValueError for fewer than two questions.
    """
    features = _checked(adapters)
    total = features.square().sum()
    if total == 0:
        return 0.0
    return float((features - features.mean(dim=0)).square().sum() / total)


def eta_squared(adapters: Tensor, labels: Sequence[str]) -> float:
    """Share (0..1) of the variance between questions that a label (relation, kind) explains.

    Near 1, the adapter only says what sort of question it is; an adapter about the entity varies within a label. With many
    labels of few questions it is high by chance. Raises ValueError unless every adapter has a label.
    """
    features = _checked(adapters)
    if len(labels) != len(features):
        raise ValueError(f"{len(labels)} labels for {len(features)} adapters")
    centred = features - features.mean(dim=0)
    total = centred.square().sum()
    if total == 0:
        return 0.0
    groups = {label: [row for row, other in enumerate(labels) if other == label] for label in set(labels)}
    return float(sum(len(rows) * centred[rows].mean(dim=0).square().sum() for rows in groups.values()) / total)


def gate_verdict(em: Mapping[str, Interval], differences: Mapping[str, Interval]) -> dict[str, Any]:
    """Pass or fail with the reason in words: `{"passed", "reason", "checks": {difference: {"passed", "reason"}}}`.

    `em` and `differences` are keyed as in the result table. The gate passes if both differences of REQUIRED have a paired
    interval above zero over at least MIN_QUESTIONS questions; what was not measured does not pass.
    """
    checks = {name: _check(differences.get(name), rival) for name, rival in REQUIRED.items()}
    failed = [check["reason"] for check in checks.values() if not check["passed"]]
    score = f"AAG answers {em['aag'].value:.1f} % exactly; " if "aag" in em else ""
    if failed:
        reason = f"{score}{'; '.join(failed)}."
    else:
        reasons = "; ".join(check["reason"] for check in checks.values())
        reason = f"{score}{reasons}. The adapter carries information about its question."
    return {"passed": not failed, "reason": reason, "checks": checks}


def _check(difference: Interval | None, rival: str) -> dict[str, Any]:
    if difference is None:
        return {"passed": False, "reason": f"the difference to {rival} was not measured"}
    if difference.n < MIN_QUESTIONS:
        reason = f"{difference.n} questions cannot show a difference to {rival}: at least {MIN_QUESTIONS} are needed"
        return {"passed": False, "reason": reason}
    span = f"{difference.value:+.1f} points, 95 % interval {difference.low:+.1f} to {difference.high:+.1f}"
    relation = "above" if difference.above_zero else "below" if difference.high < 0 else "not shown to be above"
    return {"passed": difference.above_zero, "reason": f"it is {relation} {rival} ({span})"}


def _checked(adapters: Tensor) -> Tensor:
    if adapters.dim() != 2 or adapters.shape[0] < 2:
        raise ValueError(f"adapters of at least two questions are needed as (questions, features), got {tuple(adapters.shape)}")
    return adapters.detach().double()
