"""Hypernetworks: they start at the base model, read only real tokens, and come back from a file as they were."""

import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import GraniteConfig, GraniteForCausalLM, LlamaConfig, LlamaForCausalLM

from aag_ray.awaken.conditions import Condition, condition_from
from aag_ray.awaken.hypernetwork import (
    Hypernetwork,
    LatentHypernetwork,
    PaperHypernetwork,
    build_hypernetwork,
    layer_shapes,
    upper_layers,
)
from aag_ray.awaken.reader import make_adapters, read_conditions
from aag_ray.awaken.token_pairs import between, token_keys
from aag_ray.config import HypernetworkSection
from aag_ray.llm.adapters import AdapterError, applied
from aag_ray.llm.low_rank import of_rank
from aag_ray.llm.packaged import ModelError
from aag_ray.train.builders import vocabulary_embeddings

SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
TEXTS = [
    "Document: The yen is the currency of Japan and many people use it.\nQuestion: Which currency?",
    "Question: What is the symbol of gold?",
    "Document: Lumora borders the city.",
]
VARIANTS = ("latents", "tokens", "paper")


def new_network(loaded, variant, modules=SEVEN, seed=0):
    section = HypernetworkSection(variant=variant, modules=modules, rank=3, width=16, feature_size=6, hidden=8)
    network = build_hypernetwork(section, layer_shapes(loaded.model, modules), 64, seed)
    if isinstance(network, PaperHypernetwork):
        network.fit_whitening(torch.randn(40, 64, generator=torch.Generator().manual_seed(8)))
    return network


def perturbed(network, size=0.1):
    """Away from the start, where B is zero, or in the paper's variant all weights are about zero."""
    draw = torch.Generator().manual_seed(9)
    for parameter in network.parameters():
        parameter.data += torch.randn(parameter.shape, generator=draw) * size
    return network


@torch.no_grad()
def adapters(loaded, network, texts):
    return network(read_conditions(loaded, network, texts))


