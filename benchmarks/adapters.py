"""Per-example adapters: throughput against no adapter and against PEFT's ways to serve several, and what making them costs.

    python benchmarks/adapters.py [--model NAME] [--batch 16] [--rounds 5] [--out benchmarks/results]

All variants run in turn in one process, round after round; ratios are medians over rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=16)
    parser.add_argument("--document-tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()

    import copy
    import tempfile

    import torch
    from peft import PeftModel

    from aag_ray.awaken.conditions import Condition, condition_from
    from aag_ray.awaken.hypernetwork import build_hypernetwork, layer_shapes
    from aag_ray.config import HypernetworkSection, ModelSection
    from aag_ray.evaluate.machine import describe_machine
    from aag_ray.llm.adapters import applied, make_adaptable
    from aag_ray.llm.load import load_model

    loaded = load_model(ModelSection(name=options.model))
    model: Any = loaded.model
    plain = copy.deepcopy(model)
    make_adaptable(model)
    section = HypernetworkSection()
    network = build_hypernetwork(section, layer_shapes(model, section.modules), model.config.hidden_size).to(loaded.device)
    for name, weight in network.named_parameters():
        if name.startswith("to_b."):
            torch.nn.init.normal_(weight, std=1e-3)
    network.eval().requires_grad_(False)
    draw = torch.Generator().manual_seed(29)

    def tokens(rows: int, length: int) -> torch.Tensor:
        return torch.randint(10, model.config.vocab_size - 1, (rows, length), generator=draw).to(loaded.device)

    n = options.batch
    prompts, documents = tokens(n, options.prompt_tokens), tokens(n, options.document_tokens)
    mask = torch.ones_like(documents)

    def read(rows: int = n) -> Condition:
        return condition_from(model, documents[:rows], mask[:rows], pooled=False)

    with torch.inference_mode():
        condition = read()
        adapter = network(condition)

    def generate(target: Any, ids: torch.Tensor, new: int, **more: Any) -> None:
        target.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=new,
            min_new_tokens=new,
            do_sample=False,
            pad_token_id=0,
            **more,
        )

    def adapted() -> None:
        with applied(model, adapter):
            generate(model, prompts, options.new_tokens)

    with tempfile.TemporaryDirectory() as folder:
        for row in range(n):
            adapter.save_peft(Path(folder) / f"a{row}", options.model, row)
        mixed: Any = PeftModel.from_pretrained(copy.deepcopy(plain), f"{folder}/a0", adapter_name="a0")
        for row in range(1, n):
            mixed.load_adapter(f"{folder}/a{row}", adapter_name=f"a{row}")
    mixed.eval()
    names = [f"a{row}" for row in range(n)]

    def one_by_one() -> None:
        for row, name in enumerate(names):
            mixed.merge_adapter([name])
            generate(mixed, prompts[row : row + 1], options.new_tokens)
            mixed.unmerge_adapter()

    def document_then_answer() -> None:
        """One question, as a person asks it: the document is written, the adapter made, the answer read."""
        generate(model, prompts[:1, :20], options.document_tokens)
        timed_make["seconds"] = seconds_of(lambda: network(read(1)))
        with applied(model, adapter.select([0])):
            generate(model, prompts[:1], 4)

    timed_make: dict[str, float] = {}
    variants: dict[str, Callable[[], None]] = {
        "base": lambda: generate(plain, prompts, options.new_tokens),
        "per-example adapters": adapted,
        "PEFT mixed batch": lambda: generate(mixed, prompts, options.new_tokens, adapter_names=names),
        "PEFT merged one by one": one_by_one,
        "making the adapters": lambda: network(read()),
        "the hypernetwork alone": lambda: network(condition),
        "prompt pass": lambda: plain.base_model(prompts, use_cache=False),
        "one question, whole": document_then_answer,
    }

    def seconds_of(work: Callable[[], Any]) -> float:
        began = time.perf_counter()
        work()
        if loaded.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    rounds: list[dict[str, float]] = []
    with torch.inference_mode():
        for number in range(options.rounds + 1):
            times = {name: seconds_of(work) for name, work in variants.items()}
            times["making one adapter"] = timed_make["seconds"]
            if number:  # the first round warms up
                rounds.append(times)

    def median(value: Callable[[dict[str, float]], float]) -> float:
        return statistics.median(value(times) for times in rounds)

    summary = {
        "throughput_of_base": median(lambda t: t["base"] / t["per-example adapters"]),
        "peft_throughput_of_base": median(lambda t: t["base"] / t["PEFT mixed batch"]),
        "merged_one_by_one_throughput_of_base": median(lambda t: t["base"] / t["PEFT merged one by one"]),
        "adapter_share_of_an_answer": median(lambda t: t["making one adapter"] / t["one question, whole"]),
        "making_over_prompt_pass": median(lambda t: t["making the adapters"] / t["prompt pass"]),
        "hypernetwork_over_prompt_pass": median(lambda t: t["the hypernetwork alone"] / t["prompt pass"]),
        "milliseconds_per_adapter": median(lambda t: t["making the adapters"]) * 1000 / n,
        "bytes_per_adapter": sum(a[0].numel() * 2 + b[0].numel() * 2 for a, b in adapter.factors.values()),
    }
    for name, value in summary.items():
        print(f"{name:38} {value:.3f}")
    result = {
        "summary": summary,
        "rounds": rounds,
        "machine": describe_machine(),
        "model": options.model,
        "dtype": str(loaded.dtype),
        "batch": n,
        "prompt_tokens": options.prompt_tokens,
        "new_tokens": options.new_tokens,
        "document_tokens": options.document_tokens,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"adapters-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(path)


if __name__ == "__main__":
    main()
