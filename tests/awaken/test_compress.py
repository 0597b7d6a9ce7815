"""Prompt compression: llmlingua's own result, batched; only the passages' text; one outcome for every request."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from aag_ray.awaken.batched_llmlingua import REFERENCE_PARAMETERS, OfflineLlmlingua
from aag_ray.awaken.compress import CompressionRequest, PromptCompressor, compression_report, load_compressor
from aag_ray.config import CompressSection, ModelSection
from aag_ray.llm.load import LoadedModel
from aag_ray.prompts import COMPRESSION_INSTRUCTION
from aag_ray.records import Document, Outcome, Passage, Question

TEXT = "river city old bridge trade Lima 1987 copper wheat festival, museum king. border of the is was é 東京 stone"
WORDS = TEXT.split(" ")


def request(seed: int, passages: int = 5, words: int = 9, target: int = 64) -> CompressionRequest:
    draw = random.Random(seed)
    texts = tuple(f"title: {draw.choice(WORDS)} context: {' '.join(draw.choices(WORDS, k=words))}." for _ in range(passages))
    return CompressionRequest(f"q{seed}", f"What is the {draw.choice(WORDS)} of {draw.choice(WORDS)}?", texts, target)


def llmlingua_itself(model: LoadedModel, asked: CompressionRequest, **options: Any) -> str:
    result = OfflineLlmlingua(model).compress_prompt(
        list(asked.passages),
        instruction=COMPRESSION_INSTRUCTION,
        question=asked.question,
        target_token=asked.target_tokens,
        **REFERENCE_PARAMETERS | options,
    )
    text = result["compressed_prompt"]
    assert text.startswith(f"{COMPRESSION_INSTRUCTION}\n\n")
    assert text.endswith(f"\n\n{asked.question}")
    return text.removeprefix(f"{COMPRESSION_INSTRUCTION}\n\n").removesuffix(f"\n\n{asked.question}").strip()


def test_results_equal_llmlingua_on_sixty_prompts_of_one_to_several_iterations(tiny: LoadedModel):
    requests = [
        request(seed, passages=1 + seed % 6, words=4 + 2 * (seed % 13), target=24 + 16 * (seed % 4)) for seed in range(60)
    ]
    documents = PromptCompressor(tiny).compress(requests)
    assert [document.id for document in documents] == [asked.id for asked in requests]
    assert [document.text for document in documents] == [llmlingua_itself(tiny, asked) for asked in requests]


def test_the_document_holds_neither_the_instruction_nor_the_question(tiny: LoadedModel):
    asked = request(1)
    (document,) = PromptCompressor(tiny).compress([asked])
    assert COMPRESSION_INSTRUCTION not in document.text
    assert asked.question not in document.text
    assert document.outcome is Outcome.OK
    assert 0 < document.tokens < document.origin_tokens


def test_a_row_does_not_depend_on_the_rows_beside_it(tiny: LoadedModel):
    compressor = PromptCompressor(tiny)
    together = compressor.compress([request(seed) for seed in range(4)])
    assert together == [compressor.compress([request(seed)])[0] for seed in range(4)]


def test_every_kind_of_bad_row_has_its_outcome_and_harms_no_other(tiny: LoadedModel):
    good = request(3)
    bad = [
        replace(good, id="none", passages=()),
        replace(good, id="blank", passages=(" ", "\n")),
        replace(good, id="long", question="why " * 3000),
        replace(good, id="unasked", question=" "),
    ]
    documents = PromptCompressor(tiny).compress([*bad, good])
    expected = [Outcome.NO_PASSAGES, Outcome.NO_PASSAGES, Outcome.QUESTION_TOO_LONG, Outcome.FAILED, Outcome.OK]
    assert [document.outcome for document in documents] == expected
    assert all(document.detail for document in documents[:-1])
    assert "at most 512 fit" in documents[2].detail
    assert "necessary to set a question" in documents[3].detail
    assert documents[-1] == PromptCompressor(tiny).compress([good])[0]


def test_a_model_that_fails_on_one_text_fails_the_rows_of_its_batch_only(tiny: LoadedModel):
    huge = replace(request(5), id="huge", passages=("stone " * 800, "king " * 800))
    beyond = 700

    def refuse(module: torch.nn.Module, args: tuple, kwargs: dict) -> None:
        if kwargs["input_ids"].shape[1] > beyond:
            raise RuntimeError("out of memory")

    compressor = PromptCompressor(tiny)
    tiny.model.base_model.register_forward_pre_hook(refuse, with_kwargs=True)
    failed, fine = compressor.compress([huge, request(6)])
    assert (failed.outcome, failed.detail) == (Outcome.FAILED, "RuntimeError: out of memory")
    assert fine.outcome is Outcome.OK


def test_a_model_with_two_stacks_is_refused(tiny: LoadedModel, tiny_t5):
    with pytest.raises(ValueError, match="needs a decoder"):
        PromptCompressor(replace(tiny, model=tiny_t5))


def test_the_report_counts_tokens_outcomes_and_surviving_answers():
    passages = (Passage("p", "Peru", "The capital is Lima."), Passage("q", "Chile", "Santiago."))
    questions = [Question(str(n), "capital?", ("Lima", "LIMA city"), passages) for n in range(4)]
    documents = [
        Document("0", "capital, lima!", tokens=32, origin_tokens=128),
        Document("1", "the Limassol", tokens=96, origin_tokens=128),
        Document("2", "", Outcome.NO_PASSAGES),
        Document("3", "", Outcome.FAILED, "ValueError"),
    ]
    report = compression_report(questions, documents, passages=1, target_tokens=64)
    assert report["outcomes"] == {"ok": 2, "no_passages": 1, "failed": 1}
    assert (report["achieved_over_target_mean"], report["ratio"]) == (1.0, 2.0)
    assert (report["answer_in_passages"], report["answer_in_document"], report["answer_kept"]) == (1.0, 0.5, 0.5)
    assert compression_report([], [], passages=5, target_tokens=64)["ratio"] == 0.0


def test_a_request_takes_the_first_passages_that_have_text():
    contexts = (Passage("1", "A", "one"), Passage("2", "B", " "), Passage("3", "C", "three"), Passage("4", "D", "four"))
    asked = CompressionRequest.of(Question("q", "?", ("x",), contexts), passages=3, target_tokens=64)
    assert asked.passages == ("A: one", "C: three")


def test_a_request_by_sentence_names_what_every_sentence_is_about():
    contexts = (
        Passage("1", "Peru", "Lima is the capital of Peru. Its code is +51. It borders Chile."),
        Passage("2", "Peru", "Its code is +51."),
    )
    asked = CompressionRequest.of(Question("q", "?", ("x",), contexts), 2, 64, "sentence")
    assert asked.passages == ("Lima is the capital of Peru.", "Peru: Its code is +51.", "Peru: It borders Chile.")


def test_only_a_request_that_may_use_the_answer_holds_it():
    question = Question("q", "Capital of Peru?", ("Lima", "Lima city"), (Passage("1", "Peru", "Lima."),))
    assert "Lima" not in CompressionRequest.of(question, 1, 64).question
    assert CompressionRequest.of(question, 1, 64, use_answer=True).question == "Question: Capital of Peru?\nAnswer: Lima"


def test_spare_tokens_are_llmlinguas_context_budget(tiny: LoadedModel):
    requests = [request(seed, passages=12, words=12, target=24) for seed in range(4)]
    texts = [document.text for document in PromptCompressor(tiny, spare_tokens=0).compress(requests)]
    assert texts == [llmlingua_itself(tiny, asked, context_budget="+0") for asked in requests]
    assert texts != [document.text for document in PromptCompressor(tiny).compress(requests)]


def test_llmlingua2_refuses_a_language_model_by_name_and_kind(tiny_model_folder: Path):
    section = CompressSection(method="llmlingua2", model=ModelSection(name=str(tiny_model_folder)))
    with pytest.raises(ValueError, match=r"needs a token classifier.*LlamaForCausalLM"):
        load_compressor(section)
