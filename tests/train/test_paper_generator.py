"""The configuration of the paper's context generator: its settings, and a step and a document on a small T5."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from aag_ray.awaken.generator import DocumentGenerator
from aag_ray.awaken.mixture import generator_examples
from aag_ray.config import ModelSection, TrainAagConfig, TrainFidConfig, TrainingSection
from aag_ray.llm.load import load_model
from aag_ray.llm.sft import is_lora
from aag_ray.records import Document, Question
from aag_ray.settings import load_config
from aag_ray.train.builders import build_sft
from aag_ray.train.loop import run

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "paper"
QUESTIONS = [Question(name, f"Where is {name}?", ("there",)) for name in ("Cusco", "Lyon", "Osaka")]
DOCUMENTS = {each.id: Document(each.id, f"{each.id} is there.") for each in QUESTIONS}


@pytest.fixture
def config() -> TrainAagConfig:
    return load_config(TrainAagConfig, FOLDER / "t5_large_generator.yaml")


def test_the_settings_are_the_paper_s(config: TrainAagConfig):
    generator, compress = config.generator, config.compress
    assert generator.model is not None
    assert (generator.model.name, generator.tune) == ("google-t5/t5-large", "full")
    assert (compress.method, compress.passages, compress.target_tokens) == ("longllmlingua", 5, 64)
    assert compress.train_questions == 30_000
    assert generator.training.steps * generator.training.batch == pytest.approx(3 * compress.train_questions, rel=0.01)
    assert generator.max_document_tokens >= 280


@pytest.mark.parametrize("path", sorted(FOLDER.glob("t5_*_document*.yaml")), ids=lambda path: path.stem)
def test_the_readers_read_what_it_writes(config: TrainAagConfig, path: Path):
    reader = load_config(TrainFidConfig, path)
    assert reader.documents == config.run.root / config.run.name / "predict" / "documents.parquet"
    assert reader.data.files == config.data.files


def test_it_is_built_trains_a_step_and_writes(config: TrainAagConfig, tmp_path: Path, tiny_tokenizer: PreTrainedTokenizerFast):
    torch.manual_seed(29)
    small = T5Config(
        vocab_size=len(tiny_tokenizer), d_model=32, num_heads=4, d_kv=8, d_ff=128, num_layers=2, eos_token_id=1, pad_token_id=2
    )  # T5-large's proportions
    small.decoder_start_token_id = 2
    T5ForConditionalGeneration(small).save_pretrained(tmp_path / "t5")
    tiny_tokenizer.save_pretrained(tmp_path / "t5")
    assert config.generator.model is not None
    model = ModelSection(name=str(tmp_path / "t5"), dtype=config.generator.model.dtype)
    objective = build_sft(model, None, config.seed, torch.device("cpu"))
    before = {name: weight.clone() for name, weight in objective.state_dict().items()}
    examples, one = generator_examples(QUESTIONS, DOCUMENTS), TrainingSection(steps=1, batch=3, warmup_steps=0, dev_examples=1)
    assert run(objective, examples, examples[:1], one, seed=1, folder=tmp_path / "run", show=lambda line: None)["steps"] == 1
    assert any(not torch.equal(weight, before[name]) for name, weight in objective.state_dict().items())

    best = tmp_path / "run" / "best"
    assert not is_lora(best)
    writer = DocumentGenerator.from_pretrained(load_model(ModelSection(name=str(best), dtype="float32"), "cpu"), best, 6)
    written = writer.write([each.id for each in QUESTIONS], [each.question for each in QUESTIONS])
    assert [(document.id, document.tokens <= 6) for document in written] == [(each.id, True) for each in QUESTIONS]
