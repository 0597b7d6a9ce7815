"""Counting tokens of many texts at once."""

from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from aag_ray.extract.tokens import estimated_tokens, tokenizer_counter


@pytest.mark.parametrize(("text", "count"), [("", 0), ("gold", 1), ("the capital", 3), ("首都", 2), ("\ud800", 1)])
def test_an_estimate_needs_no_model(text: str, count: int) -> None:
    assert estimated_tokens([text]) == [count]


def test_a_tokenizer_counts_what_it_encodes(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    texts = ["The symbol of gold is Au.", "", "黄金", "word " * 5000]
    expected = [len(tiny_tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    assert tokenizer_counter(tiny_tokenizer)(texts) == expected
    assert tokenizer_counter(tiny_tokenizer)([]) == []
