"""Trained and asked on a GPU that is pretended: no tensor stays behind on the CPU, and every number is the CPU's."""

import json
from pathlib import Path

import pytest
import torch

from aag_ray.awaken.awakened import AwakeningModel, AwakeningSettings
from aag_ray.awaken.compress import CompressionRequest, PromptCompressor
from aag_ray.awaken.generator import DocumentGenerator
from aag_ray.config import (
    DistillSection,
    FidDistillSection,
    FidHypernetworkSection,
    FidLoraSection,
    FidReaderSection,
    HypernetworkSection,
    InternalizerSection,
    LoraSection,
    ModelSection,
    ReaderSection,
    TrainingSection,
)
from aag_ray.llm.load import load_model
from aag_ray.train.builders import build_fid_reader, build_internalizer, build_reader, build_sft
from aag_ray.train.log import read_log
from aag_ray.train.loop import run
from aag_ray.train.tags import build_dpo
from tests.pretend_gpu import GPU, pretend_gpu

CPU = torch.device("cpu")
LORA = LoraSection(rank=2)
TRAINING = TrainingSection(steps=3, batch=4, dev_every=2, checkpoint_every=2, dev_examples=4, learning_rate=1e-2)
ALIGNED = DistillSection(hidden_weight=1.0, attention_weight=1.0)


def row(number):
    prompt, answer = f"Question: {number}?\nAnswer:", f" {number * number}\n"
    document = f"Document: the square of {number} is {number * number}."
    taught = f"{document}\n{prompt}" if number % 2 else None
    return {"id": str(number), "prompt": prompt, "target": answer, "condition": document, "teacher_prompt": taught}


ROWS = [row(number) for number in range(12)]


@pytest.fixture
def model(tiny_model_folder) -> ModelSection:
    return ModelSection(name=str(tiny_model_folder), dtype="float32")


@pytest.fixture
def examples(tmp_path) -> Path:
    path = tmp_path / "examples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture
def lora(model, tmp_path) -> Path:
    run(build_sft(model, LORA, 0, CPU), ROWS, ROWS[:4], TRAINING, seed=1, folder=tmp_path / "sft", show=lambda _: None)
    return tmp_path / "sft" / "best"


def learns_the_same(build, folder, rows=ROWS):
    """Losses of every step and scores on dev, of a training that is built on either device."""

    def curve(device):
        run(build(device), rows, rows[:4], TRAINING, seed=1, folder=folder / device.type, show=lambda _: None)
        return [line[name] for line in read_log(folder / device.type / "log.jsonl") for name in ("loss", "dev") if name in line]

    on_cpu = curve(CPU)
    with pretend_gpu() as gpu:
        on_gpu = curve(gpu)
    assert len(on_cpu) == 5
    assert on_gpu == pytest.approx(on_cpu, rel=1e-4)


class TestThePretence:
    def test_is_that_tensors_of_two_places_do_not_meet(self):
        with pretend_gpu():
            there = torch.ones(3, device="cuda")
            assert there.device == GPU
            assert (there * 2 + 1).tolist() == [3, 3, 3]
            assert there[[0, 2]].cpu().device == CPU
            with pytest.raises(RuntimeError, match="expected all tensors on the same device"):
                torch.add(there, torch.ones(3))
            with pytest.raises(TypeError, match="numpy"):
                there.numpy()

    def test_ends_with_its_block(self):
        with pretend_gpu():
            pass
        assert not torch.cuda.is_available()
        assert torch.ones(3).to("cpu").numpy().sum() == 3


