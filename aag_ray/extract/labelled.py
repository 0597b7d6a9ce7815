"""Pages with known labels: from questions with known answers, and from made-up facts hidden in their passages."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence

from aag_ray.config import ExtractorDataSection
from aag_ray.extract.examples import ExtractionExample
from aag_ray.extract.gold import label
from aag_ray.extract.haystack import haystack, hide_needle, spread
from aag_ray.extract.needles import Language, make_needles
from aag_ray.extract.tokens import estimated_tokens
from aag_ray.extract.web_pages import web_pages
from aag_ray.records import Question


def label_pages(
    questions: Sequence[Question], section: ExtractorDataSection, name: str, seed: int
) -> tuple[list[ExtractionExample], dict[str, int]]:
    """Examples of one split, and how the labelling of its questions ended.

    Outside `train` there are a tenth as many needles and a fifth as many pages of the web.
    """
    labelled = list(label(questions, section.negatives, seed))
    examples = [each.example for each in labelled if each.example is not None]
    needles, pages = (section.needles, section.web) if name == "train" else (section.needles // 10, section.web // 5)
    examples += hidden_needles(
        questions, needles, section.needle_tokens, name, seed, section.needle_languages, section.needle_depths
    )
    if pages:
        examples += web_pages(questions, pages, section.world, seed)
    return examples, dict(Counter(each.outcome.value for each in labelled))


def hidden_needles(
    questions: Sequence[Question],
    count: int,
    tokens: int,
    name: str,
    seed: int,
    languages: Sequence[Language] = ("en",),
    depths: Sequence[float] = (),
) -> Iterator[ExtractionExample]:
    """Made-up facts in pages laid from the questions' passages, at one of `depths`, or anywhere if there are none.

    Every fifth page lacks its fact.
    """
    draw = random.Random(f"hidden:{seed}:{name}")
    texts = list({passage.id: passage.text for question in questions for passage in question.contexts}.values())
    for number, needle in enumerate(make_needles(count, draw.randrange(2**31), languages=languages)):
        length = draw.randint(tokens // 4, tokens)
        page = haystack([draw.choice(texts) for _ in range(length)], length, estimated_tokens, f"haystack:{name}:{number}")
        missing = number % 5 == 4
        places = [] if missing else spread(draw.choice(depths) if depths else draw.random(), len(needle.sentences))
        yield hide_needle(needle, page, places, identity=f"needle:{name}:{number}", decoys=number % 3, seed=seed)
