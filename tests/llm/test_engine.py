"""Generation in batches: order, stops, counts, and that a batch changes nothing."""

import pytest
import torch
from torch.nn.functional import one_hot
from transformers import LogitsProcessorList

from aag_ray.llm.adapters import Adapter, AdapterError, adaptable_layers, applied
from aag_ray.llm.engine import TransformersEngine, decoded, in_batches, length_batches, newline_tokens, pad
from aag_ray.llm.load import LoadedModel

PROMPTS = [
    "Question: What is the capital of France?\nAnswer:",
    "Document: The yen is the currency of Japan.\nQuestion: Which currency does Japan use?\nAnswer:",
    "Au",
    "Question: gold?\nAnswer:",
    "Question: Which city has many people and borders the country of its neighbours?\nAnswer:",
]


@pytest.fixture
def tiny_seq2seq(tiny_t5, tiny_tokenizer, tmp_path):
    return LoadedModel(tiny_t5, tiny_tokenizer, torch.device("cpu"), torch.float32, "tiny-t5", tmp_path)


def adapters_for(loaded, examples):
    draw = torch.Generator().manual_seed(3)
    return Adapter(
        {
            name: (
                torch.randn(examples, layer.in_features, 2, generator=draw),
                torch.randn(examples, 2, layer.out_features, generator=draw),
            )
            for name, layer in adaptable_layers(loaded.model, ["down_proj"]).items()
        }
    )


def step_by_step(loaded, prompt, most):
    """Greedy decoding as one would write it down: no cache, no padding, no batch."""
    ids, stops = loaded.tokenizer(prompt)["input_ids"], {*newline_tokens(loaded.tokenizer), loaded.tokenizer.eos_token_id}
    written = []
    while len(written) < most and not stops.intersection(written):
        with torch.no_grad():
            written.append(int(loaded.model(input_ids=torch.tensor([ids + written])).logits[0, -1].argmax()))
    text = loaded.tokenizer.decode(written, skip_special_tokens=True).split("\n")[0].strip()
    return text, len(ids), len(written)


def prefer(loaded, tokens):
    """Make the model write these tokens one after the other, whatever it reads, and then the last one for ever."""
    steps = iter([*tokens, *[tokens[-1]] * 100])
    loaded.model.lm_head.register_forward_hook(
        lambda _layer, _inputs, logits: one_hot(torch.full(logits.shape[:-1], next(steps)), logits.shape[-1]).float()
    )


def test_texts_come_in_the_order_of_the_prompts_and_equal_decoding_step_by_step(tiny):
    written = TransformersEngine(tiny, batch=2).generate(PROMPTS, max_new_tokens=6)
    assert [(one.text, one.prompt_tokens, one.new_tokens) for one in written] == [
        step_by_step(tiny, prompt, 6) for prompt in PROMPTS
    ]


@pytest.mark.parametrize(("batch", "beams"), [(2, 1), (5, 1), (3, 3)])
def test_the_batch_does_not_change_a_text(tiny, batch, beams):
    adapter = adapters_for(tiny, len(PROMPTS))
    alone = [
        TransformersEngine(tiny).generate([prompt], max_new_tokens=5, adapter=adapter.select([row]), beams=beams)[0]
        for row, prompt in enumerate(PROMPTS)
    ]
    assert TransformersEngine(tiny, batch).generate(PROMPTS, max_new_tokens=5, adapter=adapter, beams=beams) == alone
    assert len({one.text for one in alone}) > 1


def test_left_padding_does_not_change_an_answer(tiny):
    engine = TransformersEngine(tiny)
    alone = engine.generate(["Au"], max_new_tokens=10)[0]
    assert engine.generate(["Au", "Question: " * 40], max_new_tokens=10)[0] == alone


def test_a_text_ends_at_the_first_newline_and_its_stop_is_counted(tiny):
    words = tiny.tokenizer(" Paris\nLyon")["input_ids"]
    prefer(tiny, words)
    (written,) = TransformersEngine(tiny).generate(["Where?"], max_new_tokens=30)
    before = tiny.tokenizer(" Paris")["input_ids"]
    assert (written.text, written.new_tokens) == ("Paris", len(before) + 1)


def test_all_lines_are_kept_with_their_indentation_where_they_are_wanted(tiny):
    words = tiny.tokenizer("\n    one\n  two\n")["input_ids"]
    prefer(tiny, [*words, tiny.tokenizer.eos_token_id])
    (written,) = TransformersEngine(tiny).generate(["Where?"], max_new_tokens=30, lines=True)
    assert (written.text, written.new_tokens) == ("    one\n  two", len(words) + 1)


