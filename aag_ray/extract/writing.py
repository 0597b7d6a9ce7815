"""A language model that reads page windows and writes about them: prompts that fit its context, in batches, failures apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from transformers import LogitsProcessorList

from aag_ray.config import PagesSection
from aag_ray.extract.evidence import TaggedPage
from aag_ray.extract.grammar import TagGrammar
from aag_ray.extract.prompts import Prompt, chat_ids, fit_question
from aag_ray.extract.token_masks import TagConstraint, TokenMasks
from aag_ray.llm.adapters import Adapter, applied
from aag_ray.llm.engine import decoded, in_batches
from aag_ray.llm.load import LoadedModel
from aag_ray.pages.tags import Window, windows

_LEAST_WINDOW = 32
# What is joined to a prompt may count some tokens more than it does alone.
_JOINTS = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt about one window of one page, by the page's number in the request; `tokens` is None if it does not fit."""

    page: int
    window: Window
    tokens: list[int] | None


@dataclass(frozen=True, slots=True)
class Written:
    """What the model wrote, and the tokens it took. `failure` says why there is nothing."""

    text: str = ""
    tokens: int = 0
    failure: str = ""


class Writer:
    """A decoder with optional shared adapters. Raises ValueError for an encoder-decoder."""

    def __init__(
        self, loaded: LoadedModel, adapters: Sequence[Adapter] = (), pages: PagesSection | None = None, batch: int = 16
    ) -> None:
        if loaded.is_encoder_decoder:
            raise ValueError(f"model {loaded.name!r} is an encoder-decoder; a decoder is needed to write tags")
        self.loaded, self.adapters, self.pages, self.batch = loaded, list(adapters), pages or PagesSection(), batch
        self.masks: TokenMasks | None = None

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""
        longest = getattr(self.loaded.model.config, "max_position_embeddings", None)
        return min(int(limit) for limit in (longest, self.loaded.tokenizer.model_max_length) if limit)

    def asked(
        self, prompt: Prompt, question: str, pages: Sequence[TaggedPage], *, answer: int, answer_start: str = ""
    ) -> list[Asked]:
        """One prompt for each window of each page, with room for `answer` tokens; of the question an eighth of the context."""
        tokenizer: Any = self.loaded.tokenizer
        question = fit_question(tokenizer, question, self.context // 8)
        frame = len(chat_ids(tokenizer, prompt("", question), answer_start)) + _JOINTS
        most = self.context - answer
        limit = max(_LEAST_WINDOW, min(self.pages.window_tokens, most - frame))
        overlap = min(self.pages.overlap_tokens, limit // 4)

        def made(page: TaggedPage, number: int) -> Iterator[Asked]:
            for window in windows(page.page, page.spans, self._count, limit=limit, overlap=overlap):
                fits = window.tokens <= most
                ids = chat_ids(tokenizer, prompt(window.text, question), answer_start) if fits else None
                yield Asked(number, window, ids if ids is not None and len(ids) <= most else None)

        return [each for number, page in enumerate(pages) for each in made(page, number)]

    def write(self, asked: Sequence[Asked], *, most: int, grammars: Sequence[TagGrammar] | None = None) -> list[Written]:
        """An answer of at most `most` tokens to each prompt, greedily, in `grammars` if given. A failure is a Written too."""
        fit = [place for place, each in enumerate(asked) if each.tokens is not None]
        written = iter(
            in_batches(
                [len(asked[place].tokens or ()) for place in fit],
                self.batch,
                lambda rows: self._batch(asked, [fit[row] for row in rows], most, grammars),
            )
        )
        too_long = "a window of {} tokens and its prompt do not fit the context of {}"
        return [
            Written(failure=too_long.format(each.window.tokens, self.context)) if each.tokens is None else next(written)
            for each in asked
        ]

    def _batch(
        self, asked: Sequence[Asked], places: Sequence[int], most: int, grammars: Sequence[TagGrammar] | None
    ) -> list[Written]:
        try:
            return self._generated(
                [asked[at].tokens or [] for at in places], most, [grammars[at] for at in places] if grammars else None
            )
        except Exception as error:  # out of memory and the like: alone a row may still do, else it fails alone
            if len(places) == 1:
                return [Written(failure=f"{type(error).__name__}: {error}")]
            return [each for at in places for each in self._batch(asked, [at], most, grammars)]

    def _generated(self, prompts: list[list[int]], most: int, grammars: Sequence[TagGrammar] | None) -> list[Written]:
        say: Callable[[list[int]], str] = partial(self.loaded.tokenizer.decode, skip_special_tokens=True)  # type: ignore[assignment]
        processors = LogitsProcessorList()
        if grammars is not None:
            self.masks = self.masks or TokenMasks(self.loaded.tokenizer)
            say = self.masks.text
            processors.append(TagConstraint(self.masks, grammars, most))
        with applied(self.loaded.model, *self.adapters):
            rows = decoded(self.loaded, prompts, most, logits_processor=processors)
        return [Written(say(row), len(row)) for row in rows]

    def _count(self, text: str) -> int:
        return len(self.loaded.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])  # type: ignore[arg-type]
