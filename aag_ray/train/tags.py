"""The tag-emitting extractor: supervised on gold tags, then preferring gold to its own mistakes (DPO)."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from aag_ray.artifacts import Run, read_table, replaced_folder, write_atomically
from aag_ray.config import (
    LoraSection,
    ModelSection,
    PagesSection,
    TagsSection,
    TrainExtractorConfig,
    TrainingSection,
)
from aag_ray.extract.examples import ExtractionExample
from aag_ray.train.launch import TrainingJob

if TYPE_CHECKING:
    from aag_ray.llm.adapters import StaticLora
    from aag_ray.llm.load import LoadedModel

Metrics = dict[str, Any]


def tags(config: TrainExtractorConfig, run: Run, folder: Path) -> Metrics:
    """Train on windows of the training pages; the adapter, as a PEFT folder, or the whole model goes into `model`."""
    from aag_ray.llm.load import load_model
    from aag_ray.train.builders import build_sft
    from aag_ray.train.launch import train

    section, seed = config.tags, config.seed
    loaded = load_model(section.model, "cpu")
    splits = {split: examples_of(run, split) for split in ("train", "dev")}
    rows = {split: sft_rows(loaded.tokenizer, examples, section, seed) for split, examples in splits.items()}
    shared: dict[str, Any] = {"seed": seed, "shard": config.cluster.zero_stage == 3}
    arguments = {"model": section.model, "lora": section.lora if section.tune == "lora" else None, "longest": None} | shared
    metrics: Metrics = {"sft": train(_job(config, folder, "sft", rows, build_sft, arguments, section.sft))}
    sft, dpo = folder / "sft" / "best", folder / "dpo" / "best"
    if section.dpo.steps:
        pairs = {
            split: dpo_rows(config, sft, examples, count)
            for (split, examples), count in zip(splits.items(), (section.pairs, max(4, section.pairs // 8)), strict=True)
        }
        metrics["mistakes"] = {split: len(rows) for split, rows in pairs.items()}
        if all(pairs.values()):
            arguments = {"model": section.model, "lora": section.lora, "start": sft, "beta": section.beta} | shared
            metrics["dpo"] = train(_job(config, folder, "dpo", pairs, build_dpo, arguments, section.dpo))
    with replaced_folder(folder / "model") as temporary:
        _save(temporary, section.model, sft, dpo if "dpo" in metrics else None)
    return metrics


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
    model: ModelSection, lora: LoraSection, start: Path, beta: float, seed: int, shard: bool, device: torch.device
) -> Any:
    """What Ray Train builds for DPO: the policy starts as its reference, which is what was trained before it."""
    from aag_ray.llm.dpo import DpoObjective
    from aag_ray.llm.sft import is_lora, load_lora, new_lora
    from aag_ray.train.builders import context_of, load_for_training

    if is_lora(start):
        loaded = load_for_training(model, device)
        policy, reference = load_lora(start).requires_grad_(True), load_lora(start)
    else:
        loaded = load_for_training(ModelSection(name=str(start), dtype=model.dtype), device)
        policy, reference = new_lora(loaded, lora, seed), None
    return DpoObjective(loaded, policy, reference, beta, longest=context_of(loaded), shard_base=shard)


def sft_rows(tokenizer: Any, examples: Sequence[ExtractionExample], section: TagsSection, seed: int) -> list[dict[str, Any]]:
    """A row for each window with gold, and `empty_windows` times as many without, in random order. The loss is on the tags."""
    full, empty = [], []
    for row in _windows(tokenizer, examples, section):
        (full if row["numbers"] else empty).append(row)
    draw = random.Random(seed)
    rows = full + draw.sample(empty, min(len(empty), round(section.empty_windows * len(full))))
    draw.shuffle(rows)
    return rows


def dpo_rows(
    config: TrainExtractorConfig, trained: Path, examples: Sequence[ExtractionExample], count: int
) -> list[dict[str, Any]]:
    """Windows on which the trained extractor, decoding in the grammar, says something else than gold; that is rejected."""
    from aag_ray.extract.grammar import TagGrammar
    from aag_ray.extract.tag_model import TAG_TOKENS
    from aag_ray.extract.writing import Asked, Writer
    from aag_ray.pages.tags import Window

    loaded, lora = _trained(config.tags.model, trained)
    tokenizer: Any = loaded.tokenizer
    rows = sft_rows(tokenizer, examples, config.tags, config.seed + 1)[: 2 * count]
    writer = Writer(loaded, [lora()] if lora is not None else [], PagesSection(), batch=8)
    asked = [Asked(0, Window("", row["first"], row["last"], len(row["prompt"])), row["prompt"]) for row in rows]
    grammars = [TagGrammar(row["first"], row["last"], header=False) for row in rows]
    written = writer.write(asked, most=TAG_TOKENS, grammars=grammars)
    mistakes = []
    for row, wrote in zip(rows, written, strict=True):
        rejected = wrote.text.strip() + tokenizer.eos_token
        if not wrote.failure and rejected != row["target"]:
            mistakes.append({"id": row["id"], "prompt": row["prompt"], "chosen": row["target"], "rejected": rejected})
    return mistakes[:count]


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
                answer = write_tags(item.numbers for item in row.items).removeprefix(HEADER)
                yield {
                    "id": row.id,
                    "prompt": chat_ids(tokenizer, tag_prompt(row.tagged, row.request), HEADER),
                    "target": answer + tokenizer.eos_token,
                    "first": row.first,
                    "last": row.last,
                    "numbers": [number for item in row.items for number in item.numbers],
                }


def examples_of(run: Run, split: str) -> list[ExtractionExample]:
    return [ExtractionExample.from_row(row) for row in read_table(run.folder / "data" / f"{split}.parquet")]


def _job(
    config: TrainExtractorConfig,
    folder: Path,
    name: str,
    rows: dict[str, list[dict[str, Any]]],
    build: Callable[..., Any],
    arguments: dict[str, Any],
    training: TrainingSection,
) -> TrainingJob:
    """Write train and dev rows beside the training's own folder, and say how to train on them."""
    for split, part in rows.items():
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in part)
        write_atomically(folder / f"{name}-{split}.jsonl", "".join(lines))
    train, dev = (folder / f"{name}-{split}.jsonl" for split in ("train", "dev"))
    return TrainingJob(build, arguments, train, dev, training, config.cluster, config.seed, folder / name)
