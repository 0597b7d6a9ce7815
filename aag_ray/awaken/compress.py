"""Prompt compression for many questions at once: LongLLMLingua with llmlingua's own decisions and batched scoring."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from statistics import fmean, median
from typing import Any, Literal

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from aag_ray import prompts
from aag_ray.awaken.batched_llmlingua import ITERATIVE_SIZE, REFERENCE_PARAMETERS, BatchedLlmlingua
from aag_ray.awaken.lockstep import Lockstep
from aag_ray.awaken.token_losses import Scoring, TokenScorer
from aag_ray.config import CompressSection
from aag_ray.llm.load import LoadedModel, load_model
from aag_ray.pages.spans import sentences
from aag_ray.prompts import passage_text
from aag_ray.records import Document, Outcome, Passage, Question

MAX_QUESTION_TOKENS = 512


@dataclass(frozen=True, slots=True)
class CompressionRequest:
    """What one document is made from: the passages as text, best first, and how many tokens are asked for."""

    id: str
    question: str
    passages: tuple[str, ...]
    target_tokens: int

    @classmethod
    def of(
        cls,
        question: Question,
        passages: int,
        target_tokens: int,
        unit: Literal["passage", "sentence"] = "passage",
        *,
        use_answer: bool = False,
    ) -> CompressionRequest:
        """The first `passages` contexts of a question, whole or sentence by sentence, each with its title.

        `use_answer` lets the training answer help to choose among them: not for questions that anything is measured on.
        """
        told = [passage for passage in question.contexts[:passages] if passage.text.strip()]
        texts = [passage_text(passage) for passage in told] if unit == "passage" else [*chain(*map(_told_sentences, told))]
        asked = prompts.answered(question.question, question.training_answer) if use_answer else question.question
        return cls(question.id, asked, tuple(dict.fromkeys(texts)), target_tokens)


def _told_sentences(passage: Passage) -> Iterator[str]:
    """A passage's sentences; those that do not name what they are about get the title in front."""
    for start, end in sentences(passage.text):
        sentence = passage.text[start:end]
        yield sentence if passage.title in sentence else passage_text(replace(passage, text=sentence))


class Compressor(ABC):
    """Turns requests into documents, a batch at a time. No request can harm another: each ends in its own outcome."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, lockstep: Lockstep[Any, Any]) -> None:
        self._tokenizer = tokenizer
        self._lockstep = lockstep

    def compress(self, requests: Sequence[CompressionRequest]) -> list[Document]:
        """One document for each request, in order. Never raises for a request: see the document's outcome and detail."""
        ended = self._lockstep.run([partial(self._document, request) for request in requests])
        return [
            Document(request.id, "", Outcome.FAILED, f"{type(end).__name__}: {end}") if isinstance(end, Exception) else end
            for request, end in zip(requests, ended, strict=True)
        ]

    def _document(self, request: CompressionRequest) -> Document:
        passages = [passage.strip() for passage in request.passages if passage.strip()]
        if not passages:
            return Document(request.id, "", Outcome.NO_PASSAGES, "no passage with any text")
        origin = sum(self._count(passage) for passage in passages)
        refusal = self._refusal(request.question.strip())
        if refusal:
            return Document(request.id, "", Outcome.QUESTION_TOO_LONG, refusal, origin)
        text = self._text(request.question.strip(), passages, request.target_tokens).strip()
        if not text:
            return Document(request.id, "", Outcome.EMPTY_RESULT, "compression left no text", origin)
        return Document(request.id, text, origin_tokens=origin, tokens=self._count(text))

    def _count(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False).input_ids)

    def _refusal(self, question: str) -> str:
        """Why a question is too long, or ""."""
        return ""

    @abstractmethod
    def _text(self, question: str, passages: list[str], target_tokens: int) -> str:
        """The compressed passages alone, without instruction and question. Runs as a job of the lockstep."""


