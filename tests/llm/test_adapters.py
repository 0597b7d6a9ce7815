"""Adapters: a batch of different ones equals each alone, the model stays as it was, and PEFT reads what is saved."""

import copy
import threading

import pytest
import torch
from peft import PeftModel
from torch import nn

from aag_ray.llm.adapters import (
    Adapter,
    AdapterError,
    StaticLora,
    adaptable_layers,
    applied,
    bare,
    compose,
    make_adaptable,
    stack,
)

SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def random_adapter(model, examples, modules=SEVEN, rank=3, size=0.3, seed=1):
    draw = torch.Generator().manual_seed(seed)
    return Adapter(
        {
            name: (
                torch.randn(examples, layer.in_features, rank, generator=draw) * size,
                torch.randn(examples, rank, layer.out_features, generator=draw) * size,
            )
            for name, layer in adaptable_layers(model, modules).items()
        }
    )


def tokens(rows, length, seed=2):
    return torch.randint(3, 384, (rows, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def logits(model, ids, *adapters):
    with applied(model, *adapters):
        return model(input_ids=ids).logits


@torch.no_grad()
def generate(model, ids, adapter, **options):
    with applied(model, adapter):
        return model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, pad_token_id=2, eos_token_id=None, **options
        )


def merged(model, adapter, example=0):
    changed = copy.deepcopy(model)
    for name in adapter.factors:
        layer = changed.get_submodule(name)
        layer.weight.data += adapter.deltas(name)[example].t()
    return changed


class TestTheBaseModel:
    def test_gives_the_same_bits_without_an_adapter_and_with_a_zero_one(self, tiny_llama):
        ids = tokens(3, 7)
        with torch.no_grad():
            base = tiny_llama(input_ids=ids).logits
        make_adaptable(tiny_llama)
        assert torch.equal(logits(tiny_llama, ids), base)
        assert torch.equal(logits(tiny_llama, ids, None), base)
        assert torch.equal(logits(tiny_llama, ids, random_adapter(tiny_llama, 3).zeroed()), base)
        assert not torch.equal(logits(tiny_llama, ids, random_adapter(tiny_llama, 3)), base)

    def test_is_hooked_once_however_often_it_is_made_adaptable(self, tiny_llama):
        for _ in range(3):
            make_adaptable(tiny_llama)
        assert {len(layer._forward_hooks) for layer in adaptable_layers(tiny_llama, SEVEN).values()} == {1}

    def test_is_itself_again_after_the_block_and_after_an_exception(self, tiny_llama):
        ids, adapter = tokens(2, 5), random_adapter(tiny_llama, 2)
        base = logits(tiny_llama, ids)
        weights = {name: weight.clone() for name, weight in tiny_llama.state_dict().items()}
        logits(tiny_llama, ids, adapter)
        with pytest.raises(RuntimeError, match="in the middle"), applied(tiny_llama, adapter):
            raise RuntimeError("in the middle")
        assert torch.equal(logits(tiny_llama, ids), base)
        assert all(torch.equal(weight, weights[name]) for name, weight in tiny_llama.state_dict().items())

    def test_is_not_changed_for_another_thread(self, tiny_llama):
        ids = tokens(1, 6)
        own = {seed: random_adapter(tiny_llama, 1, seed=seed) for seed in (1, 2)}
        alone = {seed: logits(tiny_llama, ids, adapter) for seed, adapter in own.items()} | {0: logits(tiny_llama, ids)}
        inside, seen = threading.Barrier(3), {}

        def work(seed):
            with torch.no_grad(), applied(tiny_llama, own.get(seed)):
                inside.wait()  # all three are inside their blocks before any of them runs the model
                seen[seed] = [tiny_llama(input_ids=ids).logits for _ in range(5)]

        threads = [threading.Thread(target=work, args=(seed,)) for seed in (0, 1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(torch.equal(result, alone[seed]) for seed in (0, 1, 2) for result in seen[seed])

    def test_two_models_do_not_share_adapters(self, tiny_llama):
        other, ids = copy.deepcopy(tiny_llama), tokens(1, 5)
        base = logits(other, ids)
        with applied(tiny_llama, random_adapter(tiny_llama, 1)):
            assert torch.equal(logits(other, ids), base)


class TestOneForward:
    def test_equals_a_model_with_merged_weights(self, tiny_llama):
        adapter, ids = random_adapter(tiny_llama, 1), tokens(1, 9)
        with torch.no_grad():
            expected = merged(tiny_llama, adapter)(input_ids=ids).logits
        torch.testing.assert_close(logits(tiny_llama, ids, adapter), expected, atol=1e-4, rtol=1e-4)

    def test_with_different_adapters_equals_each_example_alone(self, tiny_llama):
        adapter, ids = random_adapter(tiny_llama, 4), tokens(4, 6)
        together = logits(tiny_llama, ids, adapter)
        for row in range(4):
            alone = logits(tiny_llama, ids[row : row + 1], adapter.select([row]))
            torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(logits(tiny_llama, ids[:1], adapter.select([1])), together[:1], atol=1e-2)

    @pytest.mark.parametrize("module", SEVEN)
    def test_fits_every_projection_of_grouped_query_attention(self, tiny_llama, module):
        adapter, ids = random_adapter(tiny_llama, 2, (module,)), tokens(2, 5)
        changed = logits(tiny_llama, ids, adapter)
        expected = [merged(tiny_llama, adapter, row)(input_ids=ids[row : row + 1]).logits for row in range(2)]
        torch.testing.assert_close(changed, torch.cat(expected), atol=1e-4, rtol=1e-4)

    def test_adds_up_several_adapters_given_together_or_in_nested_blocks(self, tiny_llama):
        one, two = random_adapter(tiny_llama, 1, seed=1), random_adapter(tiny_llama, 2, ("down_proj",), seed=2)
        ids = tokens(2, 5)
        both = logits(tiny_llama, ids, one, two)
        with applied(tiny_llama, one):
            assert torch.equal(logits(tiny_llama, ids, two), both)
            assert torch.equal(logits(tiny_llama, ids), logits(tiny_llama, ids))
        with torch.no_grad():
            expected = merged(merged(tiny_llama, one), two, example=1)(input_ids=ids[1:]).logits
        torch.testing.assert_close(both[1:], expected, atol=1e-4, rtol=1e-4)

    def test_can_be_kept_bare_inside_a_block(self, tiny_llama):
        ids, adapter = tokens(1, 5), random_adapter(tiny_llama, 1)
        base, changed = logits(tiny_llama, ids), logits(tiny_llama, ids, adapter)
        with applied(tiny_llama, adapter):
            with bare(tiny_llama):
                assert torch.equal(logits(tiny_llama, ids), base)
            assert torch.equal(logits(tiny_llama, ids), changed)

    def test_computes_in_the_model_s_number_type(self, tiny_llama):
        model = tiny_llama.to(torch.bfloat16)
        assert logits(model, tokens(2, 4), random_adapter(model, 2)).dtype == torch.bfloat16

    def test_carries_gradients_to_the_factors(self, tiny_llama):
        tiny_llama.requires_grad_(False)
        adapter = random_adapter(tiny_llama, 2).map(lambda t: t.requires_grad_())
        with applied(tiny_llama, adapter):
            tiny_llama(input_ids=tokens(2, 4)).logits.sum().backward()
        assert all(t.grad is not None and t.grad.abs().sum() > 0 for pair in adapter.factors.values() for t in pair)


class TestGeneration:
    def test_with_a_cache_equals_the_greedy_choice_without_one(self, tiny_llama):
        adapter, ids = random_adapter(tiny_llama, 3), tokens(3, 5)
        written = generate(tiny_llama, ids, adapter, max_new_tokens=8)
        greedy = logits(tiny_llama, written[:, :-1], adapter).argmax(-1)
        assert torch.equal(written[:, 5:], greedy[:, 4:])
        assert not torch.equal(written, generate(tiny_llama, ids, None, max_new_tokens=8))

    def test_gives_every_beam_its_own_example_s_adapter(self, tiny_llama):
        adapter, ids = random_adapter(tiny_llama, 3), tokens(3, 5)
        together = generate(tiny_llama, ids, adapter, num_beams=3, max_new_tokens=6)
        alone = [generate(tiny_llama, ids[n : n + 1], adapter.select([n]), num_beams=3, max_new_tokens=6) for n in range(3)]
        assert torch.equal(together, torch.cat(alone))

    def test_reaches_both_halves_of_an_encoder_decoder_and_its_beams(self, tiny_t5):
        adapter, ids = random_adapter(tiny_t5, 2, ("q", "k", "v", "o", "wi", "wo")), tokens(2, 6)
        for beams in (1, 3):
            options = {"num_beams": beams, "max_new_tokens": 5}
            alone = [generate(tiny_t5, ids[n : n + 1], adapter.select([n]), **options) for n in range(2)]
            assert torch.equal(generate(tiny_t5, ids, adapter, **options), torch.cat(alone))
        assert any(name.startswith("encoder") for name in adapter.factors)


class TestErrorsNameTheLayer:
    def test_that_the_model_does_not_have(self, tiny_llama):
        adapter = Adapter({"model.layers.9.mlp.down_proj": (torch.zeros(1, 96, 2), torch.zeros(1, 2, 64))})
        with pytest.raises(AdapterError, match=r"LlamaForCausalLM has no linear layer 'model\.layers\.9\.mlp\.down_proj'"):
            logits(tiny_llama, tokens(1, 3), adapter)

    def test_whose_width_is_another(self, tiny_llama):
        adapter = Adapter({"model.layers.0.self_attn.k_proj": (torch.zeros(1, 64, 2), torch.zeros(1, 2, 64))})
        with pytest.raises(AdapterError, match=r"layers\.0\.self_attn\.k_proj.*\(1, 2, 64\).* 64 inputs and 32 outputs"):
            logits(tiny_llama, tokens(1, 3), adapter)

    def test_at_which_the_batch_has_another_size(self, tiny_llama):
        with pytest.raises(AdapterError, match=r"model\.layers\.0\..*: 3 adapters for a batch of 4 rows"):
            logits(tiny_llama, tokens(4, 3), random_adapter(tiny_llama, 3))

    def test_whose_factors_do_not_fit_each_other(self):
        with pytest.raises(AdapterError, match=r"layer: A \(1, 8, 2\) and B \(1, 3, 8\)"):
            Adapter({"layer": (torch.zeros(1, 8, 2), torch.zeros(1, 3, 8))})

    def test_that_has_factors_for_another_number_of_examples(self):
        pair = torch.zeros(2, 8, 1), torch.zeros(2, 1, 8)
        with pytest.raises(AdapterError, match="second: factors of 3 examples, but other layers have 2"):
            Adapter({"first": pair, "second": (torch.zeros(3, 8, 1), torch.zeros(3, 1, 8))})

    def test_and_the_modules_there_are(self, tiny_llama):
        with pytest.raises(AdapterError, match=r"no linear layer named \['wo'\] in LlamaForCausalLM; it has .*'down_proj'"):
            adaptable_layers(tiny_llama, ["down_proj", "wo"])


class TestAdapter:
    def test_selects_and_stacks_examples_in_the_order_given(self, tiny_llama):
        adapter = random_adapter(tiny_llama, 4)
        back = stack([adapter.select([row]) for row in range(4)])
        assert all(torch.equal(a, b) for n in adapter.factors for a, b in zip(adapter.factors[n], back.factors[n], strict=True))
        name = next(iter(adapter.factors))
        assert torch.equal(adapter.select([2, 0]).deltas(name), adapter.deltas(name)[[2, 0]])

    def test_shared_by_all_is_every_example_s(self, tiny_llama):
        shared = random_adapter(tiny_llama, 1)
        assert shared.examples == 1
        assert shared.select([5, 0, 7]).examples == 3
        ids = tokens(3, 4)
        torch.testing.assert_close(logits(tiny_llama, ids, shared), logits(tiny_llama, ids, shared.select([0, 0, 0])))

    def test_of_different_ranks_stack_with_zeros_for_what_lacks(self, tiny_llama):
        low, high = random_adapter(tiny_llama, 1), compose([random_adapter(tiny_llama, 2, seed=s) for s in (3, 4)])
        both = stack([low, high])
        for name, (a, _) in both.factors.items():
            assert a.shape[2] == high.factors[name][0].shape[2]
            assert torch.equal(both.deltas(name)[:1], low.deltas(name))
            torch.testing.assert_close(both.deltas(name)[1:], high.deltas(name))

    def test_of_other_layers_is_not_stacked(self, tiny_llama):
        with pytest.raises(AdapterError, match="different layers"):
            stack([random_adapter(tiny_llama, 1, ("q_proj",)), random_adapter(tiny_llama, 1, ("v_proj",))])

    def test_joined_has_the_sum_of_the_updates_and_the_sum_of_the_ranks(self, tiny_llama):
        one, two = random_adapter(tiny_llama, 3), random_adapter(tiny_llama, 3, seed=9)
        both = compose([one, two])
        for name in one.factors:
            torch.testing.assert_close(both.deltas(name), one.deltas(name) + two.deltas(name))
            assert both.factors[name][0].shape[2] == one.factors[name][0].shape[2] + two.factors[name][0].shape[2]

    def test_joined_alone_is_itself_and_of_other_examples_or_layers_is_refused(self, tiny_llama):
        one = random_adapter(tiny_llama, 3)
        assert compose([one]) is one
        for other in (one.select([0]), Adapter(dict(list(one.factors.items())[1:]))):
            with pytest.raises(AdapterError, match="cannot be joined"):
                compose([one, other])

    def test_mean_has_the_mean_of_the_updates(self, tiny_llama):
        adapter = random_adapter(tiny_llama, 5)
        mean = adapter.mean()
        assert mean.examples == 1
        for name in adapter.factors:
            torch.testing.assert_close(mean.deltas(name)[0], adapter.deltas(name).mean(0))

    def test_mean_over_at_most_so_many_examples_has_no_higher_rank(self, tiny_llama):
        adapter = random_adapter(tiny_llama, 7, ("q_proj",), rank=2)
        name = next(iter(adapter.factors))
        mean = adapter.mean(most=4)
        assert mean.factors[name][0].shape[-1] <= 4 * 2
        torch.testing.assert_close(mean.deltas(name)[0], adapter.deltas(name)[[0, 2, 4, 6]].mean(0))
        torch.testing.assert_close(adapter.mean(most=100).deltas(name), adapter.mean().deltas(name))

    def test_zeroed_and_detached_keep_the_shape(self, tiny_llama):
        adapter = random_adapter(tiny_llama, 2).map(lambda t: t.requires_grad_())
        assert all((t == 0).all() for pair in adapter.zeroed().factors.values() for t in pair)
        assert not any(t.requires_grad for pair in adapter.detach().factors.values() for t in pair)
        assert adapter.zeroed().examples == adapter.detach().examples == 2


class TestPeft:
    @pytest.mark.parametrize("modules", [("down_proj",), ("q_proj", "v_proj", "gate_proj"), SEVEN])
    def test_loads_a_saved_adapter_with_equal_logits(self, tmp_path, tiny_llama, modules):
        adapter, ids = random_adapter(tiny_llama, 3, modules), tokens(1, 8)
        expected = logits(copy.deepcopy(tiny_llama), ids, adapter.select([2]))
        adapter.save_peft(tmp_path, "a/base-model", example=2)
        loaded = PeftModel.from_pretrained(tiny_llama, tmp_path).eval()
        with torch.no_grad():
            torch.testing.assert_close(loaded(input_ids=ids).logits, expected, atol=1e-5, rtol=1e-4)
            with loaded.disable_adapter():
                assert not torch.allclose(loaded(input_ids=ids).logits, expected, atol=1e-2)
        assert {file.name for file in tmp_path.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}

    def test_loads_layers_of_different_rank(self, tmp_path, tiny_llama):
        wide, narrow = random_adapter(tiny_llama, 1, ("q_proj",), rank=6), random_adapter(tiny_llama, 1, ("up_proj",), rank=2)
        adapter, ids = Adapter({**wide.factors, **narrow.factors}), tokens(1, 8)
        expected = logits(copy.deepcopy(tiny_llama), ids, adapter)
        adapter.save_peft(tmp_path, "a/base-model")
        with torch.no_grad():
            actual = PeftModel.from_pretrained(tiny_llama, tmp_path).eval()(input_ids=ids).logits
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)

    @pytest.mark.filterwarnings("ignore:Found missing adapter keys")  # PEFT starts the other layers at zero
    def test_loads_an_adapter_of_some_layers_only(self, tmp_path, tiny_llama):
        name = "model.layers.1.mlp.down_proj"
        adapter, ids = Adapter({name: random_adapter(tiny_llama, 1).factors[name]}), tokens(1, 8)
        expected = logits(copy.deepcopy(tiny_llama), ids, adapter)
        adapter.save_peft(tmp_path, "a/base-model")
        with torch.no_grad():
            actual = PeftModel.from_pretrained(tiny_llama, tmp_path).eval()(input_ids=ids).logits
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)


class TestStaticLora:
    def test_starts_as_the_base_model(self, tiny_llama):
        lora, ids = StaticLora.on(tiny_llama, ("q_proj", "down_proj"), rank=4, alpha=8), tokens(3, 5)
        assert torch.equal(logits(tiny_llama, ids, lora()), logits(tiny_llama, ids))

    def test_is_decided_by_its_seed_and_leaves_other_random_numbers_alone(self, tiny_llama):
        def made(seed):
            return StaticLora.on(tiny_llama, ("q_proj",), rank=4, alpha=8, seed=seed)

        torch.manual_seed(5)
        expected = torch.rand(1)
        torch.manual_seed(5)
        first, again, other = made(1), made(1), made(2)
        assert torch.rand(1) == expected
        assert all(torch.equal(one, two) for one, two in zip(first.parameters(), again.parameters(), strict=True))
        assert not torch.equal(first.a[0], other.a[0])

    def test_scales_its_update_by_alpha_over_rank(self, tiny_llama):
        lora = StaticLora.on(tiny_llama, ("v_proj",), rank=4, alpha=8)
        nn.init.normal_(lora.b[0])
        torch.testing.assert_close(lora().deltas(lora.layers[0])[0], 2.0 * lora.a[0] @ lora.b[0])
