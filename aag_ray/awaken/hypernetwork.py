"""Hypernetworks: from what a base model makes of a question and its document to LoRA factors for that one question.

`LatentHypernetwork` (default) reads token-level states in every layer, as Doc-to-LoRA does (arXiv 2602.15902).
`TokenHypernetwork` makes a pair for every token: a memory of what came next, as fast weights are (arXiv 2102.11174).
`PaperHypernetwork` is AAG's (arXiv 2403.15268, section 3.2): one pooled feature and the layer number through small MLPs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from aag_ray.awaken.conditions import Condition, condition_from
from aag_ray.awaken.state_attention import StateAttention
from aag_ray.awaken.t5_layers import Place, layer_place
from aag_ray.awaken.token_pairs import TokenPairs, WhitenedVocabulary, between, token_keys
from aag_ray.config import HypernetworkSection
from aag_ray.llm.adapters import Adapter, AdapterError, adaptable_layers
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.packaged import ModelError
from aag_ray.llm.resolve import resolve_trained

LayerShapes = Mapping[str, tuple[int, int]]


def layer_shapes(model: nn.Module, modules: Sequence[str]) -> dict[str, tuple[int, int]]:
    """(d_in, d_out) of every adapted layer by name; right for grouped-query attention because it asks the layers."""
    return {name: (layer.in_features, layer.out_features) for name, layer in adaptable_layers(model, modules).items()}


def upper_layers(shapes: LayerShapes, from_depth: float) -> dict[str, tuple[int, int]]:
    """Without the layers in the lower share `from_depth` of the blocks."""
    blocks = {name: layer_place(name).block for name in shapes}
    first = from_depth * (max(blocks.values(), default=0) + 1)
    return {name: shape for name, shape in shapes.items() if blocks[name] >= first}


class Hypernetwork(nn.Module):
    """Base of both variants: knows the layers it makes factors for, and how to be saved with all of its weights."""

    def __init__(self, section: HypernetworkSection, shapes: LayerShapes, width: int) -> None:
        super().__init__()
        self.section, self.shapes, self.input_width = section, dict(shapes), width
        self.places = {name: layer_place(name) for name in shapes}
        self.kinds = self._grouped()

    def kind(self, place: Place) -> str:
        """What the layers that share projections have in common, besides their shape."""
        return place.kind

    def _grouped(self) -> dict[str, list[str]]:
        """Layer names by kind, in model order. Layers of one kind whose shapes differ share projections by shape."""
        groups: dict[str, dict[tuple[int, int], list[str]]] = {}
        for name, place in self.places.items():
            groups.setdefault(self.kind(place).replace(".", "_"), {}).setdefault(self.shapes[name], []).append(name)
        return {
            kind if len(by_shape) == 1 else f"{kind}_{d_in}x{d_out}": names
            for kind, by_shape in groups.items()
            for (d_in, d_out), names in by_shape.items()
        }

    @property
    def tokens_held(self) -> int | None:
        """How many tokens an adapter of this rank can tell apart, where there is such a number."""
        return None

    def condition(self, model: nn.Module, input_ids: Tensor, mask: Tensor) -> Condition:
        """What this reads of the base model's passage over (n, T) tokens."""
        return condition_from(model, input_ids, mask)

    def refuse_other_base(self, loaded: LoadedModel) -> None:
        """Raises AdapterError, naming the model and what differs, if this was made for a base of other layers or widths."""
        kinds = {place.kind for place in self.places.values()}
        there = {
            name: (layer.in_features, layer.out_features)
            for name, layer in loaded.model.named_modules()
            if isinstance(layer, nn.Linear) and layer_place(name).kind in kinds
        }
        there = upper_layers(there, self.section.from_depth)
        differ = [name for name in self.shapes | there if self.shapes.get(name) != there.get(name)]
        if differ:
            theirs, ours = (shapes.get(differ[0], "missing") for shapes in (there, self.shapes))
            raise AdapterError(
                f"this hypernetwork was made for another base model than {loaded.name!r}: {differ[0]} is {theirs} there, "
                f"{ours} here"
            )

    @property
    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def save_pretrained(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        section = self.section.model_dump(include=set(HypernetworkSection.model_fields))
        config = {"section": section, "shapes": self.shapes, "input_width": self.input_width}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        save_file({name: t.detach().cpu().contiguous() for name, t in self.state_dict().items()}, folder / "model.safetensors")

    @staticmethod
    def from_pretrained(folder: Path | str) -> Hypernetwork:
        """From a folder or a hub id. Raises ModelNotFound where neither holds one, ModelError if its weights are of another."""
        folder = resolve_trained(str(folder), "config.json")
        config = json.loads((folder / "config.json").read_text())
        shapes = {name: (d_in, d_out) for name, (d_in, d_out) in config["shapes"].items()}
        network = build_hypernetwork(HypernetworkSection(**config["section"]), shapes, config["input_width"])
        try:
            network.load_state_dict(load_file(folder / "model.safetensors"))
        except RuntimeError as error:  # torch lists every weight that is missing, not known or of another size
            raise ModelError(f"{folder / 'model.safetensors'} does not fit {folder / 'config.json'}: {error}") from None
        return network.eval()


def build_hypernetwork(section: HypernetworkSection, shapes: LayerShapes, width: int, seed: int = 0) -> Hypernetwork:
    """`width` is d_model of the states (latents) or the size of the encoder's pooled states (paper)."""
    kinds: dict[str, type[Hypernetwork]] = {
        "latents": LatentHypernetwork,
        "tokens": TokenHypernetwork,
        "paper": PaperHypernetwork,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kinds[section.variant](section, shapes, width)


class LatentHypernetwork(Hypernetwork):
    """In layer l, `rank` learned queries attend over the condition's states; each latent z gives one pair (a, b):
    a = W_A z / sqrt(d_in), b = W_B z. Projections are shared over layers; W_B starts at zero, so training starts from
    the base model. All shapes below: L layers, n examples, T tokens, K = rank, h = width.

    In an encoder-decoder L counts the layers of both stacks; a decoder's read the encoder's states at the same depth.
    """

    def __init__(self, section: HypernetworkSection, shapes: LayerShapes, width: int) -> None:
        super().__init__(section, shapes, width)
        h = section.width
        self.stacks: dict[str, int] = {}
        for place in self.places.values():
            self.stacks[place.stack] = max(self.stacks.get(place.stack, 0), place.block + 1)
        self.layers = layers = sum(self.stacks.values())
        self.keys_values = StateAttention(width, h)
        self.queries = nn.Parameter(torch.randn(layers, section.rank, h))
        self.layer_embedding = nn.Parameter(torch.randn(layers, 1, h) * 0.1)
        self.mlp = nn.Sequential(nn.RMSNorm(h), nn.Linear(h, 2 * h), nn.SiLU(), nn.Linear(2 * h, h))
        self.to_a = nn.ModuleDict({kind: nn.Linear(h, shapes[names[0]][0], bias=False) for kind, names in self.kinds.items()})
        self.to_b = nn.ModuleDict({kind: nn.Linear(h, shapes[names[0]][1], bias=False) for kind, names in self.kinds.items()})
        for layer in self.to_b.values():
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]

    def latents(self, states: Tensor, mask: Tensor) -> Tensor:
        """(L, n, T, d_model) states and (n, T) mask -> (L, n, K, h) latents."""
        sources = self._sources(len(states))
        read = states if sources == list(range(len(states))) else states[sources]
        z = self.keys_values(self.queries, read, mask) + self.layer_embedding.unsqueeze(1)
        return z + self.mlp(z)

    def _sources(self, depths: int) -> list[int]:
        """Which of the states each layer reads: those of its own depth, scaled where the stacks differ in length."""
        return [
            block if count == depths else round(block * (depths - 1) / max(count - 1, 1))
            for count in self.stacks.values()
            for block in range(count)
        ]

    def _slots(self, names: Sequence[str]) -> list[int]:
        first = dict(zip(self.stacks, accumulate(self.stacks.values(), initial=0), strict=False))
        return [first[self.places[name].stack] + self.places[name].block for name in names]

    def forward(self, condition: Condition) -> Adapter:
        """Factors for every example; A and B of layer l come from the l-th slice of the latents."""
        if condition.states is None or condition.mask is None:
            raise ValueError("this hypernetwork needs the condition's states and mask")
        # Weights stay in float32; products take the base model's type, which is several times faster where it is bfloat16.
        states = condition.states
        with torch.autocast(states.device.type, states.dtype, enabled=states.dtype is torch.bfloat16):
            return self._factors(self.latents(states, condition.mask))

    def _factors(self, z: Tensor) -> Adapter:
        factors: dict[str, tuple[Tensor, Tensor]] = {}
        for kind, names in self.kinds.items():
            slots = self._slots(names)
            mine = z if slots == list(range(len(z))) else z[slots]
            a = self.to_a[kind](mine).transpose(-1, -2) * self.shapes[names[0]][0] ** -0.5
            b = self.to_b[kind](mine)
            # unbind, not indexing: the gradient of an index is a zero tensor as large as all layers together
            factors.update(zip(names, zip(a.unbind(0), b.unbind(0), strict=True), strict=True))
        return Adapter(factors)


class TokenHypernetwork(Hypernetwork):
    """In layer l every token that stands between two others gives one pair (a, b), so that what is like it in that layer calls
    up the token that follows (`TokenPairs`, one for each kind of layer). Training starts from the base model."""

    def __init__(self, section: HypernetworkSection, shapes: LayerShapes, width: int) -> None:
        super().__init__(section, shapes, width)
        if decoder := [name for name in shapes if self.places[name].stack == "decoder"]:
            raise ValueError(
                f"variant tokens reads what layers are given of the condition; {decoder[0]} is given nothing of it"
            )
        self.pairs = nn.ModuleDict(
            {kind: TokenPairs(width, section.width, len(names), *shapes[names[0]]) for kind, names in self.kinds.items()}
        )
        self.vocabulary = WhitenedVocabulary(width)

    @property
    def tokens_held(self) -> int | None:
        return self.section.rank

    def condition(self, model: nn.Module, input_ids: Tensor, mask: Tensor) -> Condition:
        return condition_from(model, input_ids, mask, inputs_of=list(self.shapes))

    def forward(self, condition: Condition) -> Adapter:
        """Factors of rank T for every example, zero where a token gives none."""
        states, mask, embeddings, inputs = condition.states, condition.mask, condition.embeddings, condition.inputs
        if states is None or mask is None or embeddings is None or not inputs.keys() >= self.shapes.keys():
            raise ValueError("this hypernetwork needs the condition's states, mask, embeddings and layer inputs")
        wanted, embeddings = between(mask), self.vocabulary(embeddings)
        factors: dict[str, tuple[Tensor, Tensor]] = {}
        with torch.autocast(states.device.type, states.dtype, enabled=states.dtype is torch.bfloat16):
            for kind, names in self.kinds.items():
                keys = torch.stack([token_keys(inputs[name], wanted).to(states.dtype) for name in names])
                a, b = self.pairs[kind](keys, states[[self.places[name].block for name in names]], embeddings, wanted)
                factors.update(zip(names, zip(a.unbind(0), b.unbind(0), strict=True), strict=True))
        return Adapter({name: factors[name] for name in self.shapes})


class PaperHypernetwork(Hypernetwork):
    """A(z) = W2a relu(W1a z + b1a) + b2a and B likewise over sqrt(r), with z = [whitened feature ; raw slot number].

    In a T5 one pair of MLPs serves all projections of a kind of attention (or of a feed-forward layer), as published.
    The feature is the masked mean of the encoder's states, whitened with a mean and matrix that are fitted once on the
    training questions and stored with the weights (the published code whitens each block of 256 rows by itself, which
    erases every similarity between questions). Weights start at N(0, 1e-7) as published.
    """

    mean: Tensor
    whitening: Tensor

    def condition(self, model: nn.Module, input_ids: Tensor, mask: Tensor) -> Condition:
        return condition_from(model, input_ids, mask, pooled=True)

    def kind(self, place: Place) -> str:
        return place.part

    def __init__(self, section: HypernetworkSection, shapes: LayerShapes, width: int) -> None:
        super().__init__(section, shapes, width)
        size, hidden, rank = section.feature_size, section.hidden, section.rank
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("whitening", torch.zeros(width, size))
        self.to_a = nn.ModuleDict({k: _small_mlp(size + 1, hidden, shapes[n[0]][0] * rank) for k, n in self.kinds.items()})
        self.to_b = nn.ModuleDict({k: _small_mlp(size + 1, hidden, shapes[n[0]][1] * rank) for k, n in self.kinds.items()})

    def fit_whitening(self, pooled: Tensor) -> None:
        """Fit on (n, width) pooled training states (Su 2021, arXiv 2103.15316). Directions beyond n - 1 are left out."""
        pooled = pooled.to(self.mean)  # where these weights are, which may not be where the states were made
        self.mean.copy_(pooled.mean(0))
        _, scale, directions = torch.linalg.svd(pooled - self.mean, full_matrices=False)
        deviation = scale / max(len(pooled) - 1, 1) ** 0.5
        kept = min(self.section.feature_size, int((deviation > deviation.max() * 1e-4).sum()))
        self.whitening.zero_()
        self.whitening[:, :kept] = directions[:kept].t() / deviation[:kept]

    def feature(self, pooled: Tensor) -> Tensor:
        """(n, width) pooled states -> (n, feature_size) of unit length. Raises ValueError before `fit_whitening`."""
        if not self.whitening.any():  # every feature would be zero, and every question would get the same adapter
            raise ValueError("fit_whitening has to see at least two different training conditions first")
        return F.normalize((pooled.float() - self.mean) @ self.whitening, dim=-1)

    def forward(self, condition: Condition) -> Adapter:
        if condition.feature is None:
            raise ValueError("this hypernetwork needs the condition's pooled feature")
        feature, rank = self.feature(condition.feature), self.section.rank
        factors: dict[str, tuple[Tensor, Tensor]] = {}
        for kind, names in self.kinds.items():
            d_in, d_out = self.shapes[names[0]]
            for slot, name in enumerate(names):
                z = torch.cat([feature, feature.new_full((len(feature), 1), float(slot))], dim=-1)
                a, b = self.to_a[kind](z).view(-1, d_in, rank), self.to_b[kind](z).view(-1, rank, d_out)
                factors[name] = (a, b * rank**-0.5)
        return Adapter(factors)


def _small_mlp(d_in: int, hidden: int, d_out: int) -> nn.Sequential:
    mlp = nn.Sequential(nn.Linear(d_in, hidden), nn.ReLU(), nn.Linear(hidden, d_out))
    for layer in mlp:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=1e-7)
            nn.init.zeros_(layer.bias)
    return mlp
