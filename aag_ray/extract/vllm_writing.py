"""The writer of tags on vLLM: the same grammar, as the regular expression that vLLM holds its output to.

extractor = build_extractor(ExtractSection(extractor="tags", decoding=DecodingSection(engine="vllm")))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aag_ray.config import PagesSection
from aag_ray.extract.grammar import TagGrammar, regex_for
from aag_ray.extract.writing import Writer, Written
from aag_ray.llm.adapters import Adapter
from aag_ray.llm.vllm_engine import VllmEngine


class VllmWriter(Writer):
    """Writes with an engine that others may use at the same time. Raises ValueError for an encoder-decoder.

    A regular expression cannot count tokens: an output that `most` cuts is closed after its last whole tag.
    """

    def __init__(
        self, engine: VllmEngine, adapters: Sequence[Adapter] = (), pages: PagesSection | None = None, batch: int = 16
    ) -> None:
        super().__init__(engine.loaded, adapters, pages, batch)
        self.engine = engine

    @property
    def context(self) -> int:
        return min(super().context, self.engine.section.vllm.context or super().context)

    def _generated(self, prompts: list[list[int]], most: int, grammars: Sequence[TagGrammar] | None) -> list[Written]:
        regexes = [regex_for(each.first, each.last, header=each.header) for each in grammars] if grammars else None
        rows = self.engine.write(prompts, max_new_tokens=most, shared=self.adapters, regexes=regexes)
        tokenizer: Any = self.loaded.tokenizer
        texts: list[str] = tokenizer.batch_decode(rows, skip_special_tokens=True)
        if grammars:
            texts = [text if each.accepts(text) else closed(text) for text, each in zip(texts, grammars, strict=True)]
        return [Written(text, min(len(row) + 1, most)) for text, row in zip(texts, rows, strict=True)]


def closed(text: str) -> str:
    """A whole output from one that was cut: what stands up to its last whole tag. Empty if it has none."""
    head, end, _ = text.rpartition(">")
    return f"{head}{end}]]" if end else ""
