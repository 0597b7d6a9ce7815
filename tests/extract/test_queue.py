"""Requests to an extractor that come one by one: read together, one thread at work, nothing for those who left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from aag_ray.config import ExtractSection
from aag_ray.extract.baselines import Bm25Extractor, EmbeddingExtractor
from aag_ray.extract.build import tag_page
from aag_ray.extract.evidence import Evidence, Extraction, ExtractOutcome, TaggedPage
from aag_ray.extract.queue import ExtractionQueue, QueueFull, ReadsWindows
from aag_ray.extract.scorer import SpanScorer
from aag_ray.extract.trained import ScorerExtractor
from aag_ray.llm.embed import Embedder

BATCH = 4


def page(number: int, sentences: int = 3) -> TaggedPage:
    text = "\n\n".join(f"Sentence {place} of page {number} is about gold and rain." for place in range(sentences))
    return tag_page(text, f"https://{number}.example/", kind="text").tagged


@pytest.fixture
def scorer(tiny_tokenizer: PreTrainedTokenizerFast) -> SpanScorer:
    torch.manual_seed(29)
    config = BertConfig(
        vocab_size=384, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=96, pad_token_id=2,
    )  # fmt: skip
    return SpanScorer(BertModel(config), tiny_tokenizer, 96).eval()


class Gate:
    """Holds up a model's passes until it is opened, and notes the rows and the thread of each."""

    def __init__(self, model: torch.nn.Module, rows: Callable[[tuple[Any, ...], dict[str, Any]], int]) -> None:
        self.rows, self.passes, self.threads = rows, [], set()
        self.opened, self.reached = threading.Event(), threading.Event()
        model.register_forward_pre_hook(self._passed, with_kwargs=True)

    def _passed(self, _: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        self.passes.append(self.rows(arguments, named))
        self.threads.add(threading.current_thread().name)
        self.reached.set()
        assert self.opened.wait(60)


@pytest.fixture
def extractor(scorer: SpanScorer) -> ScorerExtractor:
    return ScorerExtractor(ExtractSection(batch=BATCH, threshold=0.0, budget=1.0), scorer)


@pytest.fixture
def gate(scorer: SpanScorer) -> Iterator[Gate]:
    gate = Gate(scorer, lambda arguments, _: len(arguments[0]))
    yield gate
    gate.opened.set()


def evidence(extraction: Extraction) -> list[tuple[Any, ...]]:
    def told(each: Evidence) -> tuple[Any, ...]:
        return each.url, each.tag, each.text, pytest.approx(each.score, abs=1e-5)

    return [told(each) for found in extraction.pages for each in found.evidence]


def results(futures: Sequence[Future[Extraction]]) -> list[Extraction]:
    return [future.result(timeout=60) for future in futures]


def test_what_waits_is_read_together_in_one_thread_and_each_gets_what_it_gets_alone(extractor: ScorerExtractor, gate: Gate):
    gate.opened.set()
    asked = [(f"Where is gold number {number}?", [page(number), page(number + 50)]) for number in range(6)]
    alone = [extractor.extract(*each) for each in asked]
    windows = [len(extractor.windows(*each)) for each in asked]
    counted = extractor.counts["input_tokens"]
    gate.opened.clear()
    gate.reached.clear()
    gate.passes.clear()
    gate.threads.clear()
    queue = ExtractionQueue(extractor)
    first = queue.submit(*asked[0])
    assert gate.reached.wait(60)
    others = [queue.submit(*each) for each in asked[1:]]
    gate.opened.set()
    together = results([first, *others])
    assert [evidence(each) for each in together] == [evidence(each) for each in alone]
    assert all(each.outcome is ExtractOutcome.RELEVANT and each.seconds > 0 for each in together)
    rest = sum(windows[1:])
    assert gate.passes == [windows[0], *[BATCH] * (rest // BATCH), *([rest % BATCH] if rest % BATCH else [])]
    assert gate.threads == {"extracting_0"}
    assert 0 < extractor.counts["input_tokens"] - counted <= counted * 1.5, "a question is counted in each batch that reads it"


def test_requests_longer_than_a_batch_and_without_a_window_end_too(extractor: ScorerExtractor):
    queue, empty = ExtractionQueue(extractor), tag_page("", "b").tagged
    asked = [("gold?", [page(1, 60), empty]), ("gold?", [empty]), ("gold?", []), ("gold?", [page(2, 30)])]
    assert len(extractor.windows(*asked[0])) > BATCH
    together = results([queue.submit(*each) for each in asked])
    assert [evidence(each) for each in together] == [evidence(extractor.extract(*each)) for each in asked]


def test_a_request_whose_caller_has_left_ends_with_the_batch_it_is_at(extractor: ScorerExtractor, gate: Gate):
    queue = ExtractionQueue(extractor)
    leaving = queue.submit("gold?", [page(1, 200)])
    assert gate.reached.wait(60)
    never_begun, other = queue.submit("gold?", [page(2)]), queue.submit("gold?", [page(3)])
    assert leaving.cancel()
    assert never_begun.cancel()
    gate.opened.set()
    assert other.result(timeout=60).outcome is ExtractOutcome.RELEVANT
    assert gate.passes == [BATCH, len(extractor.windows("gold?", [page(3)]))]
    with pytest.raises(CancelledError):
        leaving.result()


def test_what_waits_is_bounded_and_who_leaves_makes_room(extractor: ScorerExtractor, gate: Gate):
    queue = ExtractionQueue(extractor, waiting=2)
    begun = queue.submit("gold?", [page(1, 200)])
    assert gate.reached.wait(60)
    waiting = [queue.submit("gold?", [page(number)]) for number in range(2)]
    with pytest.raises(QueueFull, match="2 requests for evidence are waiting"):
        queue.submit("gold?", [page(5)])
    waiting[0].cancel()
    last = queue.submit("gold?", [page(5)])
    gate.opened.set()
    assert all(each.outcome is ExtractOutcome.RELEVANT for each in results([begun, waiting[1], last]))


def test_one_that_fails_fails_alone(extractor: ScorerExtractor, monkeypatch: pytest.MonkeyPatch):
    asked = [("?!", [page(0)]), ("gold?", [page(1)]), ("gold of poison?", [page(2)]), ("gold?", [page(3)])]
    score, poison = extractor.scorer.score, extractor.windows("gold of poison?", [page(2)])[0].question

    def scored(windows: Any, batch: int) -> Any:
        if any(window.question == poison for window in windows):
            raise RuntimeError("out of memory")
        return score(windows, batch)

    monkeypatch.setattr(extractor.scorer, "score", scored)
    futures = [ExtractionQueue(extractor).submit(*each) for each in asked]
    with pytest.raises(ValueError, match="holds no word"):
        futures[0].result(timeout=60)
    one, failed, other = results(futures[1:])
    assert failed.outcome is ExtractOutcome.MODEL_FAILED
    assert "out of memory" in failed.pages[0].detail
    assert one.outcome is other.outcome is ExtractOutcome.RELEVANT


def test_an_extractor_of_another_kind_reads_one_request_after_another(tiny_tokenizer: PreTrainedTokenizerFast):
    extractor = Bm25Extractor(ExtractSection(extractor="bm25", threshold=0.1, budget=1.0))
    assert not isinstance(extractor, ReadsWindows)
    queue = ExtractionQueue(extractor)
    together = results([queue.submit("Where is rain?", [page(number)]) for number in range(4)])
    assert [evidence(each) for each in together] == [
        evidence(extractor.extract("Where is rain?", [page(number)])) for number in range(4)
    ]


def test_its_model_stops_for_who_has_left_as_well(tiny_encoder_folder: Path):
    embedder = Embedder.load(str(tiny_encoder_folder), device="cpu")
    extractor = EmbeddingExtractor(ExtractSection(extractor="embedding", batch=1), embedder)
    gate = Gate(embedder.model, lambda _, named: len(named["input_ids"]))
    queue = ExtractionQueue(extractor)
    leaving = queue.submit("gold?", [page(1, 100)])
    assert gate.reached.wait(60)
    other = queue.submit("gold?", [page(2, 1)])
    leaving.cancel()
    gate.opened.set()
    assert other.result(timeout=60).pages
    assert len(gate.passes) <= 5, "one pass of the first, one in which it was stopped, and those of the second"


@pytest.mark.asyncio
async def test_a_cancelled_task_has_left(extractor: ScorerExtractor, gate: Gate):
    queue = ExtractionQueue(extractor)
    task = asyncio.ensure_future(asyncio.wrap_future(queue.submit("gold?", [page(1, 200)])))
    await asyncio.to_thread(gate.reached.wait, 60)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    gate.opened.set()
    await asyncio.wrap_future(queue.submit("gold?", [page(2, 1)]))
    assert gate.passes == [BATCH, 1]
