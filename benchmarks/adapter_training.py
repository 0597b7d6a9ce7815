"""Training with adapters that a hypernetwork makes, against a static LoRA of equal rank on the same rows: speed and memory.

    python benchmarks/adapter_training.py [--model NAME] [--batch 8] [--rounds 3] [--out benchmarks/results]

Rows ask about the embedded world in three ways: five passages in the prompt and the question in the parameters, a passage in
the parameters alone, and in both. Both trainings take turns in one process; ratios are medians over rounds. Memory is what the
forward pass keeps for the backward pass, weights left out, by how much it grows with each example.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from aag_ray.llm.objective import Example, Objective
    from aag_ray.records import Question


def rows_of(questions: Sequence[Question]) -> dict[str, list[Example]]:
    """By the way of reading: an example for each question that has a passage of its own; no two have one condition."""
    from aag_ray import prompts

    told = {prompts.passage_text(question.contexts[0]): question for question in questions}
    rows: dict[str, list[Example]] = {"five passages, question in parameters": [], "passage in parameters": [], "both": []}
    for passage, question in told.items():
        asked = question.question
        given = (
            (prompts.reader_prompt(asked, passages=question.contexts[:5]), prompts.condition_prompt(asked, None)),
            (prompts.reader_prompt(asked), prompts.condition_prompt(None, passage)),
            (prompts.reader_prompt(asked, document=passage), prompts.condition_prompt(None, passage)),
        )
        for examples, (prompt, condition) in zip(rows.values(), given, strict=True):
            target = prompts.answer_text(question.training_answer)
            examples.append({"id": question.id, "prompt": prompt, "target": target, "condition": condition})
    return rows


def kept_bytes(objective: Objective, base: Any, rows: Sequence[Example]) -> int:
    """Bytes that the backward pass of these rows would find, without those of weights."""
    import torch

    weights = {p.untyped_storage().data_ptr() for part in (objective, base) for p in part.parameters()}
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = objective(rows)["loss"]
    del loss
    return sum(size for place, size in found.items() if place not in weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()

    import torch

    from aag_ray.awaken.hypernetwork import build_hypernetwork, layer_shapes
    from aag_ray.awaken.reader import ReaderObjective
    from aag_ray.config import DistillSection, HypernetworkSection, LoraSection, ModelSection, WorldSection
    from aag_ray.evaluate.machine import describe_machine
    from aag_ray.llm.sft import new_lora
    from aag_ray.train.builders import load_for_training
    from aag_ray.world import build_world

    loaded = load_for_training(ModelSection(name=options.model), torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    section, alone = HypernetworkSection(), DistillSection(kd=False)
    network = build_hypernetwork(section, layer_shapes(loaded.model, section.modules), loaded.model.config.hidden_size)
    lora = new_lora(loaded, LoraSection(rank=section.rank, modules=section.modules), seed=29)
    trained = {
        "static": ReaderObjective(loaded, lora, None, alone),
        "hypernetwork": ReaderObjective(loaded, None, network, alone),
    }
    optimizers = {name: torch.optim.AdamW(objective.parameters(), lr=1e-4) for name, objective in trained.items()}

    def seconds_of_step(name: str, rows: Sequence[Example]) -> float:
        began = time.perf_counter()
        trained[name](rows)["loss"].backward()
        torch.nn.utils.clip_grad_norm_(trained[name].parameters(), 1.0)
        optimizers[name].step()
        optimizers[name].zero_grad()
        if loaded.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    world = build_world(WorldSection(train_questions=20 * options.batch, dev_questions=1, test_questions=1), 29, contexts=5)
    tokenizer: Any = loaded.tokenizer
    result: dict[str, Any] = {}
    for way, examples in rows_of(world.questions["train"]).items():
        # Of similar length, as the batches of a training are; twice as many tell what each further one costs.
        ordered = sorted(examples, key=trained["static"].length)
        middle = (len(ordered) - 2 * options.batch) // 2
        more = ordered[middle : middle + 2 * options.batch]
        rows = more[: options.batch]
        times = [{name: seconds_of_step(name, rows) for name in trained} for _ in range(options.rounds + 1)][1:]  # warm
        kept = {
            name: (kept_bytes(each, loaded.model, more) - kept_bytes(each, loaded.model, rows)) / options.batch
            for name, each in trained.items()
        }
        tokens = sum(map(trained["static"].length, rows))
        condition = sum(len(tokenizer(row["condition"])["input_ids"]) for row in rows)
        speed = statistics.median(each["static"] / each["hypernetwork"] for each in times)
        result[way] = {
            "examples_per_second_of_static": speed,
            "tokens_per_second_of_static": speed * (tokens + condition) / tokens,  # with those that adapters are made from
            "static_tokens_per_second": tokens / statistics.median(each["static"] for each in times),
            "tokens_per_example": tokens / len(rows),
            "condition_tokens_per_example": condition / len(rows),
            "bytes_per_further_example": kept,
            "rounds": times,
        }
        print(
            f"{way:37} {speed:6.1%} of the examples/s, {result[way]['tokens_per_second_of_static']:6.1%} of the tokens/s; "
            f"{kept['hypernetwork'] / 1e6:.1f} MB a further example, {kept['static'] / 1e6:.1f} MB static"
        )
    settings = {"model": options.model, "dtype": str(loaded.dtype), "batch": options.batch, "rank": section.rank}
    counts = {name: sum(p.numel() for p in each.parameters()) for name, each in trained.items()}
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"adapter_training-{time.strftime('%Y%m%d-%H%M%S')}.json"
    written = {"ways": result, "trained_parameters": counts, "machine": describe_machine()} | settings
    path.write_text(json.dumps(written, indent=2) + "\n")
    print(path)


if __name__ == "__main__":
    main()
