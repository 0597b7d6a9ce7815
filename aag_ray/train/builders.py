"""What Ray Train builds on each worker: the objectives of the AAG stages, from small picklable arguments."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from aag_ray.awaken.fid_objective import FidObjective
from aag_ray.awaken.fid_reader import FidReader
from aag_ray.awaken.hypernetwork import (
    Hypernetwork,
    PaperHypernetwork,
    TokenHypernetwork,
    build_hypernetwork,
    layer_shapes,
    upper_layers,
)
from aag_ray.awaken.mixture import CONDITION
from aag_ray.awaken.reader import ReaderObjective, read_conditions
from aag_ray.awaken.t5_layers import placed_lora, placed_shapes
from aag_ray.config import (
    DistillSection,
    FidHypernetworkSection,
    FidReaderSection,
    FidTeacherSection,
    HypernetworkSection,
    InternalizerSection,
    LoraSection,
    ModelSection,
    ReaderSection,
    Shard,
)
from aag_ray.llm.load import LoadedModel, choose_dtype, load_model
from aag_ray.llm.objective import Example
from aag_ray.llm.sft import SftObjective, load_lora, new_lora
from aag_ray.train.loop import read_examples
from aag_ray.train.shards import readable_shards, sharded_loading

WHITENING_EXAMPLES = 2000


def load_for_training(model: ModelSection, device: torch.device, shard: Shard | None = None) -> LoadedModel:
    """A model whose attention is quick to differentiate; with `shard`, each worker gets its part of every weight alone.

    On a CPU the fused kernel's backward pass in bfloat16 is the slower one: a step of 8 rows of 180 tokens of a 135M model took
    3.4 s with it and 2.8 s without, 4 rows of 480 tokens 5.4 s and 4.0 s (two cores, torch 2.13).
    """
    with sharded_loading(device, choose_dtype(model.dtype, device), shard) if shard else nullcontext():
        loaded = load_model(model, str(device))
    if device.type == "cpu":
        loaded.model.set_attn_implementation("eager")
    return loaded


def build_sft(
    model: ModelSection,
    lora: LoraSection | None,
    seed: int,
    device: torch.device,
    rank: int | None = None,
    shard: Shard | None = None,
    longest: int | None = 2048,
) -> SftObjective:
    """A LoRA (of `rank`, or the section's) on a model, or the whole model, on rows of up to `longest` tokens (None: as many as
    the model reads)."""
    loaded = load_for_training(model, device, shard)
    made = new_lora(loaded, lora, seed, rank) if lora is not None else None
    return SftObjective(loaded, made, longest or context_of(loaded), shard_base=shard is not None)


def context_of(loaded: LoadedModel) -> int:
    """How many tokens the model reads at most."""
    return int(getattr(loaded.model.config, "max_position_embeddings", 16384))


def build_reader(
    model: ModelSection,
    section: ReaderSection,
    teacher: Path | None,
    examples: Path,
    seed: int,
    device: torch.device,
    shard: Shard | None = None,
    start: Path | None = None,
    lora: Path | None = None,
) -> ReaderObjective:
    """The reader's LoRA and hypernetwork over a base model, each new or as a training before left it in `lora` and `start`."""
    loaded = load_for_training(model, device, shard)
    network = started_hypernetwork(loaded, section.hypernetwork, examples, seed, shard)
    if start is not None:
        network.load_state_dict(load_file(start / "model.safetensors"))
    return ReaderObjective(
        loaded,
        load_lora(lora).requires_grad_(True) if lora is not None else new_lora(loaded, section.lora, seed + 1),
        network,
        section.distill,
        load_lora(teacher) if teacher is not None else None,
        shard_base=shard is not None,
    )


def build_reading(
    model: ModelSection, section: ReaderSection, examples: Path, seed: int, device: torch.device, shard: Shard | None = None
) -> ReaderObjective:
    """The hypernetwork alone over a base model: nothing else can learn the answers."""
    loaded = load_for_training(model, device, shard)
    network = started_hypernetwork(loaded, section.hypernetwork, examples, seed, shard)
    return ReaderObjective(loaded, None, network, DistillSection(kd=False), shard_base=shard is not None)


