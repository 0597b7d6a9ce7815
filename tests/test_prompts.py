"""What is said to models: one shape for every mode, so that one adapter serves them all."""

import copy
import re

from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from aag_ray import prompts
from aag_ray.records import Passage

PARIS = Passage("p1", "Paris", "The capital of France.")
LYON = Passage("p2", "Lyon", "A city in France.")


def test_the_reader_is_asked_the_same_way_whatever_it_is_given():
    bare = prompts.reader_prompt("Where?")
    assert bare == "Question: Where?\nAnswer:"
    assert prompts.reader_prompt("Where?", document="Here.") == f"Document: Here.\n{bare}"
    assert prompts.reader_prompt("Where?", passages=[PARIS, LYON]) == (
        f"[1] Paris: The capital of France.\n[2] Lyon: A city in France.\n{bare}"
    )
    assert prompts.reader_prompt("Where?", document="Here.", passages=[PARIS]).endswith(f"\nDocument: Here.\n{bare}")


def test_an_empty_document_is_still_a_document():
    assert prompts.reader_prompt("Where?", document="") != prompts.reader_prompt("Where?")


def test_few_shot_examples_continue_the_way_the_reader_is_trained():
    prompt = prompts.few_shot_prompt("Where?", [("Who?", "Me"), ("When?", "Now")])
    assert prompt.endswith(prompts.reader_prompt("Where?"))
    assert prompts.reader_prompt("Who?") + prompts.answer_text("Me") in prompt
    assert prompts.few_shot_prompt("Where?", []) == prompts.reader_prompt("Where?")


@given(st.text())
def test_an_answer_starts_with_one_space_and_ends_with_the_mark_that_stops_decoding(answer: str):
    text = prompts.answer_text(answer)
    assert text == f" {answer}{prompts.ANSWER_END}"


@given(st.text())
def test_a_document_is_one_line(text: str):
    said = prompts.document_text(text)
    assert re.fullmatch(r" [^\n]*\n", said)
    assert said.split() == text.split()


def test_the_compression_instruction_is_one_short_line():
    assert len(prompts.COMPRESSION_INSTRUCTION) < 192
    assert "\n" not in prompts.COMPRESSION_INSTRUCTION


def test_a_zero_shot_model_is_asked_in_its_chat_template_where_it_has_one(tiny_tokenizer: PreTrainedTokenizerFast):
    asked = "Answer with a word or a short phrase only.\nDocument: Here.\nQuestion: Where?"
    assert prompts.zero_shot_prompt(tiny_tokenizer, "Where?", "Here.") == f"user: {asked}\nassistant: "
    plain = copy.copy(tiny_tokenizer)
    plain.chat_template = None
    assert prompts.zero_shot_prompt(plain, "Where?", "Here.") == f"{asked}\nAnswer:"
    assert "Document" not in prompts.zero_shot_prompt(plain, "Where?")


def test_a_condition_holds_what_the_adapter_is_made_from_and_nothing_else():
    assert prompts.condition_prompt("Where?", None) == "Question: Where?"
    assert prompts.condition_prompt(None, "Here.") == "Document: Here."
    assert prompts.condition_prompt("Where?", "Here.") == "Document: Here.\nQuestion: Where?"


def test_a_passage_names_its_title():
    assert prompts.passage_text(PARIS) == "Paris: The capital of France."


def test_the_generator_is_asked_for_contexts():
    assert prompts.generator_prompt("Where?") == "Imagine contexts based on the question.\nQuestion: Where?\nContexts:"
