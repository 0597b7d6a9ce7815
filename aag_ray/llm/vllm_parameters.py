"""What vLLM is told: once, when it starts, and with every prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aag_ray.config import DecodingSection
from aag_ray.llm.load import LoadedModel


def engine_arguments(loaded: LoadedModel, decoding: DecodingSection) -> dict[str, Any]:
    """Arguments of `AsyncEngineArgs` for the folder, number type and adapters of `loaded`."""
    section, adapters = decoding.vllm, decoding.batch + decoding.vllm.roles
    return {
        "model": str(loaded.path),
        "dtype": str(loaded.dtype).removeprefix("torch."),
        "max_model_len": section.context,
        "max_num_seqs": decoding.batch,
        "enable_lora": True,
        "max_loras": adapters,
        "max_cpu_loras": adapters,
        "max_lora_rank": section.rank,
        "gpu_memory_utilization": section.memory,
        "kv_cache_memory_bytes": section.cache_bytes,
        "tensor_parallel_size": section.parallel,
        "distributed_executor_backend": "mp" if section.parallel > 1 else None,  # in a Ray actor it would ask Ray for more
        "enforce_eager": section.eager,
        "generation_config": "vllm",  # not the model's own: `sampling` says what is taken from it
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "disable_log_stats": True,
    }


def sampling(loaded: LoadedModel, most: int, stops: Sequence[int], form: Mapping[str, Any] | None) -> Any:
    """vLLM's `SamplingParams` for greedy decoding of up to `most` tokens, given as tokens, until one of `stops`.

    `form` is what the output is held to: {"json": a schema} or {"regex": an expression}.
    """
    from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams  # pyright: ignore[reportMissingImports]

    # the one setting of a model's own that transformers applies to greedy decoding too
    penalty = getattr(getattr(loaded.model, "generation_config", None), "repetition_penalty", None)
    return SamplingParams(
        temperature=0.0,
        repetition_penalty=penalty or 1.0,
        max_tokens=most,
        stop_token_ids=list(stops),
        detokenize=False,
        logprobs=0,  # of the token that is taken, and of no other
        output_kind=RequestOutputKind.DELTA,
        structured_outputs=StructuredOutputsParams(**form) if form else None,
    )
