"""LLMLingua-2: llmlingua's result with its own padded one-prompt classifier calls, batched over questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    BertConfig,
    BertForTokenClassification,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaForTokenClassification,
)

from aag_ray.awaken.compress import CompressionRequest, load_compressor
from aag_ray.awaken.llmlingua2 import BatchedLlmlingua2, TokenClassifierCompressor
from aag_ray.config import CompressSection, ModelSection
from aag_ray.records import Outcome

PIECES = ["the", "cap", "##ital", "of", "Peru", "is", "Lima", "a", "city", "on", "co", "##ast", "old", ".", "big", "##gest"]
WORDS = ["the", "capital", "of", "Peru", "is", "Lima", "a", "city", "on", "coast", "old", "biggest", "."]


def bert_tokenizer() -> PreTrainedTokenizerFast:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {piece: index for index, piece in enumerate(special + PIECES)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def xlmr_tokenizer() -> PreTrainedTokenizerFast:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *(f"▁{word}" for word in WORDS), *"abcdefghiklmnoprstuPL.▁"]
    tokenizer = Tokenizer(models.Unigram([(piece, -float(index)) for index, piece in enumerate(pieces)], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    names = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", **names)


def classifier(family: str) -> tuple[Any, PreTrainedTokenizerFast]:
    torch.manual_seed(29)
    tokenizer = bert_tokenizer() if family == "bert" else xlmr_tokenizer()
    sizes: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    sizes |= {
        "pad_token_id": tokenizer.pad_token_id,
        "vocab_size": len(tokenizer),
        "num_labels": 2,
        "max_position_embeddings": 516,
        "initializer_range": 0.5,
    }
    if family == "bert":
        return BertForTokenClassification(BertConfig(**sizes)).eval(), tokenizer
    return XLMRobertaForTokenClassification(XLMRobertaConfig(**sizes)).eval(), tokenizer


def requests(count: int) -> list[CompressionRequest]:
    def passage(seed: int) -> str:
        return " ".join(WORDS[(seed * 5 + position * (seed + 3)) % len(WORDS)] for position in range(12 + 9 * (seed % 5)))

    return [CompressionRequest(f"q{n}", "?", tuple(passage(7 * n + m) for m in range(1 + n % 4)), 20) for n in range(count)]


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_results_equal_llmlingua_calling_the_padded_classifier_itself(family: str):
    model, tokenizer = classifier(family)
    documents = TokenClassifierCompressor(model, tokenizer).compress(requests(12))
    assert {document.outcome for document in documents} == {Outcome.OK}
    for asked, document in zip(requests(12), documents, strict=True):
        itself = BatchedLlmlingua2(model.config, tokenizer, lockstep=None)  # type: ignore[arg-type]  # not asked: the model is
        itself.model = model
        result = itself.compress_prompt(list(asked.passages), target_token=20)["compressed_prompt"]
        assert document.text == result.strip()
        assert document.tokens <= document.origin_tokens


def test_a_saved_classifier_is_used_by_configuration(tmp_path: Path):
    model, tokenizer = classifier("bert")
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    section = CompressSection(method="llmlingua2", model=ModelSection(name=str(tmp_path), dtype="float32"))
    asked = [*requests(3), CompressionRequest("none", "?", (), 20)]
    documents = load_compressor(section).compress(asked)
    assert [document.outcome for document in documents] == [Outcome.OK] * 3 + [Outcome.NO_PASSAGES]


def test_an_architecture_whose_words_are_unknown_is_refused(tiny):
    with pytest.raises(ValueError, match="'llama'"):
        TokenClassifierCompressor(tiny.model, tiny.tokenizer)
