"""Batches: targets are predicted where they stand, whatever the padding; long prompts lose their front."""

import torch

from aag_ray.llm.batches import encode_pair, mean_over_rows, target_batch, target_logits

PROMPTS = ["Question: What is the capital of France?\nAnswer:", "gold?"]
TARGETS = [" Paris\n", " the symbol Au\n"]


def test_prompt_and_target_are_the_tokens_of_both_texts(tiny):
    prompt, target = encode_pair(tiny.tokenizer, PROMPTS[0], TARGETS[0], 2048)
    assert tiny.tokenizer.decode(prompt + target) == PROMPTS[0] + TARGETS[0]
    assert tiny.tokenizer.decode(target) == TARGETS[0]


def test_a_long_prompt_loses_its_front_and_keeps_question_and_target(tiny):
    text = "Document: " + "many people " * 50 + "\n" + PROMPTS[0]
    prompt, target = encode_pair(tiny.tokenizer, text, TARGETS[0], 40)
    assert len(prompt) + len(target) == 40
    assert text.endswith(tiny.tokenizer.decode(prompt))
    assert tiny.tokenizer.decode(target) == TARGETS[0]


def test_a_target_longer_than_the_limit_stays_whole_with_one_token_of_the_prompt(tiny):
    prompt, target = encode_pair(tiny.tokenizer, PROMPTS[0], TARGETS[1] * 5, 4)
    assert len(prompt) == 1
    assert tiny.tokenizer.decode(target) == TARGETS[1] * 5


def test_every_target_token_is_read_off_one_place_before_it_stands(tiny):
    batch = target_batch(tiny, PROMPTS, TARGETS)
    assert torch.equal(batch.ids[batch.row, batch.position + 1], batch.label)
    assert torch.equal(batch.mask.sum(1), (batch.ids != tiny.tokenizer.pad_token_id).sum(1))
    for number, target in enumerate(TARGETS):
        assert tiny.tokenizer.decode(batch.label[batch.row == number]) == target


def test_logits_of_targets_equal_the_model_s_own_for_each_row_alone(tiny):
    batch = target_batch(tiny, PROMPTS, TARGETS)
    logits, _ = target_logits(tiny.model, batch)
    for number, texts in enumerate(zip(PROMPTS, TARGETS, strict=True)):
        prompt, target = encode_pair(tiny.tokenizer, *texts, 2048)
        whole = tiny.model(input_ids=torch.tensor([prompt + target])).logits[0]
        torch.testing.assert_close(logits[batch.row == number], whole[len(prompt) - 1 : -1], atol=1e-5, rtol=1e-4)


def test_means_are_taken_row_by_row_and_a_row_without_a_target_is_zero():
    values, row = torch.tensor([1.0, 3.0, 10.0]), torch.tensor([0, 0, 2])
    assert mean_over_rows(values, row, 3).tolist() == [2.0, 0.0, 10.0]
