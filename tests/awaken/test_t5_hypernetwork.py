"""Both hypernetworks on T5: every placement gets its factors, per example, through the passages of a fused reader."""

import pytest
import torch

from aag_ray.awaken.conditions import condition_from
from aag_ray.awaken.fid import Fid
from aag_ray.awaken.hypernetwork import (
    Hypernetwork,
    LatentHypernetwork,
    PaperHypernetwork,
    build_hypernetwork,
)
from aag_ray.awaken.reader import make_adapters, read_conditions
from aag_ray.awaken.t5_layers import placed_shapes
from aag_ray.config import FidHypernetworkSection, HypernetworkSection
from aag_ray.llm.adapters import applied

EVERYWHERE = ("encoder.self_attention", "decoder.self_attention", "decoder.cross_attention", "feed_forward")
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj")
TEXTS = ["Document: The yen is the currency of Japan.\nQuestion: Which?", "Question: gold?", "Document: Au is a metal."]


@pytest.fixture
def new_network(moved):
    def build(loaded, variant, modules=MODULES, placements=EVERYWHERE, start=False):
        section = FidHypernetworkSection(
            variant=variant, modules=modules, placements=placements, rank=2, width=16, feature_size=6, hidden=8
        )
        width = loaded.model.config.d_model
        network = build_hypernetwork(section, placed_shapes(loaded, section), width, 1)
        if isinstance(network, PaperHypernetwork):
            network.fit_whitening(torch.randn(40, width, generator=torch.Generator().manual_seed(8)))
        return network if start else moved(network)

    return build