class TestTraining:
    @pytest.mark.parametrize("section", [LORA, None])
    def test_of_a_lora_or_the_whole_model(self, model, tmp_path, section):
        learns_the_same(lambda device: build_sft(model, section, 0, device), tmp_path)

    @pytest.mark.parametrize("variant", ["latents", "tokens", "paper"])
    def test_of_a_reader_with_its_teacher(self, model, examples, lora, tmp_path, variant):
        network = HypernetworkSection(variant=variant, modules=("down_proj",), rank=2, width=16)
        section = ReaderSection(hypernetwork=network, lora=LORA, distill=ALIGNED)
        learns_the_same(lambda device: build_reader(model, section, lora, examples, 3, device), tmp_path)

    def test_of_an_internalizer_of_joined_documents_with_several_questions(self, model, examples, lora, tmp_path):
        network = HypernetworkSection(variant="tokens", modules=("down_proj",), rank=8, width=4)
        section = InternalizerSection(hypernetwork=network)
        asked = [{name: row(number)[name] for name in ("prompt", "target", "teacher_prompt")} for number in range(3)]
        rows = [one | {"beside": number % 3, "also": asked[: number % 4]} for number, one in enumerate(ROWS)]
        learns_the_same(lambda device: build_internalizer(model, section, lora, examples, 3, device), tmp_path, rows)

    @pytest.mark.parametrize("variant", ["latents", "paper"])
    def test_of_a_reader_that_fuses_passages(self, tiny_t5, tiny_tokenizer, examples, tmp_path, variant):
        tiny_t5.save_pretrained(tmp_path / "t5")
        tiny_tokenizer.save_pretrained(tmp_path / "t5")
        t5 = ModelSection(name=str(tmp_path / "t5"), dtype="float32")
        distill = FidDistillSection(encoder_hidden=1.0, decoder_hidden=1.0, encoder_attention=1.0, cross_attention=1.0)
        network = FidHypernetworkSection(variant=variant, rank=2, width=16, feature_size=5)
        parts = {"hypernetwork": network, "lora": FidLoraSection(rank=2), "trained": ("norms",), "distill": distill}
        section = FidReaderSection.model_validate({"longest": 48, "longest_answer": 8, **parts})
        plain = FidReaderSection(
            longest=48, hypernetwork=None, lora=None, trained=("norms",), distill=FidDistillSection(kd=False)
        )
        build_fid_reader(t5, plain, None, examples, 5, CPU).reader.save_pretrained(tmp_path / "teacher")
        rows = [one | {"inputs": [one["prompt"]] * 2, "teacher_inputs": [one["condition"], one["prompt"]]} for one in ROWS]
        learns_the_same(lambda device: build_fid_reader(t5, section, tmp_path / "teacher", examples, 3, device), tmp_path, rows)

    def test_of_preferences(self, model, lora, tmp_path):
        rows = [{"id": one["id"], "prompt": one["prompt"], "chosen": one["target"], "rejected": " no\n"} for one in ROWS]
        learns_the_same(lambda device: build_dpo(model, LORA, lora, 0.1, 1, None, device), tmp_path, rows)

    def test_goes_on_from_a_checkpoint(self, model, tmp_path):
        class Stop(Exception):
            pass

        def stopping(records):
            if records[-1]["step"] == 3:
                raise Stop

        def losses():
            return [line["loss"] for line in read_log(tmp_path / "log.jsonl")]

        with pretend_gpu() as gpu:
            with pytest.raises(Stop):
                run(build_sft(model, LORA, 0, gpu), ROWS, ROWS[:4], TRAINING, seed=1, folder=tmp_path, show=stopping)
            first = losses()
            run(build_sft(model, LORA, 0, gpu), ROWS, ROWS[:4], TRAINING, seed=1, folder=tmp_path, show=lambda _: None)
        assert losses()[: len(first)] == pytest.approx(first, rel=1e-5)
        assert len(losses()) == 3


class TestAnswers:
    @pytest.mark.parametrize("variant", ["latents", "tokens", "paper"])
    def test_are_the_cpu_s(self, model, examples, lora, tmp_path, variant):
        network = HypernetworkSection(variant=variant, modules=("down_proj",), rank=8, width=16)
        section = ReaderSection(hypernetwork=network, lora=LORA, distill=DistillSection(kd=False))
        trained = build_reader(model, section, None, examples, 3, CPU)
        for parameter in trained.parameters():
            parameter.data += 0.05
        assert trained.hypernetwork is not None
        loaded = load_model(model, "cpu")
        settings = AwakeningSettings(model.name, "generator", max_document_tokens=6, max_answer_tokens=6)
        writer = DocumentGenerator(loaded, None, 6)
        AwakeningModel(loaded, settings, writer, trained.lora, trained.hypernetwork).save_pretrained(tmp_path / "model")

        def answers(device):
            awakening = AwakeningModel.from_pretrained(tmp_path / "model", load_model(model, device))
            awakened = awakening.awaken("Which colour is gold?")
            awakening.internalize("Gold is a yellow metal. " * 30, "Tin is grey.")
            return awakened.document, awakened.answer(), awakening.answer("Which colour is tin?")

        on_cpu = answers("cpu")
        with pretend_gpu():
            assert answers("cuda") == on_cpu

    def test_and_compressed_passages_are_the_cpu_s(self, model):
        passages = tuple(f"title: {name} context: {name} is a metal of the {n}th group." for n, name in enumerate(("Au", "Sn")))
        asked = [CompressionRequest("1", "Which group is gold of?", passages, 24)]

        def text(device):
            return PromptCompressor(load_model(model, device)).compress(asked)[0]

        on_cpu = text("cpu")
        assert on_cpu.text
        with pretend_gpu():
            assert text("cuda") == on_cpu
