"""Fusion in the decoder: one passage is plain T5, many are the published concatenation, and no batch changes a number."""

import pytest
import torch
from transformers.modeling_outputs import BaseModelOutput

from aag_ray.awaken.fid import Fid, Keep
from aag_ray.awaken.fid_inputs import closed_book
from aag_ray.awaken.t5_layers import give_attention_maps

TEXTS = [
    [
        "question: What is gold? title: Gold context: The symbol of gold is Au.",
        "question: What is gold? title: Yen context: The yen is the currency of Japan and many people use it.",
        "question: What is gold? title: A context: B",
    ],
    ["question: Which currency does Japan use? title: Japan context: The country borders its neighbours."],
    ["question: Who?", "question: Who? title: City context: The city has many people."],
]
TARGETS = ["Au", "the yen and the currency", "people"]


@pytest.fixture
def fid(t5):
    return Fid(t5())


def encoded(fid, texts=TEXTS):
    return [fid.tokens(inputs, 256) for inputs in texts]


@torch.no_grad()
def logits(fid, examples, targets):
    """By example, (tokens, vocabulary)."""
    batch = fid.targets(targets, 32)
    values, _ = fid.decode(fid.encode(examples), batch)
    return [values[batch.row == row] for row in range(len(targets))]


def assert_close(one, two):
    torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


class TestReading:
    def test_one_passage_equals_plain_t5(self, t5, shape):
        fid = Fid(t5(shape))
        ids = fid.tokens([TEXTS[0][0]], 256)[0]
        labels = torch.tensor([[*fid.tokens(["Au"], 9)[0], 1]])
        with torch.no_grad():
            expected = fid.model(input_ids=torch.tensor([ids]), labels=labels).logits[0]
        assert_close(logits(fid, [[ids]], ["Au"])[0], expected)

    def test_zero_passages_are_the_question_alone(self, fid):
        ids = fid.tokens(["question: Who?"], 256)[0]
        with torch.no_grad():
            expected = fid.model(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([[2]])).logits[0]
        assert_close(logits(fid, encoded(fid, [closed_book("Who?")]), [""])[0], expected)

    def test_many_passages_equal_the_published_concatenation_of_padded_ones(self, fid):
        """Every passage padded to the longest, encoded in one batch, and concatenated with its padding."""
        passages = encoded(fid)[0]
        longest = max(map(len, passages)) + 3
        ids = torch.tensor([ids + [2] * (longest - len(ids)) for ids in passages])
        mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in passages])
        batch = fid.targets(["Au"], 32)
        with torch.no_grad():
            states = fid.model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state.reshape(1, -1, 64)
            expected = fid.model(
                encoder_outputs=BaseModelOutput(states), attention_mask=mask.reshape(1, -1), decoder_input_ids=batch.ids
            ).logits[0]
        assert_close(logits(fid, [passages], ["Au"])[0], expected)

    def test_an_example_reads_the_same_alone_or_in_a_batch(self, fid):
        examples = encoded(fid)
        together = logits(fid, examples, TARGETS)
        for row in range(3):
            assert_close(logits(fid, [examples[row]], [TARGETS[row]])[0], together[row])

    @pytest.mark.parametrize("tokens", [1, 64, None])
    def test_the_groups_that_are_encoded_together_do_not_matter(self, fid, tokens):
        examples = encoded(fid)
        expected = logits(fid, examples, TARGETS)
        fid._bucket = tokens
        for one, two in zip(logits(fid, examples, TARGETS), expected, strict=True):
            assert_close(one, two)

    def test_the_order_of_passages_does_not_matter(self, fid):
        passages = encoded(fid)[0]
        assert_close(logits(fid, [passages[::-1]], ["Au"])[0], logits(fid, [passages], ["Au"])[0])

    def test_another_passage_does(self, fid):
        passages = encoded(fid)[0]
        assert (logits(fid, [passages[:2]], ["Au"])[0] - logits(fid, [passages], ["Au"])[0]).abs().max() > 1e-2


