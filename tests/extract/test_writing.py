"""A model that writes about windows of pages: prompts that fit, batches, failures that stay alone."""

from __future__ import annotations

import pytest
import torch
from transformers import T5ForConditionalGeneration

from aag_ray.extract.build import tag_page
from aag_ray.extract.evidence import TaggedPage
from aag_ray.extract.grammar import TagGrammar
from aag_ray.extract.writing import Writer
from aag_ray.llm.adapters import StaticLora
from aag_ray.llm.load import LoadedModel


def page(text: str) -> TaggedPage:
    return tag_page(text, "u", kind="text").tagged


SHORT = page("Iron rusts.\n\nThe symbol of gold is Au.")
LONG = page("\n\n".join(f"Sentence {number} tells of gold." for number in range(300)))


def prompt(text: str, question: str) -> str:
    return f"{text} {question}"


def test_prompts_and_answers_fit_the_context(tiny: LoadedModel) -> None:
    writer = Writer(tiny)
    asked = writer.asked(prompt, "gold " * 5000, [SHORT, LONG], answer=100)
    assert [each.page for each in asked] == [0] + [1] * (len(asked) - 1)
    assert len(asked) > 3
    assert all(each.tokens is not None and len(each.tokens) + 100 <= writer.context for each in asked)


def test_the_answer_is_made_to_begin_as_told(tiny: LoadedModel) -> None:
    [asked] = Writer(tiny).asked(prompt, "gold", [SHORT], answer=9, answer_start="It is")
    assert str(tiny.tokenizer.decode(asked.tokens or [])).endswith("assistant: It is")


def test_rows_of_different_lengths_write_what_each_writes_alone(tiny: LoadedModel) -> None:
    writer = Writer(tiny, batch=2)
    asked = writer.asked(prompt, "gold", [SHORT, page("Tin."), page("Lead is heavy and soft and grey."), SHORT], answer=40)
    grammars = [TagGrammar(each.window.first, each.window.last) for each in asked]
    together = writer.write(asked, most=40, grammars=grammars)
    alone = [writer.write([ask], most=40, grammars=[grammar])[0] for ask, grammar in zip(asked, grammars, strict=True)]
    assert together == alone
    assert all(each.text.startswith("#Extracted") and 0 < each.tokens <= 40 for each in together)


def test_nothing_asked_is_nothing_written(tiny: LoadedModel) -> None:
    assert Writer(tiny).write(Writer(tiny).asked(prompt, "gold", [page("")], answer=9), most=9) == []


def test_an_adapter_changes_what_is_written(tiny: LoadedModel) -> None:
    torch.manual_seed(3)
    lora = StaticLora.on(tiny.model, ["down_proj"], rank=4, alpha=4.0)
    for b in lora.b:
        torch.nn.init.normal_(b, std=5.0)
    asked = Writer(tiny).asked(prompt, "gold", [SHORT], answer=20)
    plain = Writer(tiny).write(asked, most=20)
    adapted = Writer(tiny, [lora().detach()]).write(asked, most=20)
    assert plain != adapted


def test_a_row_that_breaks_its_batch_fails_alone(tiny: LoadedModel) -> None:
    writer = Writer(tiny)
    asked = writer.asked(prompt, "gold", [SHORT, SHORT], answer=20)
    assert asked[1].tokens is not None
    asked[1].tokens[0] = 10_000_000  # beyond the vocabulary
    good, bad = writer.write(asked, most=20)
    assert (good.failure, bad.text) == ("", "")
    assert bad.failure.startswith("IndexError")


def test_an_encoder_decoder_is_refused(tiny: LoadedModel, tiny_t5: T5ForConditionalGeneration) -> None:
    other = LoadedModel(tiny_t5, tiny.tokenizer, tiny.device, tiny.dtype, "t5", tiny.path)
    with pytest.raises(ValueError, match="'t5' is an encoder-decoder; a decoder is needed"):
        Writer(other)
