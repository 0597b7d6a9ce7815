"""Documents longer than a hypernetwork reads at once, cut between sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aag_ray.pages.plain import read_text
from aag_ray.pages.spans import split_spans


def document_parts(document: str, most: int, lengths: Callable[[Sequence[str]], Sequence[int]]) -> list[str]:
    """The document in parts of whole sentences of up to `most` tokens, as `lengths` counts them. A document that fits is one
    part, as it is; so is a single sentence that does not."""
    if lengths([document])[0] <= most:
        return [document]
    page = read_text(document).page
    spans = split_spans(page) if page is not None else ()
    if page is None or not spans:
        return [document]
    counted = lengths([page.text[span.start : span.end] for span in spans])
    parts, start, used = [], spans[0].start, 0
    for before, span, tokens in zip((None, *spans), spans, counted, strict=False):
        if before is not None and used and used + tokens > most:
            parts.append(page.text[start : before.end])
            start, used = span.start, 0
        used += tokens
    return [*parts, page.text[start : spans[-1].end]]
