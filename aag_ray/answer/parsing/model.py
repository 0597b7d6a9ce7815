"""A trained parser: a language model with a role adapter, its calibration and its threshold.

model = ParserModel.from_pretrained("runs/parser/parser/model")
model.needed(["Who governs Peru now?"], [date.today()])     # the probability that the web is needed
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from aag_ray.answer.parsed import ParsedRequest, ParseError, fallback, read_parsed
from aag_ray.answer.parsing import prompts
from aag_ray.answer.parsing.settings import CONFIG, ParserSettings
from aag_ray.answer.request import AnswerRequest, Role
from aag_ray.artifacts import write_json
from aag_ray.config import ModelSection
from aag_ray.llm.adapters import Adapter, StaticLora, applied
from aag_ray.llm.engine import TransformersEngine, length_batches, pad
from aag_ray.llm.load import LoadedModel, load_model
from aag_ray.llm.sft import load_lora, save_lora

ADAPTER = "adapter"


class ParserModelError(ValueError):
    """A folder holds no parser, or a model cannot be one. The message names it and says why."""


class ParserModel:
    """Decides in one forward pass; writes searches and rewrites follow-ups by greedy decoding."""

    def __init__(self, loaded: LoadedModel, settings: ParserSettings, lora: StaticLora | None, batch: int = 32) -> None:
        """Raises ParserModelError for an encoder-decoder."""
        if loaded.is_encoder_decoder:
            raise ParserModelError(f"model {loaded.name!r} is an encoder-decoder; a parser needs a decoder")
        self.loaded, self.settings, self.batch = loaded, settings, batch
        self.lora = lora.to(loaded.device) if lora is not None else None
        # Made once: prompts that share this very adapter are decoded together.
        self.shared: list[Adapter] = [self.lora()] if self.lora is not None else []
        tokenizer: Any = loaded.tokenizer
        yes, no = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompts.YES, prompts.NO))
        same = next(n for n, (one, other) in enumerate(zip(yes, no, strict=False)) if one != other)
        self._lead, self._yes, self._no = yes[:same], yes[same], no[same]

    @classmethod
    def from_pretrained(cls, folder: Path | str, loaded: LoadedModel | None = None, batch: int = 32) -> ParserModel:
        """Load what `save_pretrained` wrote. `loaded` spares loading the base model again where it is the same one.

        Raises ParserModelError for a folder that holds no parser, and what `load_model` raises.
        """
        folder = Path(folder)
        try:
            settings = ParserSettings.read(folder)
            lora = load_lora(folder / ADAPTER) if (folder / ADAPTER).is_dir() else None
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise ParserModelError(f"{folder} holds no trained parser: {error}") from error
        if loaded is None or lora is None or loaded.name != settings.base_model:
            name = settings.base_model if lora is not None else str(folder / settings.base_model)
            loaded = load_model(ModelSection(name=name))
        return cls(loaded, settings, lora, batch)

    def save_pretrained(self, folder: Path) -> None:
        """Write settings and weights: the adapter, or the whole model where there is none."""
        if self.lora is not None:
            save_lora(self.lora, folder / ADAPTER)
        else:
            self.loaded.model.save_pretrained(folder / self.settings.base_model, safe_serialization=True)
            self.loaded.tokenizer.save_pretrained(folder / self.settings.base_model)
        write_json(folder / CONFIG, asdict(self.settings))

    def log_odds(self, questions: Sequence[str], days: Sequence[date]) -> list[float]:
        """log P(true) - log P(false) as the model has them, in order; calibration not applied."""
        tokenizer: Any = self.loaded.tokenizer
        rows = [
            tokenizer(prompts.decide_prompt(question, today))["input_ids"] + self._lead
            for question, today in zip(questions, days, strict=True)
        ]
        found: dict[int, float] = {}
        for batch in length_batches([len(row) for row in rows], self.batch):
            found.update(zip(batch, self._margins([rows[row] for row in batch]), strict=True))
        return [found[row] for row in range(len(rows))]

    @torch.inference_mode()
    def _margins(self, rows: list[list[int]]) -> list[float]:
        tokenizer: Any = self.loaded.tokenizer
        model: Any = self.loaded.model
        ids, mask = pad(rows, tokenizer.pad_token_id, left=False, device=self.loaded.device)
        with applied(model, *self.shared):
            states = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
            last = states[torch.arange(len(rows), device=ids.device), mask.sum(dim=1) - 1]
            logits = model.get_output_embeddings()(last.unsqueeze(1))[:, 0].float()
        return (logits[:, self._yes] - logits[:, self._no]).tolist()

    def needed(self, questions: Sequence[str], days: Sequence[date]) -> list[float]:
        """The calibrated probability that the web is needed."""
        return [self.settings.calibration(odds) for odds in self.log_odds(questions, days)]

    def rewritten(self, requests: Sequence[AnswerRequest]) -> list[str]:
        """The question of each request on its own; one without a conversation before it stays as it is."""
        asked = [number for number, request in enumerate(requests) if has_history(request)]
        texts = [request.question for request in requests]
        written = TransformersEngine(self.loaded, self.batch).generate(
            [rewrite_prompt(requests[number]) for number in asked],
            max_new_tokens=self.settings.question_tokens,
            shared=self.shared,
        )
        for number, each in zip(asked, written, strict=True):
            texts[number] = usable_question(each.text, requests[number])
        return texts

    def searches(self, questions: Sequence[str], days: Sequence[date]) -> list[ParsedRequest]:
        """The searches for questions that need some; what cannot be read falls back to the question itself."""
        written = TransformersEngine(self.loaded, self.batch).generate(
            [prompts.search_prompt(question, today) for question, today in zip(questions, days, strict=True)],
            max_new_tokens=self.settings.query_tokens,
            shared=self.shared,
        )
        return [read_searches(question, each.text) for question, each in zip(questions, written, strict=True)]


def has_history(request: AnswerRequest) -> bool:
    """Whether a user said something before the question; what the system says is no conversation."""
    return any(turn.role is Role.USER for turn in request.conversation[:-1])


def rewrite_prompt(request: AnswerRequest) -> str:
    turns = [(turn.role.value, turn.text) for turn in request.conversation if turn.role is not Role.SYSTEM]
    return prompts.rewrite_prompt(turns)


def usable_question(text: str, request: AnswerRequest) -> str:
    """What was written, or the question as it was asked where nothing was."""
    written = text.strip()
    return written if any(character.isalnum() for character in written) else request.question


def read_searches(question: str, written: str) -> ParsedRequest:
    """A search for the question from what the model wrote; the declared fallback where that is not in the grammar."""
    try:
        return read_parsed(prompts.whole_output(question, True, written))
    except ParseError as error:
        return fallback(question, f"the parser's output cannot be used: {error}")
