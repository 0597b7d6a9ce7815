"""T5's layers in readable words: which layers a placement holds, and which weights are whose."""

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from aag_ray.awaken.hypernetwork import build_hypernetwork
from aag_ray.awaken.t5_layers import Place, base_weights, layer_place, placed_lora, placed_shapes
from aag_ray.config import BaseWeights, FidHypernetworkSection, FidLoraSection
from aag_ray.llm.adapters import AdapterError


@pytest.mark.parametrize(
    ("name", "place", "kind"),
    [
        ("encoder.block.3.layer.0.SelfAttention.q", ("encoder", 3, "encoder.self_attention"), "encoder.self_attention.q"),
        ("decoder.block.11.layer.1.EncDecAttention.v", ("decoder", 11, "decoder.cross_attention"), "decoder.cross_attention.v"),
        ("decoder.block.0.layer.2.DenseReluDense.wi_1", ("decoder", 0, "decoder.feed_forward"), "decoder.feed_forward.wi_1"),
        ("model.layers.5.mlp.down_proj", ("", 5, "down_proj"), "down_proj"),
        ("lm_head", ("", 0, "lm_head"), "lm_head"),
    ],
)
def test_a_layer_s_name_says_its_place(name, place, kind):
    stack, block, part = place
    assert layer_place(name) == Place(stack, block, part, name.rsplit(".", 1)[-1])
    assert layer_place(name).kind == kind


class TestPlacements:
    @pytest.mark.parametrize(
        ("placement", "part", "modules", "found"),
        [
            ("encoder.self_attention", "encoder.block.{}.layer.0.SelfAttention", ("q_proj", "v_proj"), {"q", "v"}),
            ("decoder.self_attention", "decoder.block.{}.layer.0.SelfAttention", ("k_proj", "o_proj"), {"k", "o"}),
            ("decoder.cross_attention", "decoder.block.{}.layer.1.EncDecAttention", ("q_proj",), {"q"}),
            ("encoder.feed_forward", "encoder.block.{}.layer.1.DenseReluDense", ("up_proj", "down_proj"), {"wi", "wo"}),
            ("decoder.feed_forward", "decoder.block.{}.layer.2.DenseReluDense", ("down_proj",), {"wo"}),
        ],
    )
    def test_hold_their_own_layers_of_every_block(self, t5, placement, part, modules, found):
        section = FidLoraSection(modules=modules, placements=(placement,))
        assert set(placed_shapes(t5(), section)) == {f"{part.format(n)}.{name}" for n in (0, 1) for name in found}

    def test_feed_forward_is_that_of_both_stacks(self, t5):
        shapes = placed_shapes(t5(), FidLoraSection(modules=("down_proj",), placements=("feed_forward",)))
        assert {name.split(".")[0] for name in shapes} == {"encoder", "decoder"}

    def test_add_up_in_model_order(self, t5):
        loaded = t5()
        both = ("q_proj", "v_proj", "up_proj")
        section = FidLoraSection(modules=both, placements=("decoder.cross_attention", "encoder.feed_forward"))
        names = [name for name, _ in loaded.model.named_modules()]
        assert list(placed_shapes(loaded, section)) == sorted(placed_shapes(loaded, section), key=names.index)

    def test_ask_the_layers_for_their_widths(self, t5, shape):
        """In T5-3B heads * d_kv is no d_model; nowhere is d_ff taken to be four times d_model."""
        loaded = t5(shape)
        modules = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
        everywhere = ("encoder.self_attention", "decoder.self_attention", "decoder.cross_attention", "feed_forward")
        shapes = placed_shapes(loaded, FidLoraSection(modules=modules, placements=everywhere))
        assert len(shapes) == sum("block" in n for n, m in loaded.model.named_modules() if isinstance(m, torch.nn.Linear))
        for name, (d_in, d_out) in shapes.items():
            layer = loaded.model.get_submodule(name)
            assert isinstance(layer, torch.nn.Linear)
            assert layer.weight.shape == (d_out, d_in)

    def test_without_a_module_are_refused(self, t5):
        with pytest.raises(AdapterError, match=r"nothing to adapt in \['feed_forward'\]; attention has q_proj"):
            placed_shapes(t5(), FidLoraSection(placements=("encoder.self_attention", "feed_forward")))

    def test_modules_in_none_of_them_are_refused(self, t5):
        with pytest.raises(AdapterError, match=r"\['wo'\] is in none of the placements"):
            placed_shapes(t5(), FidLoraSection(modules=("q_proj", "down_proj")))

    def test_are_those_of_t5_alone(self, tiny):
        with pytest.raises(ValueError, match="LlamaForCausalLM; readers that fuse passages are T5 and flan-T5"):
            placed_shapes(tiny, FidLoraSection())

    def test_hold_a_lora_that_starts_as_the_base_model_and_is_decided_by_its_seed(self, t5):
        loaded, section = t5("3b"), FidLoraSection(rank=2)
        one, again, other = (placed_lora(loaded, section, seed) for seed in (1, 1, 2))
        assert not any(one().deltas(name).any() for name in one.layers)
        assert all(torch.equal(a, b) for a, b in zip(one.a, again.a, strict=True))
        assert not torch.equal(one.a[0], other.a[0])


class TestBaseWeights:
    def test_are_disjoint_sets_of_which_all_is_every_weight(self, t5, shape):
        model = t5(shape).model
        sets = {name: set(base_weights(model, [name])) for name in ("norms", "embeddings", "feed_forward")}
        assert sets["embeddings"] == {"shared.weight"}
        assert all("DenseReluDense.w" in name for name in sets["feed_forward"])
        assert all(name.endswith("layer_norm.weight") for name in sets["norms"])
        assert sum(map(len, sets.values())) == len(set().union(*sets.values()))
        assert set(base_weights(model, ["all"])) == {name for name, _ in model.named_parameters()}
        assert base_weights(model, []) == {}

    @pytest.mark.parametrize(
        ("width", "heads", "d_ff", "depth", "without", "whole"),
        [(768, 12, 3072, 12, 26.06, 139.31), (1024, 16, 4096, 24, 34.81, 437.46)],
    )
    def test_and_the_paper_s_hypernetworks_have_the_size_the_paper_prints(self, width, heads, d_ff, depth, without, whole):
        """AAG, table 12, in millions: T5-base 26.1 and 139.3, T5-large 34.8 and 437.5 trained parameters at rank 32."""
        config = T5Config(vocab_size=32128, d_model=width, d_kv=64, num_heads=heads, d_ff=d_ff, num_layers=depth)
        with torch.device("meta"):
            model = T5ForConditionalGeneration(config)
        model.tie_weights()
        shapes = {
            name: (layer.in_features, layer.out_features)
            for name, layer in model.named_modules()
            if isinstance(layer, torch.nn.Linear) and "Attention" in name and name[-1] in "qv"
        }
        network = build_hypernetwork(FidHypernetworkSection(variant="paper", rank=32), shapes, width)
        sets: list[tuple[BaseWeights, ...]] = [("norms", "embeddings"), ("norms", "embeddings", "feed_forward")]
        counts = [network.parameter_count + sum(p.numel() for p in base_weights(model, each).values()) for each in sets]
        assert [count / 1e6 for count in counts] == pytest.approx([without, whole], abs=0.01)
