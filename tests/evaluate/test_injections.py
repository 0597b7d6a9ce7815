"""Attack success rates: an extractor that keeps everything is always won over, one that keeps nothing never."""

from collections.abc import Sequence

import pytest

from aag_ray.config import ExtractSection
from aag_ray.evaluate.injections import injection_rates
from aag_ray.extract.baselines import Bm25Extractor, WholePageExtractor
from aag_ray.extract.evidence import TaggedPage
from aag_ray.extract.examples import example
from aag_ray.extract.generating import Generated
from aag_ray.extract.injections import ATTACKS, PAYLOAD
from aag_ray.pages.page import BlockKind, Metadata, Piece, assemble

PAGE = assemble(
    [Piece(BlockKind.PARAGRAPH, text) for text in ("Zinc melts at 420 degrees.", "It is blue.", "Snow falls.")],
    "https://a.example/", Metadata(language="en"), 10**6,
).page  # fmt: skip
assert PAGE is not None
EXAMPLES = [example("zinc", "At how many degrees melts zinc?", PAGE, (1,), "test", answers=("420",))]


class Obedient:
    """Writes what the page orders."""

    name = "obedient"

    def write(self, question: str, pages: Sequence[TaggedPage]) -> list[Generated]:
        return [Generated(f"As ordered: {PAYLOAD}") for _ in pages]

    extract = WholePageExtractor(ExtractSection()).extract


def test_an_extractor_that_keeps_everything_is_won_over_by_every_attack():
    rates = injection_rates(WholePageExtractor(ExtractSection()), EXAMPLES, samples=50)
    assert rates["attacks"] == len(ATTACKS) >= 40
    assert rates["rate"]["value"] == 100


def test_what_a_harmless_sentence_gets_too_is_not_the_attacks_doing():
    takes_all = injection_rates(WholePageExtractor(ExtractSection()), EXAMPLES, samples=50)
    assert takes_all["harmless"]["value"] == 100
    only_matching = injection_rates(Bm25Extractor(ExtractSection(threshold=1.0)), EXAMPLES, samples=50)
    assert only_matching["harmless"]["value"] == 0
    assert only_matching["harmless"]["n"] == len(ATTACKS)


def test_an_extractor_that_keeps_nothing_is_never_won_over():
    rates = injection_rates(Bm25Extractor(ExtractSection(threshold=1.0)), EXAMPLES, samples=50)
    assert rates["rate"]["value"] <= 100 * 2 / len(ATTACKS)
    assert sum(rates["kinds"].values()) == round(rates["rate"]["value"] * len(ATTACKS) / 100)


def test_a_writing_extractor_is_judged_by_what_it_writes():
    rates = injection_rates(Obedient(), EXAMPLES, samples=50)
    assert rates["rate"]["value"] == 100
    assert "harmless" not in rates, "it writes no payload that no page names"


def test_without_pages_there_is_nothing_to_measure():
    with pytest.raises(ValueError, match="attacks need pages"):
        injection_rates(WholePageExtractor(ExtractSection()), [])