def assert_close(one, two):
    """Equal updates: factors may have more zeros in a longer batch."""
    assert one.factors.keys() == two.factors.keys()
    for name in one.factors:
        torch.testing.assert_close(one.deltas(name), two.deltas(name), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
class TestEveryVariant:
    def test_make_factors_of_every_layer_s_shape(self, tiny, variant):
        network = new_network(tiny, variant)
        made = adapters(tiny, network, TEXTS)
        rank = max(len(tiny.tokenizer(text)["input_ids"]) for text in TEXTS) if variant == "tokens" else 3
        layers = dict(tiny.model.named_modules())
        assert len(made.factors) == 2 * len(SEVEN)
        for name, (a, b) in made.factors.items():
            assert a.shape == (3, layers[name].in_features, rank)
            assert b.shape == (3, rank, layers[name].out_features)
        assert made.factors["model.layers.1.self_attn.k_proj"][1].shape == (3, rank, 32)  # two of four heads

    def test_adapters_are_made_with_the_rank_that_was_asked_for(self, tiny, variant):
        network = perturbed(new_network(tiny, variant))
        made = make_adapters(tiny, network, TEXTS, batch=2)
        assert {(a.shape[2], b.shape[1]) for a, b in made.factors.values()} == {(3, 3)}
        for row, text in enumerate(TEXTS):
            whole = of_rank(adapters(tiny, network, [text]), 3)
            assert_close(whole, made.select([row]))

    def test_the_lower_layers_may_be_left_as_they_are(self, tiny, tmp_path, variant):
        section = HypernetworkSection(variant=variant, rank=3, width=16, feature_size=6, hidden=8, from_depth=0.5)
        network = build_hypernetwork(section, upper_layers(layer_shapes(tiny.model, section.modules), 0.5), 64)
        if isinstance(network, PaperHypernetwork):
            network.fit_whitening(torch.randn(40, 64))
        assert list(adapters(tiny, network, TEXTS).factors) == ["model.layers.1.mlp.down_proj"]
        network.refuse_other_base(tiny)
        network.save_pretrained(tmp_path)
        Hypernetwork.from_pretrained(tmp_path).refuse_other_base(tiny)

    def test_start_at_the_base_model(self, tiny, variant):
        made = adapters(tiny, new_network(tiny, variant), TEXTS)
        largest = max(made.deltas(name).abs().max().item() for name in made.factors)
        assert largest < 1e-9 if variant == "paper" else largest == 0.0

    def test_give_different_texts_different_factors(self, tiny, variant):
        made = adapters(tiny, perturbed(new_network(tiny, variant)), TEXTS)
        for name in made.factors:
            one, two, three = made.deltas(name)
            assert min((one - two).norm(), (one - three).norm(), (two - three).norm()) > 1e-3 * one.norm()

    def test_give_different_layers_different_factors(self, tiny, variant):
        made = adapters(tiny, perturbed(new_network(tiny, variant)), TEXTS[:1])
        first, second = (made.deltas(f"model.layers.{layer}.mlp.down_proj") for layer in (0, 1))
        assert (first - second).norm() > 1e-3 * first.norm()

    def test_do_not_see_padding_or_the_rest_of_the_batch(self, tiny, variant):
        network = perturbed(new_network(tiny, variant))
        together = adapters(tiny, network, TEXTS)
        for row, text in enumerate(TEXTS):
            assert_close(adapters(tiny, network, [text]), together.select([row]))

    def test_are_decided_by_the_seed(self, tiny, variant):
        one, again, other = (new_network(tiny, variant, seed=seed).state_dict() for seed in (1, 1, 2))
        assert all(torch.equal(one[name], again[name]) for name in one)
        assert any(not torch.equal(one[name], other[name]) for name in one)

    def test_come_back_from_a_file_with_every_weight(self, tiny, tmp_path, variant):
        network = perturbed(new_network(tiny, variant))
        network.save_pretrained(tmp_path)
        back = Hypernetwork.from_pretrained(tmp_path)
        assert type(back) is type(network)
        assert not back.training
        assert all(torch.equal(weight, network.state_dict()[name]) for name, weight in back.state_dict().items())
        one, two = adapters(tiny, network, TEXTS), adapters(tiny, back, TEXTS)
        assert all(torch.equal(x, y) for n in one.factors for x, y in zip(one.factors[n], two.factors[n], strict=True))
        assert {file.name for file in tmp_path.iterdir()} == {"config.json", "model.safetensors"}

    def test_a_file_with_other_weights_is_refused_and_named(self, tiny, tmp_path, variant):
        new_network(tiny, variant).save_pretrained(tmp_path)
        weights = load_file(tmp_path / "model.safetensors")
        name = sorted(weights)[0]
        del weights[name]
        save_file(weights, tmp_path / "model.safetensors")
        with pytest.raises(ModelError, match=rf"model.safetensors does not fit .*config.json: [\s\S]*{re.escape(name)}"):
            Hypernetwork.from_pretrained(tmp_path)

    def test_count_their_parameters(self, tiny, variant):
        network = new_network(tiny, variant)
        assert network.parameter_count == sum(p.numel() for p in network.parameters() if p.requires_grad)

    def test_refuse_a_condition_of_the_other_variant(self, tiny, variant):
        with pytest.raises(ValueError, match="this hypernetwork needs the condition's"):
            new_network(tiny, variant)(Condition())

    def test_read_the_base_model_without_its_adapters(self, tiny, variant):
        network = perturbed(new_network(tiny, variant))
        made = adapters(tiny, network, TEXTS)
        with applied(tiny.model, made.select([0])):
            assert_close(adapters(tiny, network, TEXTS), made)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hidden_size": 32}, r"layers\.0\.mlp\.down_proj is \(96, 32\) there, \(96, 64\) here"),
        ({"num_hidden_layers": 3}, r"layers\.2\.mlp\.down_proj is \(96, 64\) there, missing here"),
        ({"num_hidden_layers": 1}, r"layers\.1\.mlp\.down_proj is missing there, \(96, 64\) here"),
    ],
)
def test_a_base_model_of_other_layers_or_widths_is_refused(tiny, change, told):
    network = new_network(tiny, "latents", ("down_proj",))
    network.refuse_other_base(tiny)
    other = replace(tiny, model=LlamaForCausalLM(LlamaConfig(**tiny.model.config.to_dict() | change)), name="other")
    with pytest.raises(AdapterError, match=f"made for another base model than 'other': .*{told}"):
        network.refuse_other_base(other)


