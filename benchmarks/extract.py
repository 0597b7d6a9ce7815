"""What extracting costs: the span scorer, the tag-emitting model and a generating one on the same pages, in turns.

    python benchmarks/extract.py [--pages 8] [--tokens 3000] [--rounds 2] [--outputs 10000]
                                  [--scorer FOLDER] [--tags FOLDER] [--out FOLDER]

Pages are laid from the embedded world's passages with a fact hidden in each. All three run on this machine; tags and text are
written by the packaged language model, tags with the adapter of --tags if there is one. Without --scorer the scorer's head is
random: it costs the same. `outputs` tag lists are then decoded from random weights (which try everything) in the grammar of
random windows, and parsed strictly.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--outputs", type=int, default=10_000)
    parser.add_argument("--scorer", type=Path, default=None)
    parser.add_argument("--tags", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    from aag_ray.threads import share_cores

    share_cores()
    from aag_ray.evaluate.machine import describe_machine

    result = {"options": {key: str(value) for key, value in vars(options).items()}, "machine": describe_machine()}
    if options.pages:
        result |= speeds(options.pages, options.tokens, options.rounds, options.scorer, options.tags)
    if options.outputs:
        result["constrained"] = constrained(options.outputs)
        print(json.dumps(result["constrained"]), flush=True)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        path = options.out / f"extract-{time.strftime('%Y%m%d-%H%M%S')}.json"
        path.write_text(json.dumps(result, indent=2) + "\n")


def speeds(pages: int, tokens: int, rounds: int, checkpoint: Path | None, adapter: Path | None) -> dict[str, Any]:
    """Seconds per page and round of each extractor, on the same pages in the same order."""
    from aag_ray.config import ExtractSection, ModelSection, ScorerSection
    from aag_ray.extract.build import build_extractor
    from aag_ray.extract.generating import GeneratingExtractor
    from aag_ray.extract.scorer import SpanScorer
    from aag_ray.extract.tokens import tokenizer_counter
    from aag_ray.extract.trained import ScorerExtractor
    from aag_ray.llm.load import load_model

    section = ScorerSection()
    scorer = (
        SpanScorer.from_pretrained(checkpoint)
        if checkpoint
        else SpanScorer.new(section.model, window=section.window, width=section.width, seed=29, device="cpu")
    )
    loaded = load_model(ModelSection())
    extractors: dict[str, Any] = {
        "scorer": ScorerExtractor(ExtractSection(), scorer),
        "tags": build_extractor(ExtractSection(extractor="tags", checkpoint=str(adapter) if adapter else None)),
        "generating": GeneratingExtractor(ExtractSection(), loaded),
    }
    asked = examples(pages, tokens, tokenizer_counter(scorer.tokenizer))
    seconds: dict[str, list[float]] = {name: [] for name in extractors}
    for number in range(rounds):
        for name, extractor in extractors.items():
            for example in asked:
                began = time.perf_counter()
                extractor.extract(example.question, [example.tagged])
                seconds[name].append(time.perf_counter() - began)
            print(f"round {number + 1}: {name} {1000 * statistics.median(seconds[name]):.0f} ms a page", flush=True)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = {name: statistics.median(a / b for a, b in zip(seconds[name], seconds["scorer"], strict=True)) for name in seconds}
    told = {
        "seconds": seconds,
        "median_ms": {name: 1000 * value for name, value in medians.items()},
        "times_slower_than_the_scorer": ratios,
        "scorer_tokens_per_second": tokens / medians["scorer"],
        "tags_over_generating": medians["generating"] / medians["tags"],
        "tokens_written_a_page": {
            name: extractor.counts["output_tokens"] / (rounds * pages)
            for name, extractor in extractors.items()
            if hasattr(extractor, "counts")
        },
    }
    print(json.dumps({name: value for name, value in told.items() if name != "seconds"}), flush=True)
    return told


def examples(pages: int, tokens: int, count: Any) -> list[Any]:
    from aag_ray.config import DataSection
    from aag_ray.extract.haystack import haystack, hide_needle, spread
    from aag_ray.extract.needles import make_needles
    from aag_ray.world.questions import load_splits

    splits, _ = load_splits(DataSection.model_validate({"world": {"train_questions": 100}}), 29)
    texts = list(dict.fromkeys(passage.text for question in splits["train"] for passage in question.contexts))
    draw = random.Random(29)
    made = []
    for number, needle in enumerate(make_needles(pages, 29, languages=("en",))):
        draw.shuffle(texts)
        page = haystack(texts, tokens - 100, count, f"haystack:{number}")
        depths = spread(draw.random(), len(needle.sentences))
        made.append(hide_needle(needle, page, depths, identity=f"{number}", seed=29))
    return made


def constrained(outputs: int) -> dict[str, Any]:
    """How many of `outputs` tag lists, decoded greedily from random weights in a grammar, are not valid for their window."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from aag_ray.config import ModelSection
    from aag_ray.extract.grammar import TagGrammar
    from aag_ray.extract.writing import Asked, Writer
    from aag_ray.llm.load import LoadedModel, load_model
    from aag_ray.pages.tag_output import HEADER, OutputOutcome, parse_strict
    from aag_ray.pages.tags import Window

    tokenizer: Any = load_model(ModelSection()).tokenizer
    torch.manual_seed(29)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, tie_word_embeddings=False,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=1.0)
    writer = Writer(LoadedModel(model, tokenizer, torch.device("cpu"), torch.float32, "random", Path(".")), batch=256)
    draw = random.Random(29)
    firsts = [draw.randint(1, 5000) for _ in range(outputs)]
    windows = [Window("", first, first + draw.randint(0, 400), 1) for first in firsts]
    asked = [Asked(0, window, [draw.randrange(100, 40_000) for _ in range(6)]) for window in windows]
    grammars = [TagGrammar(window.first, window.last, header=False) for window in windows]
    began = time.perf_counter()
    texts = [written.text for written in writer.write(asked, most=64, grammars=grammars)]
    seconds = time.perf_counter() - began
    read = [parse_strict(HEADER + text, window.last) for text, window in zip(texts, windows, strict=True)]
    wrong = [text for text, output, window in zip(texts, read, windows, strict=True) if not valid(window, output)]
    return {
        "outputs": outputs,
        "invalid": len(wrong),
        "examples_of_invalid": wrong[:5],
        "different": len(set(texts)),
        "kinds": {kind.value: sum(output.outcome is kind for output in read) for kind in OutputOutcome},
        "seconds": seconds,
    }


def valid(window: Any, output: Any) -> bool:
    from aag_ray.pages.tag_output import OutputOutcome

    readable = output.outcome is not OutputOutcome.UNREADABLE and not sum(output.ignored.values())
    return readable and all(window.first <= number <= window.last for number in output.numbers)


if __name__ == "__main__":
    main()