def test_tokens_end_with_a_stop_or_where_a_processor_lets_nothing_else_be_written(tiny):
    ids, end = [tiny.tokenizer(prompt)["input_ids"] for prompt in PROMPTS], tiny.tokenizer.eos_token_id
    free = decoded(tiny, ids, 6)
    assert decoded(tiny, ids, 6, [free[0][2]])[0] == free[0][: free[0].index(free[0][2]) + 1]

    def only_the_end(_ids, scores):
        return torch.full_like(scores, float("-inf")).index_fill(1, torch.tensor([end]), 0.0)

    assert decoded(tiny, ids, 6, logits_processor=LogitsProcessorList([only_the_end])) == [[end]] * len(ids)


def test_the_character_before_a_newline_in_one_token_is_kept(tiny):
    tiny.tokenizer.add_tokens(["?\n"])
    tiny.model.resize_token_embeddings(len(tiny.tokenizer))
    prefer(tiny, tiny.tokenizer("Really?\n")["input_ids"])
    assert TransformersEngine(tiny).generate(["Where"], max_new_tokens=30)[0].text == "Really?"


def test_a_text_ends_at_the_end_token(tiny):
    words = tiny.tokenizer("Paris")["input_ids"]
    prefer(tiny, [*words, tiny.tokenizer.eos_token_id])
    (written,) = TransformersEngine(tiny).generate(["Where?"], max_new_tokens=30)
    assert (written.text, written.new_tokens) == ("Paris", len(words) + 1)


def test_a_text_has_no_more_than_max_new_tokens(tiny):
    prefer(tiny, tiny.tokenizer("x")["input_ids"])
    (written,) = TransformersEngine(tiny).generate(["Where?"], max_new_tokens=5)
    assert (written.text, written.new_tokens) == ("xxxxx", 5)


def test_an_encoder_decoder_writes_too_with_the_same_text_in_any_batch(tiny_seq2seq):
    one = [TransformersEngine(tiny_seq2seq).generate([prompt], max_new_tokens=6)[0] for prompt in PROMPTS]
    assert TransformersEngine(tiny_seq2seq, batch=4).generate(PROMPTS, max_new_tokens=6) == one
    assert all(0 < written.new_tokens <= 6 for written in one)


def test_no_prompt_gives_no_text(tiny):
    assert TransformersEngine(tiny).generate([], max_new_tokens=5) == []


def test_one_adapter_serves_all_prompts_and_shared_ones_add_up(tiny):
    one, engine = adapters_for(tiny, 1), TransformersEngine(tiny, batch=2)
    expected = engine.generate(PROMPTS, max_new_tokens=6, adapter=one)
    assert engine.generate(PROMPTS, max_new_tokens=6, shared=[one]) == expected
    own = one.select([0] * len(PROMPTS))
    with applied(tiny.model, one):
        twice = engine.generate(PROMPTS, max_new_tokens=6, adapter=one)
    assert engine.generate(PROMPTS, max_new_tokens=6, adapter=own, shared=[one]) == twice
    assert twice != expected


@pytest.mark.parametrize("examples", [3, 7])
def test_another_number_of_adapters_than_prompts_is_refused(tiny, examples):
    with pytest.raises(AdapterError, match=f"{examples} adapters for 5 prompts"):
        TransformersEngine(tiny).generate(PROMPTS, max_new_tokens=5, adapter=adapters_for(tiny, examples))


def test_what_is_made_in_batches_comes_in_the_order_of_the_rows():
    assert in_batches([3, 9, 1], 2, lambda rows: [(row, len(rows)) for row in rows]) == [(0, 2), (1, 2), (2, 1)]
    assert in_batches([], 2, list) == []


def test_batches_hold_similar_lengths_longest_first():
    assert list(length_batches([3, 9, 1, 9, 4], 2)) == [[1, 3], [4, 0], [2]]


def test_padding_goes_to_the_side_asked_for():
    left, left_mask = pad([[5, 6], [7]], 0, left=True, device=torch.device("cpu"))
    right, right_mask = pad([[5, 6], [7]], 0, left=False, device=torch.device("cpu"))
    assert (left.tolist(), left_mask.tolist()) == ([[5, 6], [0, 7]], [[1, 1], [0, 1]])
    assert (right.tolist(), right_mask.tolist()) == ([[5, 6], [7, 0]], [[1, 1], [1, 0]])


def test_newline_tokens_are_all_those_whose_text_has_one(tiny):
    found = newline_tokens(tiny.tokenizer)
    assert found
    assert all(("\n" in tiny.tokenizer.decode([token])) == (token in found) for token in range(len(tiny.tokenizer)))
