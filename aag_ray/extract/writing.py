"""A language model that reads page windows and writes about them: prompts that fit its context, in batches, failures apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessorList

from aag_ray.config import PagesSection
from aag_ray.extract.evidence import TaggedPage
from aag_ray.extract.grammar import TagGrammar
from aag_ray.extract.prompts import Prompt, chat_ids, fit_question
from aag_ray.extract.token_masks import TagConstraint, TokenMasks
from aag_ray.llm.adapters import Adapter, applied
from aag_ray.llm.engine import length_batches, pad
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
        written: dict[int, Written] = {}
        for rows in length_batches([len(asked[place].tokens or ()) for place in fit], self.batch):
            places = [fit[row] for row in rows]
            written.update(zip(places, self._batch(asked, places, most, grammars), strict=True))
        too_long = "a window of {} tokens and its prompt do not fit the context of {}"
        return [
            written.get(place) or Written(failure=too_long.format(each.window.tokens, self.context))
            for place, each in enumerate(asked)
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

    @torch.inference_mode()
    def _generated(self, prompts: list[list[int]], most: int, grammars: Sequence[TagGrammar] | None) -> list[Written]:
        tokenizer: Any = self.loaded.tokenizer
        ids, mask = pad(prompts, tokenizer.pad_token_id, left=True, device=self.loaded.device)
        processors = LogitsProcessorList()
        if grammars is not None:
            self.masks = self.masks or TokenMasks(tokenizer)
            processors.append(TagConstraint(self.masks, grammars, most))
        model: Any = self.loaded.model
        with applied(model, *self.adapters):
            output = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=most,
                do_sample=False,
                num_beams=1,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
                logits_processor=processors,
            )
        rows = [
            row[: row.index(tokenizer.eos_token_id)] if tokenizer.eos_token_id in row else row
            for row in output[:, ids.shape[1] :].tolist()
        ]
        say = self.masks.text if grammars is not None and self.masks is not None else _plain(tokenizer)
        return [Written(say(row), min(len(row) + 1, most)) for row in rows]

    def _count(self, text: str) -> int:
        return len(self.loaded.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])  # type: ignore[arg-type]


def _plain(tokenizer: Any) -> Callable[[list[int]], str]:
    return lambda row: tokenizer.decode(row, skip_special_tokens=True)
