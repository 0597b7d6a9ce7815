"""Gold answers under teacher forcing: what counts, and that neither batch nor neighbours change it."""

import pytest
import torch

from aag_ray.llm.gold_answers import gold_answers, read_gold

PROMPTS = ["Question: What is the capital of France?\nAnswer:", "user: Which currency does Japan use?\nassistant: ", "gold?"]
ANSWERS = ["Paris", "the yen", "the symbol Au"]


def test_a_token_is_right_if_it_is_the_likeliest():
    logits = torch.tensor([[2.0, 1.0], [2.0, 1.0], [0.0, 5.0]])
    first, second = gold_answers(logits, torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2)
    assert first.accuracy == pytest.approx(0.5)
    likely = torch.tensor([2.0, 1.0]).log_softmax(0)
    assert first.cross_entropy == pytest.approx(float(-likely.mean()))
    assert second.accuracy == 1.0
    assert second.cross_entropy == pytest.approx(float(-torch.tensor([0.0, 5.0]).log_softmax(0)[1]), rel=1e-4)


def test_only_the_answer_s_own_tokens_count_after_a_space_where_the_prompt_has_none(tiny):
    for prompt, answer, seen in zip(PROMPTS, ANSWERS, read_gold(tiny, PROMPTS, ANSWERS), strict=True):
        told = answer if prompt.endswith(" ") else f" {answer}"
        before, ids = (tiny.tokenizer(text)["input_ids"] for text in (prompt, told))
        with torch.no_grad():
            logits = tiny.model(torch.tensor([before + ids])).logits[0, len(before) - 1 : -1].float()
        labels = torch.tensor(ids)
        assert seen.accuracy == pytest.approx(float((logits.argmax(-1) == labels).float().mean()))
        assert seen.cross_entropy == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-4)


def test_each_prompt_is_read_with_its_own_adapter_in_any_batch(tiny, adapters):
    adapter = adapters(tiny, len(PROMPTS), seed=1)
    together, alone = (read_gold(tiny, PROMPTS, ANSWERS, adapter=adapter, batch=batch) for batch in (8, 1))
    assert [each.cross_entropy for each in together] == pytest.approx([each.cross_entropy for each in alone], rel=1e-4)
    plain = read_gold(tiny, PROMPTS, ANSWERS)
    assert all(abs(one.cross_entropy - other.cross_entropy) > 1e-5 for one, other in zip(together, plain, strict=True))


def test_a_long_prompt_is_read_whole(tiny):
    passages = "Document: many people live here.\n" * 160
    prompts = [start + passages + PROMPTS[0] for start in ("gold " * 5, "yen " * 5)]
    assert len(tiny.tokenizer(passages)["input_ids"]) > 2048
    one, other = (read_gold(tiny, [prompt], ANSWERS[:1])[0].cross_entropy for prompt in prompts)
    assert one != other
