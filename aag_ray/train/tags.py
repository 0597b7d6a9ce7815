"""The tag-emitting extractor: supervised on gold tags, then preferring gold to its own mistakes (DPO)."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from aag_ray.artifacts import Run, read_table, replaced_folder, write_atomically
from aag_ray.config import (
    LoraSection,
    ModelSection,
    PagesSection,
    Shard,
    TagsSection,
    TrainExtractorConfig,
    TrainingSection,
)
from aag_ray.extract.examples import ExtractionExample
from aag_ray.train.engine import TrainingError
from aag_ray.train.launch import TrainingJob
from aag_ray.train.loop import read_examples

if TYPE_CHECKING:
    from aag_ray.llm.adapters import StaticLora
    from aag_ray.llm.load import LoadedModel

Metrics = dict[str, Any]
Rows = list[dict[str, Any]]


def tags(config: TrainExtractorConfig, run: Run, folder: Path) -> Metrics:
    """Train on windows of the training pages; the adapter, as a PEFT folder, or the whole model goes into `model`.

    `left_out` counts rows that are longer than the model's context. Raises TrainingError where that leaves none.
    """
    from aag_ray.extract.tag_model import save_windows
    from aag_ray.llm.load import load_model
    from aag_ray.train.builders import build_sft
    from aag_ray.train.launch import train

    section, seed = config.tags, config.seed
    loaded = load_model(section.model, "cpu")
    splits = {split: examples_of(run, split) for split in ("train", "dev")}
    metrics: Metrics = {"left_out": {}}
    rows: dict[str, Rows] = {}
    for split, examples in splits.items():
        made = sft_rows(loaded.tokenizer, examples, section, seed)
        rows[split] = fitting(made, loaded, split)
        metrics["left_out"][split] = len(made) - len(rows[split])
        if made and not rows[split]:
            raise TrainingError(
                f"no window of {split} fits the model's context; lower tags.window_tokens={section.window_tokens}"
            )
    shared: dict[str, Any] = {"seed": seed, "shard": config.cluster.shard}
    arguments = {"model": section.model, "lora": section.lora if section.tune == "lora" else None, "longest": None} | shared
    metrics["sft"] = train(_job(config, folder, "sft", rows, build_sft, arguments, section.sft))
    sft, dpo = folder / "sft" / "best", folder / "dpo" / "best"
    if section.dpo.steps:
        pairs = _pairs(config, folder, sft, splits)
        metrics["mistakes"] = {split: len(part) for split, part in pairs.items()}
        if right := [split for split, part in pairs.items() if not part]:
            metrics["dpo_skipped"] = f"no mistake was found on {' or '.join(right)}: there is nothing to prefer gold to"
            print(f"  dpo: skipped, {metrics['dpo_skipped']}", flush=True)
        else:
            arguments = {"model": section.model, "lora": section.lora, "start": sft, "beta": section.beta} | shared
            metrics["dpo"] = train(_job(config, folder, "dpo", pairs, build_dpo, arguments, section.dpo))
    with replaced_folder(folder / "model") as temporary:
        _save(temporary, section.model, sft, dpo if "dpo" in metrics else None)
        save_windows(temporary, section.window_tokens)
    return metrics


def fitting(rows: Rows, loaded: LoadedModel, split: str) -> Rows:
    """The rows whose prompt and every target fit the model's context: cut, they would lose the instruction or the page.

    Says how many do not.
    """
    from aag_ray.llm.batches import encode_pair
    from aag_ray.train.builders import context_of

    context, targets = context_of(loaded), ("target", "chosen", "rejected")

    def length(row: dict[str, Any]) -> int:
        read = [encode_pair(loaded.tokenizer, row["prompt"], row[name], sys.maxsize) for name in targets if name in row]
        return max(len(prompt) + len(target) for prompt, target in read)

    kept = [row for row in rows if length(row) <= context]
    if left_out := len(rows) - len(kept):
        told = f"{left_out} of {len(rows)} windows of {split} do not fit the context of {context} tokens with their prompt"
        print(f"  {told}; left out", flush=True)
    return kept


def _pairs(
    config: TrainExtractorConfig, folder: Path, sft: Path, splits: dict[str, list[ExtractionExample]]
) -> dict[str, Rows]:
    """What DPO learns from; found once, for a resumed training must see the same pairs, and models do not always repeat."""
    counts = {"train": config.tags.pairs, "dev": max(4, config.tags.pairs // 8)}
    found: dict[str, Rows] = {}
    for split, examples in splits.items():
        file = _rows_file(folder, "dpo", split)
        found[split] = read_examples(file) if file.exists() else dpo_rows(config, sft, examples, counts[split])
        _write_rows(file, found[split])
    return found


def _save(folder: Path, base: ModelSection, sft: Path, dpo: Path | None) -> None:
    from aag_ray.llm.adapters import merge
    from aag_ray.llm.sft import is_lora, load_lora

    if is_lora(sft):
        load_lora(dpo or sft)().detach().save_peft(folder, base.name)
        return
    loaded, _ = _trained(base, sft, "cpu")
    if dpo is not None:
        merge(loaded.model, load_lora(dpo)().detach())
    loaded.model.save_pretrained(folder, safe_serialization=True)
    loaded.tokenizer.save_pretrained(folder)


def _trained(base: ModelSection, folder: Path, device: str | None = None) -> tuple[LoadedModel, StaticLora | None]:
    """The base model with the LoRA that was trained on it, or the whole model that was trained, alone."""
    from aag_ray.llm.load import load_model
    from aag_ray.llm.sft import is_lora, load_lora

    if is_lora(folder):
        loaded = load_model(base, device)
        return loaded, load_lora(folder).to(loaded.device)
    return load_model(ModelSection(name=str(folder), dtype=base.dtype), device), None


def build_dpo(
    model: ModelSection, lora: LoraSection, start: Path, beta: float, seed: int, shard: Shard | None, device: torch.device
) -> Any:
    """What Ray Train builds for DPO: the policy starts as its reference, which is what was trained before it."""
    from aag_ray.llm.dpo import DpoObjective
    from aag_ray.llm.sft import is_lora, load_lora, new_lora
    from aag_ray.train.builders import context_of, load_for_training

    if is_lora(start):
        loaded = load_for_training(model, device, shard)
        policy, reference = load_lora(start).requires_grad_(True), load_lora(start)
    else:
        loaded = load_for_training(ModelSection(name=str(start), dtype=model.dtype), device, shard)
        policy, reference = new_lora(loaded, lora, seed), None
    return DpoObjective(loaded, policy, reference, beta, longest=context_of(loaded), shard_base=shard is not None)


def sft_rows(tokenizer: Any, examples: Sequence[ExtractionExample], section: TagsSection, seed: int) -> Rows:
    """A row for each window with gold, and `empty_windows` times as many without, in random order. The loss is on the tags."""
    full, empty = [], []
    for row in _windows(tokenizer, examples, section):
        (full if row["numbers"] else empty).append(row)
    draw = random.Random(seed)
    rows = full + draw.sample(empty, min(len(empty), round(section.empty_windows * len(full))))
    draw.shuffle(rows)
    return rows


def dpo_rows(config: TrainExtractorConfig, trained: Path, examples: Sequence[ExtractionExample], count: int) -> Rows:
    """Windows on which the trained extractor, decoding in the grammar, says something else than gold; that is rejected."""
    from aag_ray.extract.grammar import TagGrammar
    from aag_ray.extract.tag_model import TAG_TOKENS
    from aag_ray.extract.writing import Asked, Writer
    from aag_ray.pages.tags import Window

    loaded, lora = _trained(config.tags.model, trained)
    tokenizer: Any = loaded.tokenizer
    rows = fitting(sft_rows(tokenizer, examples, config.tags, config.seed + 1), loaded, "DPO")[: 2 * count]
    writer = Writer(loaded, [lora()] if lora is not None else [], PagesSection(), batch=8)
    asked = [Asked(0, Window("", row["first"], row["last"], len(row["prompt"])), row["prompt"]) for row in rows]
    grammars = [TagGrammar(row["first"], row["last"], header=False) for row in rows]
    written = writer.write(asked, most=TAG_TOKENS, grammars=grammars)
    pairs = ((row, wrote.text.strip()) for row, wrote in zip(rows, written, strict=True) if not wrote.failure)
    mistakes = [mistake(row, said, tokenizer.eos_token) for row, said in pairs]
    return fitting([each for each in mistakes if each is not None], loaded, "DPO")[:count]


def mistake(row: dict[str, Any], said: str, end: str) -> dict[str, Any] | None:
    """A pair of gold and what was said; None where that names the same spans, in whatever groups and ranges."""
    from aag_ray.pages.tag_output import HEADER, OutputOutcome, parse_strict

    read = parse_strict(HEADER + said, row["last"])
    if read.outcome is not OutputOutcome.UNREADABLE and read.numbers == tuple(row["numbers"]):
        return None
    return {"id": row["id"], "prompt": row["prompt"], "chosen": row["target"], "rejected": said + end}


def _windows(tokenizer: Any, examples: Sequence[ExtractionExample], section: TagsSection) -> Iterator[dict[str, Any]]:
    from aag_ray.extract.info_tags import write_tags
    from aag_ray.extract.instructions import from_example
    from aag_ray.extract.prompts import chat_ids, tag_prompt
    from aag_ray.pages.tag_output import HEADER

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    for example in examples:
        for row in from_example(example, count, section.window_tokens):
            if row.spans:
                numbers = sorted({number for item in row.items for number in item.numbers})
                answer = write_tags(_runs(numbers)).removeprefix(HEADER)
                yield {
                    "id": row.id,
                    "prompt": chat_ids(tokenizer, tag_prompt(row.tagged, row.request), HEADER),
                    "target": answer + tokenizer.eos_token,
                    "first": row.first,
                    "last": row.last,
                    "numbers": numbers,
                }


def _runs(numbers: Sequence[int]) -> list[list[int]]:
    """Sorted numbers in groups of neighbours: spans that follow each other are one piece of information, written as a range."""
    runs = groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    return [[number for _, number in run] for _, run in runs]


def examples_of(run: Run, split: str) -> list[ExtractionExample]:
    return [ExtractionExample.from_row(row) for row in read_table(run.folder / "data" / f"{split}.parquet")]


def _job(
    config: TrainExtractorConfig,
    folder: Path,
    name: str,
    rows: dict[str, Rows],
    build: Callable[..., Any],
    arguments: dict[str, Any],
    training: TrainingSection,
) -> TrainingJob:
    """Write train and dev rows beside the training's own folder, and say how to train on them: unless the configuration says
    otherwise one row at a time on each worker, so that none is padded."""
    for split, part in rows.items():
        _write_rows(_rows_file(folder, name, split), part)
    if "accumulation" not in training.model_fields_set:
        training = training.model_copy(update={"accumulation": max(1, training.batch // config.cluster.workers)})
    train, dev = (_rows_file(folder, name, split) for split in ("train", "dev"))
    return TrainingJob(build, arguments, train, dev, training, config.cluster, config.seed, folder / name)


def _rows_file(folder: Path, name: str, split: str) -> Path:
    return folder / f"{name}-{split}.jsonl"


def _write_rows(file: Path, rows: Rows) -> None:
    write_atomically(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