@pytest.mark.parametrize("variant", VARIANTS)
def test_layers_of_one_name_and_different_shapes_share_projections_by_shape(variant):
    shapes = {"layers.0.down_proj": (8, 4), "layers.1.down_proj": (16, 4), "layers.2.down_proj": (8, 4)}
    network = build_hypernetwork(HypernetworkSection(variant=variant, rank=2, width=6, feature_size=3), shapes, 5)
    assert network.kinds == {
        "down_proj_8x4": ["layers.0.down_proj", "layers.2.down_proj"],
        "down_proj_16x4": ["layers.1.down_proj"],
    }
    if isinstance(network, PaperHypernetwork):
        network.fit_whitening(torch.randn(9, 5))
    inputs = {name: torch.randn(2, 7, d_in) for name, (d_in, _) in shapes.items()}
    made = network(Condition(torch.randn(3, 2, 7, 5), torch.ones(2, 7), torch.randn(2, 5), torch.randn(2, 7, 5), inputs))
    assert {name: (a.shape[1], b.shape[2]) for name, (a, b) in made.factors.items()} == shapes


class TestLatents:
    def test_have_eight_hundred_thousand_parameters_on_the_default_model(self):
        shapes = {f"model.layers.{layer}.mlp.down_proj": (1536, 576) for layer in range(30)}
        network = build_hypernetwork(HypernetworkSection(), shapes, 576)
        assert isinstance(network, LatentHypernetwork)
        assert 0.78e6 < network.parameter_count < 0.88e6

    def test_masked_states_do_not_matter_at_all(self, tiny):
        network = perturbed(new_network(tiny, "latents"))
        states, mask = torch.randn(2, 1, 6, 64), torch.tensor([[1, 1, 1, 1, 0, 0]])
        other = states.clone()
        other[:, :, 4:] = 100.0
        assert_close(network(Condition(states, mask)), network(Condition(other, mask)))

    def test_the_order_of_examples_is_kept(self, tiny):
        network = perturbed(new_network(tiny, "latents"))
        assert_close(adapters(tiny, network, TEXTS[::-1]), adapters(tiny, network, TEXTS).select([2, 1, 0]))

    def test_each_layer_reads_the_states_that_go_into_it(self, tiny):
        ids = torch.randint(3, 384, (1, 5))
        condition = condition_from(tiny.model, ids, torch.ones_like(ids), pooled=False)
        assert condition.states is not None
        assert condition.states.shape == (2, 1, 5, 64)
        assert torch.equal(condition.states[0], tiny.model.get_input_embeddings()(ids))

    def test_every_weight_gets_a_gradient_once_training_has_left_the_start(self, tiny):
        network = perturbed(new_network(tiny, "latents"))
        made = network(read_conditions(tiny, network, TEXTS))
        torch.stack([made.deltas(name).square().sum() for name in made.factors]).sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


class TestTokens:
    def test_every_weight_gets_a_gradient_once_training_has_left_the_start(self, tiny):
        network = perturbed(new_network(tiny, "tokens"))
        made = network(read_conditions(tiny, network, TEXTS))
        torch.stack([made.deltas(name).square().sum() for name in made.factors]).sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())

    def test_embeddings_are_those_that_the_vocabulary_holds_also_where_the_model_scales_them(self, tiny):
        config = GraniteConfig(
            vocab_size=384, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, embedding_multiplier=8.0,
        )  # fmt: skip
        scaling = GraniteForCausalLM(config).eval()
        ids = torch.randint(3, 384, (2, 5))
        condition = condition_from(scaling, ids, torch.ones_like(ids), inputs_of=["model.layers.1.mlp.down_proj"])
        assert condition.states is not None
        assert condition.embeddings is not None
        held = vocabulary_embeddings(replace(tiny, model=scaling))[ids]
        assert torch.equal(condition.embeddings, held)
        torch.testing.assert_close(condition.states[0], held * 8)

    def test_a_layer_s_keys_are_of_what_it_is_given(self, tiny):
        network = new_network(tiny, "tokens", ("down_proj", "o_proj"))
        given = []
        layer = tiny.model.get_submodule("model.layers.1.mlp.down_proj")
        handle = layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
        condition = read_conditions(tiny, network, TEXTS)
        handle.remove()
        assert condition.inputs.keys() == network.shapes.keys()
        assert torch.equal(condition.inputs["model.layers.1.mlp.down_proj"], given[0])
        a, _ = network(condition).factors["model.layers.1.mlp.down_proj"]
        assert condition.mask is not None
        wanted = between(condition.mask)
        torch.testing.assert_close(a.transpose(1, 2), token_keys(given[0], wanted), atol=1e-5, rtol=1e-4)

    def test_the_model_keeps_no_hook(self, tiny):
        read_conditions(tiny, new_network(tiny, "tokens"), TEXTS)
        assert not any(layer._forward_pre_hooks for layer in tiny.model.modules())

    def test_a_condition_without_layer_inputs_is_refused(self, tiny):
        read = read_conditions(tiny, new_network(tiny, "latents"), TEXTS)
        with pytest.raises(ValueError, match="needs the condition's states, mask, embeddings and layer inputs"):
            new_network(tiny, "tokens")(read)

    def test_a_text_of_two_tokens_changes_nothing(self, tiny):
        made = adapters(tiny, perturbed(new_network(tiny, "tokens")), ["a b"[:1]])
        assert not any(made.deltas(name).any() for name in made.factors)


