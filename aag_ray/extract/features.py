"""What words alone say of a span: how much of the question stands in it, and around it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from aag_ray.extract.evidence import TaggedPage
from aag_ray.web.rank.lexical import question_words, words

FEATURES = ("span", "neighbours", "block", "headings", "page")


def lexical_features(question: str, pages: Sequence[TaggedPage]) -> list[list[tuple[float, ...]]]:
    """For each page and span, shares of the question's words in [0, 1], rare words counting more (FEATURES).

    `span`: in the span; `neighbours`: in it or the spans beside it; `block`: in its block; `headings`: in the headings above
    it or the page's title; `page`: in the page at all. Rarity is counted over the blocks of all pages of the request.
    """
    asked = set(question_words(question))
    found: list[list[set[str]]] = []
    blocks = Counter[str]()
    total = 0
    for each in pages:
        text = each.page.text
        found.append([asked.intersection(words(text[span.start : span.end])) for span in each.spans])
        by_block: dict[int, set[str]] = {}
        for span, held in zip(each.spans, found[-1], strict=True):
            by_block.setdefault(span.block, set()).update(held)
        blocks.update(word for held in by_block.values() for word in held)
        total += len(by_block)
    weight = {word: math.log1p((total - blocks[word] + 0.5) / (blocks[word] + 0.5)) + 0.1 for word in asked}
    # exact sums: the order of a set's words differs from process to process, and trainings are resumed by equal rows
    whole = math.fsum(weight.values())

    def share(held: set[str]) -> float:
        return math.fsum(weight[word] for word in held) / whole if whole else 0.0

    return [_features(asked, each, held, share) for each, held in zip(pages, found, strict=True)]


def _features(
    asked: set[str], page: TaggedPage, found: list[set[str]], share: Callable[[set[str]], float]
) -> list[tuple[float, ...]]:
    by_block: dict[int, set[str]] = {}
    for span, held in zip(page.spans, found, strict=True):
        by_block.setdefault(span.block, set()).update(held)
    title = asked.intersection(words(page.page.title))
    above = {
        block: share(title | asked.intersection(words(" ".join(page.page.blocks[block].heading_path)))) for block in by_block
    }
    in_block = {block: share(held) for block, held in by_block.items()}
    on_page = share(set().union(title, *found))
    rows = []
    for place, (span, held) in enumerate(zip(page.spans, found, strict=True)):
        beside = set().union(*found[max(0, place - 1) : place + 2])
        rows.append((share(held), share(beside), in_block[span.block], above[span.block], on_page))
    return rows
