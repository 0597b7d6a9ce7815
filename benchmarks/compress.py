"""Prompt compression: llmlingua as it is, one prompt at a time, against the same decisions with batched scoring.

    python benchmarks/compress.py [--model NAME] [--questions 64] [--batch 16] [--out benchmarks/results]

All variants compress the same questions of the embedded world in one process, batch after batch; figures are seconds over
all batches. `same text` compares with llmlingua itself in the same number type.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class ModelClock:
    """Seconds spent inside a model's layers and output layer, whoever calls them."""

    def __init__(self, loaded: Any) -> None:
        import torch

        self.seconds = 0.0
        wait = torch.cuda.synchronize if loaded.device.type == "cuda" else lambda: None

        def begin(*_: Any) -> None:
            wait()
            self.seconds -= time.perf_counter()

        def end(*_: Any) -> None:
            wait()
            self.seconds += time.perf_counter()

        for module in (loaded.model.base_model, loaded.model.get_output_embeddings()):
            module.register_forward_pre_hook(begin)
            module.register_forward_hook(end)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--passages", type=int, default=5)
    parser.add_argument("--target-tokens", type=int, default=64)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()

    from aag_ray.awaken.batched_llmlingua import REFERENCE_PARAMETERS, OfflineLlmlingua
    from aag_ray.awaken.compress import CompressionRequest, PromptCompressor, compression_report
    from aag_ray.config import ModelSection, WorldSection
    from aag_ray.evaluate.machine import describe_machine
    from aag_ray.llm.load import load_model
    from aag_ray.records import Document
    from aag_ray.world.world import build_world

    world = WorldSection(train_questions=options.questions, dev_questions=20, test_questions=20)
    questions = build_world(world, seed=29).questions["train"]
    requests = [CompressionRequest.of(question, options.passages, options.target_tokens) for question in questions]

    def one_at_a_time(loaded: Any) -> Callable[[list[CompressionRequest]], list[str]]:
        itself = OfflineLlmlingua(loaded)

        def compress(batch: list[CompressionRequest]) -> list[str]:
            asked = [(list(r.passages), r.question, r.target_tokens) for r in batch]
            parameters: dict[str, Any] = REFERENCE_PARAMETERS | {"concate_question": False}
            prompts = [itself.compress_prompt(p, question=q, target_token=t, **parameters) for p, q, t in asked]
            return [prompt["compressed_prompt"].strip() for prompt in prompts]

        return compress

    def batched(loaded: Any) -> Callable[[list[CompressionRequest]], list[str]]:
        compressor = PromptCompressor(loaded)
        return lambda batch: [document.text for document in compressor.compress(batch)]

    models = {dtype: load_model(ModelSection(name=options.model, dtype=dtype)) for dtype in options.dtypes}
    tokenizer, device = next((loaded.tokenizer, loaded.device) for loaded in models.values())
    variants: dict[str, tuple[Callable[[list[CompressionRequest]], list[str]], ModelClock]] = {}
    for dtype, loaded in models.items():
        clock = ModelClock(loaded)
        variants[f"llmlingua {dtype}"] = one_at_a_time(loaded), clock
        variants[f"batched {dtype}"] = batched(loaded), clock

    texts: dict[str, list[str]] = {name: [] for name in variants}
    seconds = dict.fromkeys(variants, 0.0)
    in_model = dict.fromkeys(variants, 0.0)
    for compress, _ in variants.values():
        compress(requests[:1])  # warms up
    for start in range(0, len(requests), options.batch):
        for name, (compress, clock) in variants.items():
            began, clock.seconds = time.perf_counter(), 0.0
            texts[name] += compress(requests[start : start + options.batch])
            seconds[name] += time.perf_counter() - began
            in_model[name] += clock.seconds

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False).input_ids)

    origin = [sum(count(passage) for passage in request.passages) for request in requests]
    rows: dict[str, dict[str, Any]] = {}
    for name, made in texts.items():
        pairs = zip(requests, made, origin, strict=True)
        documents = [Document(r.id, text, origin_tokens=tokens, tokens=count(text)) for r, text, tokens in pairs]
        itself = texts[f"llmlingua {name.split()[1]}"]
        rows[name] = {
            "seconds_per_question": seconds[name] / len(requests),
            "questions_per_second": len(requests) / seconds[name],
            "passage_tokens_per_second": sum(origin) / seconds[name],
            "share_in_model": in_model[name] / seconds[name],
            "same_text": sum(a == b for a, b in zip(made, itself, strict=True)) / len(made),
            **compression_report(questions, documents, passages=options.passages, target_tokens=options.target_tokens),
        }
    print(f"{'':22}{'s/question':>11}{'tokens/s':>10}{'in model':>10}{'same text':>11}{'ratio':>7}{'answer kept':>13}")
    for name, row in rows.items():
        speed = f"{row['seconds_per_question']:11.3f}{row['passage_tokens_per_second']:10.0f}{row['share_in_model']:10.0%}"
        print(f"{name:22}{speed}{row['same_text']:11.1%}{row['ratio']:7.2f}{row['answer_kept']:13.1%}")
    result = {
        "variants": rows,
        "machine": describe_machine(),
        "device": str(device),
        "model": options.model,
        "questions": len(requests),
        "batch": options.batch,
        "passages": options.passages,
        "passage_tokens_per_question": sum(origin) / len(origin),
        "target_tokens": options.target_tokens,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"compress-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(path)


if __name__ == "__main__":
    main()
