"""The engines that stream, and which of them is to be used."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol, TypeVar

from aag_ray.config import DecodingSection
from aag_ray.llm.adapters import Adapter
from aag_ray.llm.forms import Form
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.streaming import StreamingEngine
from aag_ray.llm.written import StreamPiece

T = TypeVar("T")


class Engine(Protocol):
    """Greedy decoding up to the first newline, of prompts that come one by one, each with adapters of its own."""

    loaded: LoadedModel

    def stream(
        self,
        prompt: str,
        *,
        max_new_tokens: int,
        adapter: Adapter | None = None,
        shared: Sequence[Adapter] = (),
        form: Form | None = None,
    ) -> AsyncGenerator[StreamPiece, None]:
        """The text's pieces. `adapter` holds one example. Closing the generator ends the prompt.

        With a `form` the text is of it, or a beginning of one where `max_new_tokens` ends it.

        Raises QueueFull before anything is decoded, AdapterError for an adapter that does not fit, RuntimeError after `close`.
        """
        ...

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` in the thread that owns the model."""
        ...

    async def check(self) -> None:
        """Raises RuntimeError if the engine can answer nothing any more: closed, or what decodes has died."""
        ...

    def close(self) -> None:
        """End what runs. What still waits fails."""
        ...


def build_engine(loaded: LoadedModel, section: DecodingSection) -> Engine:
    """The engine that `section.engine` names. Raises ImportError for vllm where the extra `gpu` is not installed."""
    if section.engine == "transformers":
        return StreamingEngine(loaded, section.batch, section.waiting)
    from aag_ray.llm.vllm_engine import VllmEngine

    return VllmEngine(loaded, section)
