"""What workers build: objectives from a model folder and a few settings, the same on every worker."""

import json
from pathlib import Path

import pytest
import torch

from aag_ray.awaken.hypernetwork import PaperHypernetwork, TokenHypernetwork
from aag_ray.awaken.token_pairs import WhitenedVocabulary
from aag_ray.config import HypernetworkSection, LoraSection, ModelSection, ReaderSection
from aag_ray.train.builders import build_reader, build_reading, build_sft, vocabulary_embeddings

CPU = torch.device("cpu")


@pytest.fixture
def model(tiny_model_folder: Path) -> ModelSection:
    return ModelSection(name=str(tiny_model_folder), dtype="float32")


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    rows = [
        {"id": str(n), "prompt": f"Question: {n}?\nAnswer:", "target": " x\n", "condition": f"Document: number {n} is {n * n}."}
        for n in range(24)
    ]
    path = tmp_path / "examples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_lora_trains_nothing_of_the_base(model: ModelSection):
    objective = build_sft(model, LoraSection(rank=2), 0, CPU)
    trained = {name for name, parameter in objective.named_parameters() if parameter.requires_grad}
    assert trained
    assert all(name.startswith("lora.") for name in trained)


def test_without_a_lora_the_whole_model_is_trained(model: ModelSection):
    objective = build_sft(model, None, 0, CPU)
    assert all(parameter.requires_grad for parameter in objective.parameters())
    assert sum(parameter.numel() for parameter in objective.parameters()) > 50_000


def test_two_workers_build_the_same(model: ModelSection, examples: Path):
    section = ReaderSection(hypernetwork=HypernetworkSection(rank=2, width=16))
    one, other = (build_reader(model, section, None, examples, 3, CPU).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_reading_trains_the_hypernetwork_and_nothing_else(model: ModelSection, examples: Path):
    objective = build_reading(model, ReaderSection(hypernetwork=HypernetworkSection(rank=2, width=16)), examples, 3, CPU)
    assert {name.split(".")[0] for name, _ in objective.named_parameters()} == {"hypernetwork"}


def test_a_reader_starts_from_the_hypernetwork_that_learned_to_read(model: ModelSection, examples: Path, tmp_path: Path):
    section = ReaderSection(hypernetwork=HypernetworkSection(rank=2, width=16))
    reading = build_reading(model, section, examples, 3, CPU)
    assert reading.hypernetwork is not None
    torch.nn.init.normal_(next(reading.hypernetwork.parameters()))
    reading.save_pretrained(tmp_path / "reading")
    reader = build_reader(model, section, None, examples, 3, CPU, start=tmp_path / "reading" / "hypernetwork")
    assert reader.hypernetwork is not None
    started, saved = reader.hypernetwork.state_dict(), reading.hypernetwork.state_dict()
    assert all(torch.equal(started[name], saved[name]) for name in saved)


def test_a_reader_goes_on_from_the_lora_that_answers_from_memory_and_trains_it(
    model: ModelSection, examples: Path, tmp_path: Path
):
    section = ReaderSection(lora=LoraSection(rank=2), hypernetwork=HypernetworkSection(rank=2, width=16))
    answering = build_sft(model, section.lora, 3, CPU)
    assert answering.lora is not None
    for parameter in answering.lora.parameters():
        torch.nn.init.normal_(parameter)
    answering.save_pretrained(tmp_path / "closed_book")
    reader = build_reader(model, section, None, examples, 3, CPU, lora=tmp_path / "closed_book")
    assert reader.lora is not None
    started, saved = reader.lora.state_dict(), answering.lora.state_dict()
    assert all(torch.equal(started[name], saved[name]) for name in saved)
    assert all(parameter.requires_grad for parameter in reader.lora.parameters())


def test_token_pairs_are_whitened_on_the_whole_vocabulary(model: ModelSection, examples: Path):
    section = ReaderSection(hypernetwork=HypernetworkSection(variant="tokens", rank=8))
    reader = build_reader(model, section, None, examples, 3, CPU)
    network, expected = reader.hypernetwork, WhitenedVocabulary(64)
    assert isinstance(network, TokenHypernetwork)
    expected.fit(vocabulary_embeddings(reader.loaded))
    assert len(vocabulary_embeddings(reader.loaded)) == reader.loaded.model.config.vocab_size
    assert torch.equal(network.vocabulary.mean, expected.mean)
    assert torch.equal(network.vocabulary.whitening, expected.whitening)
    assert not torch.equal(expected.whitening, torch.eye(64))


def test_the_paper_variant_is_whitened_on_the_training_conditions(model: ModelSection, examples: Path):
    section = ReaderSection(
        hypernetwork=HypernetworkSection(variant="paper", rank=2, feature_size=8, modules=("q_proj", "v_proj"))
    )
    network = build_reader(model, section, None, examples, 3, CPU).hypernetwork
    assert isinstance(network, PaperHypernetwork)
    assert network.whitening.abs().sum() > 0
    assert network.mean.abs().sum() > 0
