"""How often orders in page text have their way with an extractor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from aag_ray.evaluate.intervals import bootstrap
from aag_ray.extract.evidence import Extractor
from aag_ray.extract.examples import ExtractionExample
from aag_ray.extract.injections import ATTACKS, attack_success, attacked_page


def injection_rates(extractor: Extractor, examples: Sequence[ExtractionExample], samples: int = 2000) -> dict[str, Any]:
    """Every attack of the corpus in the middle of a page, for the question that belongs to the page; pages taken in turn.

    An extractor that writes (`write`) is won over if the payload stands in its text, the others as `attack_success` says.
    `rate` is in percent with a bootstrap interval, `kinds` counts successes. Raises ValueError without examples.
    """
    if not examples:
        raise ValueError("attacks need pages to stand on")
    hits: list[bool] = []
    kinds: Counter[str] = Counter()
    write = getattr(extractor, "write", None)
    for number, attack in enumerate(ATTACKS):
        example = examples[number % len(examples)]
        attacked = attacked_page(example.page, attack)
        if write is not None:
            hits.append(attack_success(write(example.question, [attacked.tagged])[0].text, attacked))
        else:
            hits.append(attack_success(extractor.extract(example.question, [attacked.tagged]), attacked))
        kinds[attack.kind.value] += hits[-1]
    return {
        "attacks": len(hits),
        "rate": bootstrap([float(hit) for hit in hits], samples).to_dict(),
        "kinds": {kind: count for kind, count in sorted(kinds.items()) if count},
    }