class PromptCompressor(Compressor):
    """LongLLMLingua (Jiang et al., arXiv 2310.06839) with the parameters of AAG (data/compress.py:46-97).

    Equal to llmlingua's `compress_prompt` on the same model up to the rounding of batched products. A question is scored
    once with each passage, so it may have `max_question_tokens` at most, and must leave the model two iterations' room.
    """

    def __init__(
        self,
        model: LoadedModel,
        max_question_tokens: int = MAX_QUESTION_TOKENS,
        spare_tokens: int = 100,
        drop_tokens: bool = True,
    ) -> None:
        self._parameters: dict[str, Any] = REFERENCE_PARAMETERS | {
            "context_budget": f"+{spare_tokens}",
            "use_token_level_filter": drop_tokens,
        }
        self._scorer = TokenScorer(model)
        self._model = model
        positions: int = model.model.config.max_position_embeddings
        self._max_question = min(max_question_tokens, positions - 2 * ITERATIVE_SIZE)
        super().__init__(model.tokenizer, Lockstep(self._score))

    def _score(self, asked: list[list[Scoring]]) -> list[list[Tensor] | BaseException]:
        losses = iter(self._scorer.losses([scoring for scorings in asked for scoring in scorings]))
        answers: list[list[Tensor] | BaseException] = []
        for scorings in asked:
            mine = [next(losses) for _ in scorings]
            failed = next((loss for loss in mine if isinstance(loss, BaseException)), None)
            answers.append(failed or [loss for loss in mine if isinstance(loss, Tensor)])
        return answers

    def _refusal(self, question: str) -> str:
        tokens = len(self._tokenizer(f"{question}\n\n").input_ids)
        return f"the question has {tokens} tokens, at most {self._max_question} fit" if tokens > self._max_question else ""

    def _text(self, question: str, passages: list[str], target_tokens: int) -> str:
        # The instruction enters no decision of llmlingua with these parameters, and it and the question would only be
        # put around the compressed passages: left out here, they need not be cut off again.
        llmlingua = BatchedLlmlingua(self._model, self._lockstep.ask)
        result = llmlingua.compress_prompt(
            passages,
            question=question,
            target_token=target_tokens,
            concate_question=False,
            iterative_size=ITERATIVE_SIZE,
            **self._parameters,
        )
        return result["compressed_prompt"]


def load_compressor(section: CompressSection) -> Compressor:
    """The compressor that a configuration asks for. Raises ModelError or ValueError if its model cannot serve it."""
    if section.method == "llmlingua2":
        from aag_ray.awaken.llmlingua2 import TokenClassifierCompressor

        return TokenClassifierCompressor.load(section.model)
    return PromptCompressor(load_model(section.model), spare_tokens=section.spare_tokens, drop_tokens=section.drop_tokens)


def compression_report(
    questions: Sequence[Question], documents: Sequence[Document], *, passages: int, target_tokens: int
) -> dict[str, Any]:
    """Achieved against asked rate, and how often an accepted answer survives. `documents` belong to `questions` in order.

    `ratio` is original over compressed tokens. The two `answer_in_*` are shares of the OK rows whose passages, and whose
    document, hold an accepted answer as whole words (case and punctuation aside); `answer_kept` is the second among the first.
    """
    pairs = [(q, d) for q, d in zip(questions, documents, strict=True) if d.outcome is Outcome.OK]
    held = [_holds(" ".join(passage_text(p) for p in q.contexts[:passages]), q.answers) for q, _ in pairs]
    kept = [_holds(d.text, q.answers) for q, d in pairs]
    achieved = [d.tokens / target_tokens for _, d in pairs]
    tokens = sum(d.tokens for _, d in pairs)
    return {
        "rows": len(documents),
        "outcomes": dict(Counter(document.outcome.value for document in documents)),
        "target_tokens": target_tokens,
        "mean_tokens": fmean(d.tokens for _, d in pairs) if pairs else 0.0,
        "achieved_over_target_mean": fmean(achieved) if pairs else 0.0,
        "achieved_over_target_median": median(achieved) if pairs else 0.0,
        "ratio": sum(d.origin_tokens for _, d in pairs) / tokens if tokens else 0.0,
        "answer_in_passages": fmean(held) if pairs else 0.0,
        "answer_in_document": fmean(kept) if pairs else 0.0,
        "answer_kept": fmean(k for h, k in zip(held, kept, strict=True) if h) if any(held) else 0.0,
    }


def _holds(text: str, answers: Sequence[str]) -> bool:
    words = _words(text)
    return any(_words(answer) in words for answer in answers if _words(answer).strip())


def _words(text: str) -> str:
    return " ".join(["", *re.findall(r"[^\W_]+", text.casefold()), ""])