class TestEncoding:
    def test_keeps_real_tokens_only_passage_after_passage(self, fid):
        examples = encoded(fid)
        fused = fid.encode(examples)
        assert fused.lengths == [[len(ids) for ids in inputs] for inputs in examples]
        assert fused.mask.sum(1).tolist() == [sum(part) for part in fused.lengths]
        assert fused.states.shape == (3, max(map(sum, fused.lengths)), 64)
        second, length = fused.starts(0)[1], fused.lengths[0][1]
        alone = fid.encode([[examples[0][1]]]).states[0]
        assert_close(fused.states[0, second : second + length], alone)
        assert not fused.states[~fused.mask.bool()].any()

    def test_pads_a_group_to_no_more_tokens_than_it_may_have(self, fid):
        sizes = []
        fid.model.encoder.register_forward_pre_hook(
            lambda _m, _a, given: sizes.append(given["input_ids"].shape), with_kwargs=True
        )
        fid._bucket = 80
        fid.encode(encoded(fid))
        assert len(sizes) > 1
        assert all(rows * length <= 80 or rows == 1 for rows, length in sizes)

    def test_not_bucketed_calls_the_encoder_once_whatever_the_lengths(self, t5):
        fid, calls = Fid(t5(), bucketed=False), []
        fid.model.encoder.register_forward_pre_hook(lambda *_: calls.append(1))
        fid.encode(encoded(fid))
        assert len(calls) == 1

    def test_keeps_what_alignment_asks_for_in_the_order_of_the_inputs(self, t5):
        fid = Fid(t5())
        give_attention_maps(fid.loaded)
        examples = encoded(fid)
        fid._bucket = 1
        kept = fid.encode(examples, Keep([3, 4, 2], [1], states=True, maps=True)).kept
        assert [len(part) for part in kept] == [3, 1, 2]
        for row, tokens in enumerate((3, 4, 2)):
            for number, one in enumerate(kept[row]):
                assert one.states[0].shape == (tokens, 64)
                assert one.maps[0].shape == (4, tokens, tokens)
                alone = fid.encode([[examples[row][number]]]).states[0, :tokens]
                assert_close(one.states[0], alone)  # behind the last layer is what the decoder reads

    @pytest.mark.parametrize("examples", [[[[5, 6]], []], [[[5], []]]])
    def test_refuses_an_example_without_anything_to_read(self, fid, examples):
        with pytest.raises(ValueError, match="at least one input, and every input a token; zero passages are the question"):
            fid.encode(examples)

    def test_a_long_input_loses_its_end(self, fid):
        whole = fid.tokens([TEXTS[0][1]], 256)[0]
        assert fid.tokens([TEXTS[0][1]], 12)[0] == whole[:12]

    def test_is_refused_by_other_models_than_t5(self, tiny):
        with pytest.raises(ValueError, match="is a LlamaForCausalLM; readers that fuse passages are T5 and flan-T5"):
            Fid(tiny)


class TestTargets:
    def test_end_with_the_end_token_and_are_read_one_place_later(self, fid):
        batch = fid.targets(["Au", ""], 32)
        ids = fid.tokens(["Au"], 9)[0]
        assert batch.ids.tolist() == [[2, *ids], [2] + [2] * len(ids)]
        assert batch.label.tolist() == [*ids, 1, 1]
        assert batch.row.tolist() == [0] * (len(ids) + 1) + [1]
        assert batch.mask.sum(1).tolist() == [len(ids) + 1, 1]

    def test_are_cut_but_still_end(self, fid):
        assert fid.targets(["a long answer of many tokens"], 4).label.tolist()[-1] == 1
        assert len(fid.targets(["a long answer of many tokens"], 4).label) == 4


class TestComputing:
    def test_in_bfloat16_leaves_float32_weights_and_logits_with_gradients(self, t5):
        loaded = t5()
        expected = logits(Fid(loaded), encoded(Fid(loaded)), TARGETS)
        fid = Fid(loaded, compute=torch.bfloat16)
        loaded.model.requires_grad_(True)
        batch = fid.targets(TARGETS, 32)
        values, _ = fid.decode(fid.encode(encoded(fid)), batch)
        assert values.dtype == torch.float32
        assert 0 < (values - torch.cat(expected)).abs().max() < 0.3
        values.sum().backward()
        for parameter in loaded.model.parameters():
            assert parameter.grad is not None
            assert parameter.grad.dtype == torch.float32


class TestGeneration:
    @torch.no_grad()
    def greedy(self, fid, inputs, count):
        """The likeliest token again and again, without a cache."""
        ids = [2]
        fused = fid.encode([inputs])
        for _ in range(count):
            output = fid.model(
                encoder_outputs=BaseModelOutput(fused.states), attention_mask=fused.mask, decoder_input_ids=torch.tensor([ids])
            )
            ids.append(int(output.logits[0, -1].argmax()))
            if ids[-1] == 1:
                break
        return fid.tokenizer.decode(ids[1:], skip_special_tokens=True).strip().split("\n")[0].strip()

    def test_takes_the_likeliest_tokens(self, t5, shape):
        fid = Fid(t5(shape, initializer_factor=2.0))
        examples = encoded(fid)
        written = fid.generate(examples, 6)
        assert [one.text for one in written] == [self.greedy(fid, inputs, 6) for inputs in examples]
        assert [one.prompt_tokens for one in written] == [sum(map(len, inputs)) for inputs in examples]
        assert all(0 < one.new_tokens <= 6 for one in written)

    def test_searches_with_beams_the_same_alone_or_in_a_batch(self, fid):
        examples = encoded(fid)
        together = fid.generate(examples, 5, beams=3)
        assert together == [fid.generate([inputs], 5, beams=3)[0] for inputs in examples]

    def test_is_the_same_where_activations_would_be_computed_again(self, t5):
        from aag_ray.llm.recompute import recompute_activations

        fid = Fid(t5())
        expected = fid.generate(encoded(fid), 5)
        recompute_activations(fid.model)
        assert fid.generate(encoded(fid), 5) == expected
