"""How pages are cleaned and cut."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from aag_ray.config.basics import Natural, Positive
from aag_ray.settings import Section


class PagesSection(Section):
    """From HTML to tags: the cleaner, what a page may cost at most, and how its text is cut.

    `lexbor` is this project's cleaner, `trafilatura` the library of that name; both give the same kind of page. Limits are in
    characters of HTML and of cleaned text, nodes and nested elements of its tree, characters of one span, tokens of one window.
    `jobs/tag.py` gives up a page after `page_seconds` of processor time.
    """

    cleaner: Literal["lexbor", "trafilatura"] = "lexbor"
    max_characters: Positive = 5_000_000
    max_text_characters: Positive = 1_000_000
    max_nodes: Positive = 200_000
    max_depth: Positive = 500
    page_seconds: float = Field(default=20.0, gt=0)
    max_span_characters: Annotated[int, Field(ge=16)] = 600
    window_tokens: Positive = 6000
    overlap_tokens: Natural = 300
    duplicate_similarity: Annotated[float, Field(gt=0.0, le=1.0)] = 0.8

    @model_validator(mode="after")
    def windows_advance(self) -> PagesSection:
        if self.overlap_tokens * 2 > self.window_tokens:
            raise ValueError(f"overlap_tokens={self.overlap_tokens} is more than half of window_tokens={self.window_tokens}")
        return self
