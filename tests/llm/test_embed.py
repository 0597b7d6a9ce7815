"""Sentence embeddings: as published for the real model, and by every pooling's own definition for a tiny one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from aag_ray.config import ModelSection
from aag_ray.llm.embed import Embedder, pool
from aag_ray.llm.packaged import ModelError
from aag_ray.llm.resolve import ModelNotFound

TEXTS = ["The capital of France", "gold", "", "The country borders its neighbours and the city has many people. " * 3]
MakeFolder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, tiny_tokenizer: PreTrainedTokenizerFast) -> MakeFolder:
    """A tiny random encoder with its tokenizer, and the files of sentence-transformers that are asked for."""

    def made(**files: Any) -> Path:
        torch.manual_seed(29)
        config = BertConfig(
            vocab_size=384,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=96,
            pad_token_id=2,
        )
        BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
        tiny_tokenizer.save_pretrained(tmp_path)
        for name, value in files.items():
            file = tmp_path / {"pooling": "1_Pooling/config.json"}.get(name, f"{name}.json")
            file.parent.mkdir(exist_ok=True)
            file.write_text(value if isinstance(value, str) else json.dumps(value))
        return tmp_path

    return made


def modules(*names: str) -> list[dict[str, Any]]:
    paths = {"Transformer": "", "Pooling": "1_Pooling"}
    return [
        {"idx": at, "name": str(at), "path": paths.get(name, f"{at}_{name}"), "type": f"sentence_transformers.models.{name}"}
        for at, name in enumerate(names)
    ]


def states(embedder: Embedder, text: str) -> np.ndarray:
    """The last hidden states of one text alone, so that nothing is padded."""
    inputs = embedder.tokenizer([text], truncation=True, max_length=embedder.max_tokens, return_tensors="pt")
    return embedder.model(**inputs).last_hidden_state[0].detach().numpy()


def normal(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


DEFINITIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "cls": lambda each: each[0],
    "max": lambda each: each.max(axis=0),
    "mean": lambda each: each.mean(axis=0),
    "mean_sqrt_len_tokens": lambda each: each.sum(axis=0) / np.sqrt(len(each)),
    "weightedmean": lambda each: np.average(each, axis=0, weights=np.arange(1, len(each) + 1)),
    "lasttoken": lambda each: each[-1],
}
FLAG = {"cls": "cls_token", "max": "max_tokens", "mean": "mean_tokens", "weightedmean": "weightedmean_tokens"}


@pytest.mark.parametrize("mode", DEFINITIONS)
@pytest.mark.parametrize("form", ["flags", "name"])
def test_a_vector_is_the_pooled_states_whatever_is_padded_beside_it(folder: MakeFolder, mode: str, form: str) -> None:
    settings = {"pooling_mode": mode} if form == "name" else {f"pooling_mode_{FLAG.get(mode, mode)}": True}
    embedder = Embedder.load(str(folder(modules=modules("Transformer", "Pooling"), pooling=settings)), device="cpu")
    texts = [text for text in TEXTS if text]
    vectors = embedder.embed(texts)
    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_allclose(vector, normal(DEFINITIONS[mode](states(embedder, text))), atol=1e-5)


def test_several_poolings_stand_side_by_side(folder: MakeFolder) -> None:
    settings = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    embedder = Embedder.load(str(folder(pooling=settings)), device="cpu")
    each = states(embedder, "gold")
    assert embedder.size == 64
    np.testing.assert_allclose(embedder.embed(["gold"])[0], normal(np.concatenate([each[0], each.mean(axis=0)])), atol=1e-5)


def test_a_plain_encoder_is_pooled_by_its_mean(folder: MakeFolder) -> None:
    embedder = Embedder.load(str(folder()), device="cpu")
    assert embedder.recipe.pooling == ("mean",)


def test_vectors_are_float32_of_length_one_in_the_order_of_the_texts(folder: MakeFolder) -> None:
    embedder = Embedder.load(str(folder()), device="cpu")
    texts = ["b " * length for length in (9, 1, 30, 4, 17)]
    vectors = embedder.embed(texts, batch=2)
    assert (vectors.shape, vectors.dtype) == ((5, 32), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_allclose(embedder.embed([text])[0], vector, atol=1e-5)


def test_nothing_gives_no_rows(folder: MakeFolder) -> None:
    assert Embedder.load(str(folder()), device="cpu").embed([]).shape == (0, 32)


def test_an_empty_text_has_a_vector_of_finite_numbers(folder: MakeFolder) -> None:
    assert np.isfinite(Embedder.load(str(folder()), device="cpu").embed(["", "gold"])).all()


@pytest.mark.parametrize(("settings", "tokens"), [({"max_seq_length": 8}, 8), ({}, 96)])
def test_a_long_text_is_cut_where_the_folder_says(folder: MakeFolder, settings: dict[str, int], tokens: int) -> None:
    embedder = Embedder.load(str(folder(sentence_bert_config=settings)), device="cpu")
    assert embedder.max_tokens == tokens
    text = "word " * 200
    np.testing.assert_allclose(embedder.embed([text])[0], normal(states(embedder, text).mean(axis=0)), atol=1e-5)
    assert len(states(embedder, text)) == tokens


def test_the_default_prompt_is_written_before_every_text(folder: MakeFolder) -> None:
    prompts = {"prompts": {"query": "query: ", "other": "x"}, "default_prompt_name": "query"}
    with_prompt = Embedder.load(str(folder(config_sentence_transformers=prompts)), device="cpu").embed(["gold"])
    plain = Embedder.load(str(folder(config_sentence_transformers={"prompts": {"query": "query: "}})), device="cpu")
    np.testing.assert_allclose(with_prompt, plain.embed(["query: gold"]), atol=1e-6)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"modules": modules("Transformer", "Pooling", "Dense")}, "modules.json has a module Dense; known are Transformer"),
        ({"pooling": {"pooling_mode": "attention"}}, "asks for the pooling attention; known are cls, max, mean"),
        ({"pooling": {"pooling_mode_mean_tokens": False}}, "asks for the pooling none"),
        ({"modules": "{"}, "modules.json is not readable JSON"),
        ({"modules": {}}, "modules.json is no JSON list but dict"),
    ],
)
def test_a_recipe_that_is_not_known_is_refused(folder: MakeFolder, files: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Embedder.load(str(folder(**files)), device="cpu")


def test_a_folder_that_is_no_encoder_is_refused(folder: MakeFolder) -> None:
    place = folder()
    (place / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be loaded"):
        Embedder.load(str(place), device="cpu")


def test_a_name_that_leads_nowhere_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        Embedder.load(str(tmp_path / "nowhere"))


def test_a_batch_holds_something(folder: MakeFolder) -> None:
    with pytest.raises(ValueError, match="batch=0 must be at least 1"):
        Embedder.load(str(folder()), device="cpu").embed(["a"], batch=0)


def test_a_row_of_padding_alone_pools_to_finite_numbers() -> None:
    mask = torch.zeros(1, 3, dtype=torch.long)
    for mode in ("mean", "weightedmean", "mean_sqrt_len_tokens"):
        assert torch.isfinite(pool(mode, torch.ones(1, 3, 4), mask)).all()


@pytest.fixture(scope="module")
def minilm() -> Embedder:
    return Embedder.load(device="cpu")


@pytest.mark.model
class TestTheDefaultModel:
    def test_it_gives_the_similarities_of_the_sentence_transformers_quickstart(self, minilm: Embedder) -> None:
        vectors = minilm.embed(["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."])
        published = [[1.0000, 0.6660, 0.1046], [0.6660, 1.0000, 0.1411], [0.1046, 0.1411, 1.0000]]
        np.testing.assert_allclose(vectors @ vectors.T, published, atol=1e-3)

    def test_it_gives_the_similarities_of_the_hubs_inference_example(self, minilm: Embedder) -> None:
        source, *others = minilm.embed(
            ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
        )
        np.testing.assert_allclose(np.stack(others) @ source, [0.6945773, 0.9429150, 0.2568760], atol=1e-3)

    def test_its_recipe_is_read_from_its_folder(self, minilm: Embedder) -> None:
        assert (minilm.recipe.pooling, minilm.max_tokens, minilm.size) == (("mean",), 256, 384)

    def test_it_can_be_computed_in_bfloat16(self, minilm: Embedder) -> None:
        half = Embedder.load(ModelSection(name="all-minilm-l6-v2", dtype="bfloat16"), device="cpu")
        vector = half.embed(["The capital of Peru is Lima."])
        assert vector.dtype == np.float32
        assert float(vector[0] @ minilm.embed(["The capital of Peru is Lima."])[0]) > 0.99
