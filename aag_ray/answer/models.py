"""Memory, reader and parser of the policy around real models: AAG where it is trained, the base model alone where it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch

from aag_ray import prompts
from aag_ray.answer.parser import TrainedParser, UntrainedParser
from aag_ray.answer.parsing.model import ParserModel
from aag_ray.answer.parts import Awakening, Piece, Pieces, Unavailable
from aag_ray.awaken.awakened import AwakeningModel
from aag_ray.config import DecodingSection
from aag_ray.extract.evidence import Evidence
from aag_ray.extract.tokens import estimated_tokens
from aag_ray.llm.adapters import Adapter
from aag_ray.llm.engines import Engine, build_engine
from aag_ray.llm.forms import Form
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.numbers import SourceNumbers
from aag_ray.llm.streaming import QueueFull, StreamingEngine
from aag_ray.records import Passage

TITLE_CHARACTERS = 120


class AwakenedParts:
    """A trained awakening model: writes the dummy document, makes the adapter, reads with it or from evidence.

    What is read from evidence is read as it was trained to be: passages in the prompt, without the question's adapter.
    """

    def __init__(self, model: AwakeningModel, decoding: DecodingSection | None = None) -> None:
        decoding = decoding or DecodingSection()
        self.model = model
        self.engine = build_engine(model.loaded, decoding)
        writer = model.generator.engine.loaded
        self.writer = self.engine if writer is model.loaded else build_engine(writer, decoding)
        # Made once: prompts that share these very adapters are decoded together.
        self.reading = model.shared
        self.writing = [model.generator.lora()] if model.generator.lora is not None else []

    async def recall(self, question: str, *, answer_tokens: int) -> tuple[Awakening, Pieces]:
        """The dummy document and what is known of the adapter made from both; then the answer, read with them.

        Raises Unavailable while too many prompts wait.
        """
        prompt = prompts.generator_prompt(question)
        text, prompt_tokens, new = "", 0, 0
        async for piece in _stream(self.writer, prompt, self.model.settings.max_document_tokens, None, self.writing):
            text += piece.text
            prompt_tokens, new = prompt_tokens + piece.prompt_tokens, new + piece.new_tokens
        document = text.strip()
        adapter = await self.engine.call(lambda: self.model.adapters([question], [document]))
        place = self.model.settings.document_in
        prompt = prompts.reader_prompt(question, document=document if place != "parameters" else None)
        pieces = _stream(self.engine, prompt, answer_tokens, adapter if place != "text" else None, self.reading)
        return Awakening(document, facts_of(adapter), prompt_tokens, new), pieces

    def tokens(self, text: str) -> int:
        return estimated_tokens([text])[0]

    def read(self, question: str, evidence: Sequence[Evidence], *, answer_tokens: int) -> Pieces:
        prompt = prompts.reader_prompt(question, passages=passages_of(evidence))
        return _stream(self.engine, prompt, answer_tokens, None, self.reading, _numbers_of(question, evidence))

    async def check(self) -> None:
        """Raises RuntimeError if an engine can answer nothing any more."""
        for engine in {self.engine, self.writer}:
            await engine.check()

    def close(self) -> None:
        for engine in {self.engine, self.writer}:
            engine.close()


class BaseParts:
    """The base model alone, asked in its chat template: there is nothing to awaken with, and the facts say so."""

    def __init__(self, loaded: LoadedModel, decoding: DecodingSection | None = None) -> None:
        self.loaded, self.engine = loaded, build_engine(loaded, decoding or DecodingSection())

    async def recall(self, question: str, *, answer_tokens: int) -> tuple[Awakening, Pieces]:
        prompt = prompts.zero_shot_prompt(self.loaded.tokenizer, question)
        return Awakening("", {"trained": False}), _stream(self.engine, prompt, answer_tokens)

    def tokens(self, text: str) -> int:
        return estimated_tokens([text])[0]

    def read(self, question: str, evidence: Sequence[Evidence], *, answer_tokens: int) -> Pieces:
        shown = " ".join(passage.text for passage in passages_of(evidence)) or None
        prompt = prompts.zero_shot_prompt(self.loaded.tokenizer, question, shown)
        return _stream(self.engine, prompt, answer_tokens, form=_numbers_of(question, evidence))

    async def check(self) -> None:
        """Raises RuntimeError if the engine can answer nothing any more."""
        await self.engine.check()

    def close(self) -> None:
        self.engine.close()


def build_parser(folder: Path | None, engine: Engine, batch: int = 16, waiting: int = 64) -> TrainedParser | UntrainedParser:
    """The trained parser of a folder, or the untrained one without a folder.

    It decodes in `engine`, with the other roles, where that is one of the model it was trained on; else it loads its own.
    Raises ParserModelError for a folder that holds no parser.
    """
    if folder is None:
        return UntrainedParser()
    model = ParserModel.from_pretrained(folder, engine.loaded)
    if model.loaded is engine.loaded:
        return TrainedParser(model, engine)
    return TrainedParser(model, StreamingEngine(model.loaded, batch, waiting), own=True)


def passages_of(evidence: Sequence[Evidence]) -> list[Passage]:
    """One passage for each page, in the order of its best span; its spans in page order.

    Without a title it has its host's name. Its address would be read as an answer where it is a number.
    """
    order = list(dict.fromkeys(each.url for each in evidence))
    by_page = sorted(evidence, key=lambda each: (order.index(each.url), each.start))
    return [
        Passage(url, title[:TITLE_CHARACTERS] or _host(url), " ".join(each.text for each in spans))
        for (url, title), spans in groupby(by_page, key=lambda each: (each.url, each.title))
    ]


def _host(url: str) -> str:
    host = urlsplit(url).hostname or ""
    return "" if host.replace(".", "").isdigit() or ":" in host else host


def facts_of(adapter: Adapter) -> dict[str, Any]:
    """What can be shown of one question's adapter: its layers, rank, size, and the norm of all its updates together."""
    squares, size, rank = 0.0, 0, 0
    with torch.inference_mode():
        for a, b in adapter.factors.values():
            one, two = a[0].float(), b[0].float()
            squares += float(((one.T @ one) * (two @ two.T)).sum())  # ||A B||^2 = trace(A^T A B B^T)
            size += one.numel() + two.numel()
            rank = max(rank, one.shape[1])
    return {"trained": True, "layers": len(adapter.factors), "rank": rank, "numbers": size, "norm": round(squares**0.5, 4)}


def _numbers_of(question: str, evidence: Sequence[Evidence]) -> SourceNumbers | None:
    """What is read off evidence states its numbers or the question's; what comes from memory is not held to any."""
    return SourceNumbers([question, *(each.text for each in evidence)]) if evidence else None


async def _stream(
    engine: Engine,
    prompt: str,
    tokens: int,
    adapter: Adapter | None = None,
    shared: Sequence[Adapter] = (),
    form: Form | None = None,
) -> Pieces:
    """Pieces with the tokens that each adds; the first brings those of the prompt."""
    prompt_tokens: int | None = None
    written = 0
    stream = engine.stream(prompt, max_new_tokens=tokens, adapter=adapter, shared=shared, form=form)
    try:
        async for piece in stream:
            first = piece.prompt_tokens if prompt_tokens is None else 0
            prompt_tokens = piece.prompt_tokens
            yield Piece(piece.text, first, piece.new_tokens - written, piece.end == "length", piece.likelihood)
            written = piece.new_tokens
    except QueueFull as error:
        raise Unavailable(str(error)) from error
    finally:
        await asyncio.shield(stream.aclose())
