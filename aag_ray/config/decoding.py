"""How language models decode for many callers at once, and what vLLM may take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from aag_ray.config.basics import Positive
from aag_ray.settings import Section


class VllmSection(Section):
    """The vLLM engine. Adapters of up to `rank` (a role's and a question's joined) reach it through folders below `adapters`,
    which should be in memory; `roles` different adapters that stay are held beside those of a batch.

    `memory` is the share of a GPU that it takes with weights and cache; where the same GPU also makes the adapters, leave
    room for the model that does. On a CPU `cache_bytes` says how large the cache is. `context` None is the model's own.
    `eager` starts faster and decodes slower: nothing is compiled or captured. `parallel` GPUs share one model.
    """

    adapters: Path = Path("/dev/shm/aag-ray")
    rank: Literal[8, 16, 32, 64, 128, 256, 320, 512] = 64
    roles: Positive = 4
    memory: Annotated[float, Field(gt=0, le=1)] = 0.6
    cache_bytes: Positive | None = None
    context: Positive | None = None
    eager: bool = False
    parallel: Positive = 1


class DecodingSection(Section):
    """How prompts are decoded together: up to `batch` at a time, while up to `waiting` more wait; beyond that, 503.

    `engine` vllm needs the extra `gpu`.
    """

    engine: Literal["transformers", "vllm"] = "transformers"
    batch: Positive = 16
    waiting: Positive = 64
    vllm: VllmSection = VllmSection()