def test_tokens_go_to_an_encoder_and_do_not_see_padding(t5, new_network):
    loaded = t5("flan")
    network = new_network(loaded, "tokens", placements=("encoder.self_attention", "encoder.feed_forward"))
    together = make_adapters(loaded, network, TEXTS)
    assert together.factors.keys() == network.shapes.keys()
    for row, text in enumerate(TEXTS):
        alone = make_adapters(loaded, network, [text])
        for name in alone.factors:
            assert alone.deltas(name).any()
            torch.testing.assert_close(alone.deltas(name)[0], together.deltas(name)[row], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("placement", ["decoder.self_attention", "decoder.cross_attention", "feed_forward"])
def test_tokens_are_refused_where_a_decoder_would_get_them(placement):
    with pytest.raises(ValueError, match=f"variant=tokens reads .* where {placement} has layers, .* encoder.feed_forward"):
        FidHypernetworkSection(variant="tokens", placements=("encoder.self_attention", placement))


def test_tokens_are_refused_for_a_decoder_s_layer():
    shapes = {"decoder.block.0.layer.0.SelfAttention.q": (8, 8)}
    with pytest.raises(ValueError, match=r"variant tokens reads .*; decoder\.block\.0\S+ is given nothing of it"):
        build_hypernetwork(HypernetworkSection(variant="tokens"), shapes, 8)


@pytest.mark.parametrize("variant", ["latents", "paper"])
class TestBothVariants:
    def test_make_factors_of_every_layer_s_shape(self, t5, shape, new_network, variant):
        loaded = t5(shape)
        network = new_network(loaded, variant)
        made = make_adapters(loaded, network, TEXTS)
        assert made.factors.keys() == network.shapes.keys()
        for name, (a, b) in made.factors.items():
            layer = loaded.model.get_submodule(name)
            assert (a.shape, b.shape) == ((3, layer.in_features, 2), (3, 2, layer.out_features))

    def test_start_at_the_base_model(self, t5, new_network, variant):
        loaded = t5("3b")
        made = make_adapters(loaded, new_network(loaded, variant, start=True), TEXTS)
        assert max(made.deltas(name).abs().max() for name in made.factors) < 1e-9

    def test_tell_texts_blocks_stacks_parts_and_projections_apart(self, t5, new_network, variant):
        """T5-3B's inner width makes q, v and wi alike in neither shape nor place."""
        loaded = t5("3b", d_kv=8, d_ff=32)  # all widths are 32, so that any two updates could be equal
        made = make_adapters(loaded, new_network(loaded, variant), TEXTS[:2])
        deltas = [made.deltas(name)[row] for name in made.factors for row in (0, 1)]
        for number, one in enumerate(deltas):
            assert min((one - other).norm() for other in deltas[:number]) > 1e-4 * one.norm() if number else True

    def test_do_not_see_padding_or_the_rest_of_the_batch(self, t5, new_network, variant):
        loaded = t5("flan")
        network = new_network(loaded, variant, ("q_proj", "down_proj"), ("decoder.cross_attention", "feed_forward"))
        together = make_adapters(loaded, network, TEXTS)
        for row, text in enumerate(TEXTS):
            alone = make_adapters(loaded, network, [text])
            for name in alone.factors:
                torch.testing.assert_close(alone.deltas(name)[0], together.deltas(name)[row], atol=1e-5, rtol=1e-3)

    def test_come_back_from_a_file(self, t5, new_network, variant, tmp_path):
        loaded = t5("3b")
        network = new_network(loaded, variant)
        network.save_pretrained(tmp_path)
        back = Hypernetwork.from_pretrained(tmp_path)
        one, two = make_adapters(loaded, network, TEXTS), make_adapters(loaded, back, TEXTS)
        assert all(torch.equal(one.deltas(name), two.deltas(name)) for name in one.factors)

    def test_train_through_the_passages_of_a_fused_reader(self, t5, new_network, variant):
        loaded = t5("3b")
        network, fid = new_network(loaded, variant), Fid(loaded)
        adapter = network(read_conditions(loaded, network, TEXTS[:2]))
        batch = fid.targets(["Au", "yen"], 8)
        with applied(loaded.model, adapter):
            logits, _ = fid.decode(fid.encode([[[5, 6, 7], [8, 9]], [[10, 11]]]), batch)
        logits.logsumexp(-1).sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
        assert all(p.grad is None for p in loaded.model.parameters())


class TestLatents:
    def test_of_a_decoder_read_the_encoder_at_their_own_depth(self, t5, new_network):
        network = new_network(t5(), "latents")
        assert isinstance(network, LatentHypernetwork)
        assert network.stacks == {"encoder": 2, "decoder": 2}
        assert network._sources(2) == [0, 1, 0, 1]

    def test_of_a_longer_decoder_read_it_at_the_same_share_of_its_depth(self, t5, new_network):
        network = new_network(t5("flan", num_layers=4, num_decoder_layers=2), "latents")
        assert network._sources(4) == [0, 1, 2, 3, 0, 3]

    def test_on_the_decoder_alone_need_no_encoder_layer(self, t5, new_network):
        loaded = t5("flan")
        network = new_network(loaded, "latents", ("q_proj",), ("decoder.cross_attention",))
        assert make_adapters(loaded, network, TEXTS).examples == 3


class TestPaper:
    def test_shares_one_pair_of_mlps_over_the_projections_of_a_kind_of_attention(self, t5, new_network):
        """Slots 2i and 2i + 1 are q and v of block i, as published."""
        network = new_network(t5(), "paper", ("q_proj", "v_proj"), ("encoder.self_attention", "decoder.cross_attention"))
        assert {kind: len(names) for kind, names in network.kinds.items()} == {
            "encoder_self_attention": 4,
            "decoder_cross_attention": 4,
        }
        assert [name[-1] for name in network.kinds["encoder_self_attention"]] == ["q", "v", "q", "v"]

    def test_gives_layers_of_one_kind_and_different_shapes_a_pair_each(self, t5, new_network):
        network = new_network(t5("3b"), "paper", ("q_proj", "o_proj"), ("encoder.self_attention",))
        assert set(network.kinds) == {"encoder_self_attention_32x96", "encoder_self_attention_96x32"}

    def test_reads_the_mean_over_real_tokens_of_the_encoder_s_last_layer(self, t5):
        model = t5().model
        ids, mask = torch.randint(3, 384, (2, 6)), torch.tensor([[1] * 6, [1, 1, 1, 0, 0, 0]])
        feature = condition_from(model, ids, mask, pooled=True).feature
        assert feature is not None
        expected = model.get_encoder()(input_ids=ids[1:, :3]).last_hidden_state.mean(1)
        torch.testing.assert_close(feature[1:], expected, atol=1e-5, rtol=1e-4)