def build_internalizer(
    model: ModelSection,
    section: InternalizerSection,
    reader: Path,
    examples: Path,
    seed: int,
    device: torch.device,
    shard: Shard | None = None,
    start: Path | None = None,
) -> ReaderObjective:
    """A hypernetwork over a frozen text reader, which is also its teacher; new, or as a training left it in `start`."""
    loaded = load_for_training(model, device, shard)
    network = started_hypernetwork(loaded, section.hypernetwork, examples, seed, shard)
    if start is not None:
        network.load_state_dict(load_file(start / "model.safetensors"))
    lora = load_lora(reader)
    return ReaderObjective(loaded, lora, network, section.distill, lora, shard_base=shard is not None)


def build_fid_reader(
    model: ModelSection,
    section: FidReaderSection,
    teacher: Path | FidTeacherSection | None,
    examples: Path,
    seed: int,
    device: torch.device,
    shard: Shard | None = None,
) -> FidObjective:
    """A reader that fuses passages in a T5, with what `section` puts on it; also the teacher, which is such a reader.

    `teacher` is a folder of a trained one, or the section of one that has a checkpoint; None distils from nobody. Weights of
    the model that are trained are kept in float32 and multiplied in the model's type.
    """
    compute = choose_dtype(model.dtype, device) if section.trained else None
    loaded = load_for_training(model.model_copy(update={"dtype": "float32"}) if compute else model, device, shard)
    network, lora = section.hypernetwork, section.lora
    reader = FidReader(
        loaded,
        lora=placed_lora(loaded, lora, seed + 1) if lora is not None else None,
        hypernetwork=started_hypernetwork(loaded, network, examples, seed, shard) if network is not None else None,
        trained=section.trained,
        longest=section.longest,
        longest_answer=section.longest_answer,
        compute=compute,
        shard_base=shard is not None,
    )
    return FidObjective(reader, section.distill, _fid_teacher(teacher, model, device, trained=section.distill.co_train > 0))


def _fid_teacher(
    teacher: Path | FidTeacherSection | None, model: ModelSection, device: torch.device, *, trained: bool
) -> FidReader | None:
    """Frozen, or `trained` further: in float32, multiplied in the model's type."""
    dtype, compute = ("float32", choose_dtype(model.dtype, device)) if trained else (model.dtype, None)
    if isinstance(teacher, Path):
        return FidReader.from_pretrained(teacher, dtype=dtype, device=str(device), compute=compute)
    if teacher is None or teacher.checkpoint is None:
        return None
    loaded = load_model(ModelSection(name=teacher.checkpoint, dtype=dtype), str(device))
    return FidReader(
        loaded,
        trained=teacher.trained if trained else (),
        longest=teacher.longest,
        longest_answer=teacher.longest_answer,
        compute=compute,
    )


def started_hypernetwork(
    loaded: LoadedModel, section: HypernetworkSection, examples: Path, seed: int, shard: Shard | None = None
) -> Hypernetwork:
    """A new hypernetwork; the paper's variant has its whitening fitted on the conditions of `examples`, that of token pairs on
    the model's vocabulary."""
    network = new_hypernetwork(loaded, section, seed)
    if isinstance(network, PaperHypernetwork | TokenHypernetwork):
        with readable_shards(loaded.model, loaded.device, loaded.dtype, shard) if shard else nullcontext():
            if isinstance(network, PaperHypernetwork):
                fit_whitening(loaded, network, read_examples(examples))
            else:
                network.vocabulary.fit(vocabulary_embeddings(loaded))
    return network


@torch.no_grad()
def vocabulary_embeddings(loaded: LoadedModel) -> Tensor:
    """(V, width), asked of the layer, which has its weights by then also where they lie in parts."""
    layer: Any = loaded.model.get_input_embeddings()
    return layer(torch.arange(layer.num_embeddings, device=loaded.device))


def new_hypernetwork(loaded: LoadedModel, section: HypernetworkSection, seed: int) -> Hypernetwork:
    in_t5 = isinstance(section, FidHypernetworkSection)
    shapes = placed_shapes(loaded, section) if in_t5 else layer_shapes(loaded.model, section.modules)
    return build_hypernetwork(section, upper_layers(shapes, section.from_depth), loaded.model.config.hidden_size, seed)


def fit_whitening(loaded: LoadedModel, network: PaperHypernetwork, examples: list[Example] | list[dict]) -> None:
    """Once, on the training conditions; the fitted mean and matrix are saved with the weights."""
    texts = list(dict.fromkeys(example[CONDITION] for example in examples if example.get(CONDITION)))[:WHITENING_EXAMPLES]
    pooled = [read_conditions(loaded, network, texts[start : start + 32]).feature for start in range(0, len(texts), 32)]
    network.fit_whitening(torch.cat([feature for feature in pooled if feature is not None]))
