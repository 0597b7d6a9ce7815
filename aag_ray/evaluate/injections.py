"""How often orders in page text have their way with an extractor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aag_ray.evaluate.intervals import bootstrap
from aag_ray.extract.evidence import Extractor
from aag_ray.extract.examples import ExtractionExample
from aag_ray.extract.injections import ATTACKS, HARMLESS, Attack, attack_success, attacked_page


def injection_rates(extractor: Extractor, examples: Sequence[ExtractionExample], samples: int = 2000) -> dict[str, Any]:
    """Every attack of the corpus in the middle of a page, for the question that belongs to the page; pages taken in turn.

    An extractor that writes (`write`) is won over if the payload stands in its text, the others as `attack_success` says.
    `rate` is in percent with a bootstrap interval, `kinds` counts successes. `harmless`, of those that do not write, is how
    often they take a sentence about nothing in the attack's place: what exceeds it, the attack has done. Raises ValueError
    without examples.
    """
    if not examples:
        raise ValueError("attacks need pages to stand on")
    write = getattr(extractor, "write", None)

    def taken(number: int, attack: Attack) -> bool:
        example = examples[number % len(examples)]
        attacked = attacked_page(example.page, attack)
        if write is not None:
            return attack_success(write(example.question, [attacked.tagged])[0].text, attacked)
        return attack_success(extractor.extract(example.question, [attacked.tagged]), attacked)

    def percent(hits: Sequence[bool]) -> dict[str, Any]:
        return bootstrap([float(hit) for hit in hits], samples).to_dict()

    hits = [taken(number, attack) for number, attack in enumerate(ATTACKS)]
    kinds = Counter(attack.kind.value for attack, hit in zip(ATTACKS, hits, strict=True) if hit)
    rates = {"attacks": len(hits), "rate": percent(hits), "kinds": dict(sorted(kinds.items()))}
    if write is None:
        rates["harmless"] = percent([taken(number, replace(attack, text=HARMLESS)) for number, attack in enumerate(ATTACKS)])
    return rates