class TestPaper:
    @pytest.fixture
    def pooled(self):
        draw = torch.Generator().manual_seed(6)
        return torch.randn(60, 64, generator=draw) @ torch.randn(64, 64, generator=draw) + 5

    @pytest.fixture
    def network(self, tiny, pooled):
        network = new_network(tiny, "paper", ("down_proj", "q_proj"))
        assert isinstance(network, PaperHypernetwork)
        network.fit_whitening(pooled)
        return network

    def test_whitened_training_states_have_identity_covariance(self, network, pooled):
        white = (pooled - network.mean) @ network.whitening
        torch.testing.assert_close(white.mean(0), torch.zeros(6), atol=1e-3, rtol=0)
        torch.testing.assert_close(white.t() @ white / 59, torch.eye(6), atol=1e-3, rtol=0)

    def test_features_have_unit_length_and_keep_what_is_similar_similar(self, network, pooled):
        feature = network.feature(pooled)
        torch.testing.assert_close(feature.norm(dim=-1), torch.ones(60))
        nearby = network.feature(pooled + 0.01 * torch.randn(60, 64, generator=torch.Generator().manual_seed(1)))
        assert F.cosine_similarity(feature, nearby).min() > 0.99
        between = feature @ feature.t() - torch.eye(60)
        assert between.std() > 0.2  # whitening block by block would make every pair alike

    def test_a_feature_is_the_same_whatever_batch_it_comes_in(self, network, pooled):
        torch.testing.assert_close(network.feature(pooled[3:4]), network.feature(pooled)[3:4])

    def test_whitening_is_fitted_once(self, network, pooled):
        before = network.mean.clone(), network.whitening.clone()
        network(Condition(feature=pooled[:2] * 7))
        assert torch.equal(network.mean, before[0])
        assert torch.equal(network.whitening, before[1])

    def test_fewer_questions_than_dimensions_leave_the_other_dimensions_out(self, network, pooled):
        network.fit_whitening(pooled[:4])
        assert [bool(column.any()) for column in network.whitening.t()] == [True] * 3 + [False] * 3
        feature = network.feature(pooled[:4])
        assert torch.isfinite(feature).all()
        torch.testing.assert_close(feature.norm(dim=-1), torch.ones(4))

    def test_without_whitening_it_refuses_to_treat_every_question_alike(self, tiny, pooled):
        section = HypernetworkSection(variant="paper")
        network = build_hypernetwork(section, layer_shapes(tiny.model, ("down_proj",)), 64)
        with pytest.raises(ValueError, match="fit_whitening has to see at least two different"):
            network(Condition(feature=pooled))

    def test_the_slot_number_is_given_raw_beside_the_feature(self, network, pooled):
        seen = []
        first = network.to_a["down_proj"][0]
        assert isinstance(first, nn.Linear)
        first.register_forward_hook(lambda _layer, inputs, _output: seen.append(inputs[0]))
        network(Condition(feature=pooled[:2]))
        assert [z[:, -1].tolist() for z in seen] == [[0.0, 0.0], [1.0, 1.0]]
        torch.testing.assert_close(seen[0][:, :-1], network.feature(pooled[:2]))

    def test_the_condition_is_the_mean_over_real_tokens_of_the_last_layer(self, tiny):
        ids, mask = torch.randint(3, 384, (2, 6)), torch.tensor([[1] * 6, [1, 1, 1, 0, 0, 0]])
        feature = condition_from(tiny.model, ids, mask, pooled=True).feature
        expected = tiny.model.base_model(input_ids=ids[1:, :3]).last_hidden_state.mean(1)
        assert feature is not None
        torch.testing.assert_close(feature[1:], expected, atol=1e-5, rtol=1e-4)
