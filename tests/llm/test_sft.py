"""Supervised fine-tuning: loss on the target only, of a LoRA or the whole model, for decoders and encoder-decoders."""

import pytest
import torch

from aag_ray.config import LoraSection, ModelSection
from aag_ray.llm.adapters import AdapterError
from aag_ray.llm.load import LoadedModel, load_model
from aag_ray.llm.sft import SftObjective, load_lora, lora_modules, new_lora, save_lora, static_lora_rank

EXAMPLES = [
    {"id": "1", "prompt": "Question: What is the capital of France?\nAnswer:", "target": " Paris\n"},
    {"id": "2", "prompt": "gold?", "target": " The symbol of gold is Au.\n"},
    {"id": "3", "prompt": "Question: Which currency does Japan use?\nContexts:", "target": " yen\n"},
]


@pytest.fixture
def tiny_seq2seq(tiny_t5, tiny_tokenizer, tmp_path):
    tiny_t5.requires_grad_(False)
    return LoadedModel(tiny_t5, tiny_tokenizer, torch.device("cpu"), torch.float32, "tiny-t5", tmp_path)


@pytest.fixture(params=["decoder", "encoder-decoder"])
def loaded(request, tiny):
    return tiny if request.param == "decoder" else request.getfixturevalue("tiny_seq2seq")


def trained_a_little(objective, steps=5):
    optimiser = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        objective(EXAMPLES)["loss"].backward()
        optimiser.step()
    return objective


def test_the_loss_of_a_decoder_is_its_own_on_the_target_only(tiny):
    for example in EXAMPLES:
        prompt = tiny.tokenizer(example["prompt"])["input_ids"]
        target = tiny.tokenizer(example["target"])["input_ids"]
        ids = torch.tensor([prompt + target])
        labels = torch.tensor([[-100] * len(prompt) + target])
        expected = tiny.model(input_ids=ids, labels=labels).loss
        torch.testing.assert_close(SftObjective(tiny, None)([example])["loss"], expected, atol=1e-5, rtol=1e-5)


def test_the_loss_of_an_encoder_decoder_is_its_own_on_the_target_and_its_end(tiny_seq2seq):
    tokenizer = tiny_seq2seq.tokenizer
    for example in EXAMPLES:
        ids = torch.tensor([tokenizer(example["prompt"])["input_ids"]])
        labels = torch.tensor([[*tokenizer(example["target"].strip())["input_ids"], tokenizer.eos_token_id]])
        expected = tiny_seq2seq.model(input_ids=ids, labels=labels).loss
        torch.testing.assert_close(SftObjective(tiny_seq2seq, None)([example])["loss"], expected, atol=1e-5, rtol=1e-5)


def test_other_rows_and_padding_do_not_change_a_row_s_loss(loaded):
    objective = SftObjective(loaded, None)
    together = objective.row_losses(EXAMPLES)
    alone = torch.stack([objective.row_losses([example])[0] for example in EXAMPLES])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(objective(EXAMPLES)["loss"], together.mean())
    assert objective.score(EXAMPLES) == pytest.approx((-together).tolist())


def test_a_lora_is_trained_beside_a_frozen_base(loaded):
    before = {name: weight.clone() for name, weight in loaded.model.state_dict().items()}
    objective = SftObjective(loaded, new_lora(loaded, LoraSection(rank=2), seed=1))
    first = objective(EXAMPLES)["loss"].item()
    assert {name.split(".")[0] for name in objective.state_dict()} == {"lora"}
    trained_a_little(objective)
    assert objective(EXAMPLES)["loss"].item() < first
    assert all(p.grad is not None for p in objective.parameters())
    assert all(p.grad is None and not p.requires_grad for p in loaded.model.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in loaded.model.state_dict().items())


def test_the_whole_model_is_trained_without_a_lora(loaded):
    objective = SftObjective(loaded, None)
    first = objective(EXAMPLES)["loss"].item()
    assert {id(p) for p in objective.parameters()} == {id(p) for p in loaded.model.parameters()}
    trained_a_little(objective)
    assert objective(EXAMPLES)["loss"].item() < first


def test_a_base_that_is_shared_out_over_workers_is_registered_and_stays_frozen(tiny):
    objective = SftObjective(tiny, new_lora(tiny, LoraSection(), seed=1), shard_base=True)
    assert objective.base is tiny.model
    assert {name.split(".")[0] for name, p in objective.named_parameters() if p.requires_grad} == {"lora"}


def test_length_is_what_a_decoder_reads(tiny):
    objective = SftObjective(tiny, None, longest=20)
    texts = [example["prompt"] + example["target"] for example in EXAMPLES]
    lengths = [len(tiny.tokenizer(text)["input_ids"]) for text in texts]
    assert [SftObjective(tiny, None).length(example) for example in EXAMPLES] == lengths
    assert [objective.length(example) for example in EXAMPLES] == [min(20, length) for length in lengths]


def test_a_lora_is_saved_and_loaded_with_equal_losses(loaded, tmp_path):
    objective = trained_a_little(SftObjective(loaded, new_lora(loaded, LoraSection(rank=2, alpha=6), seed=1)), steps=2)
    objective.save_pretrained(tmp_path / "lora")
    back = load_lora(tmp_path / "lora")
    assert not any(p.requires_grad for p in back.parameters())
    assert torch.equal(SftObjective(loaded, back).row_losses(EXAMPLES), objective.row_losses(EXAMPLES))
    assert {file.name for file in (tmp_path / "lora").iterdir()} == {"config.json", "model.safetensors"}
    save_lora(back, tmp_path / "again")
    assert (tmp_path / "again" / "config.json").read_text() == (tmp_path / "lora" / "config.json").read_text()


def test_a_whole_model_is_saved_and_loaded_with_equal_losses(tiny, tmp_path):
    objective = trained_a_little(SftObjective(tiny, None), steps=2)
    objective.save_pretrained(tmp_path)
    back = load_model(ModelSection(name=str(tmp_path), dtype="float32"), device="cpu")
    torch.testing.assert_close(SftObjective(back, None).row_losses(EXAMPLES), objective.row_losses(EXAMPLES))


def test_modules_are_called_as_the_model_calls_them(tiny, tiny_seq2seq):
    section = LoraSection(modules=("q_proj", "v_proj", "up_proj", "down_proj"))
    assert lora_modules(tiny, section) == ["q_proj", "v_proj", "up_proj", "down_proj"]
    assert lora_modules(tiny_seq2seq, section) == ["q", "v", "wi", "wo"]
    layers = new_lora(tiny_seq2seq, section, seed=1).layers
    assert {name.rsplit(".", 1)[-1] for name in layers} == {"q", "v", "wi", "wo"}
    assert {name.split(".")[0] for name in layers} == {"encoder", "decoder"}
    tiny_seq2seq.model.config.is_gated_act = True
    assert lora_modules(tiny_seq2seq, LoraSection(modules=("gate_proj", "up_proj"))) == ["wi_0", "wi_1"]


def test_modules_that_the_model_does_not_have_are_named(tiny_seq2seq):
    tiny_seq2seq.model.config.is_gated_act = True
    with pytest.raises(AdapterError, match=r"no linear layer named \['wi_0'\]"):
        new_lora(tiny_seq2seq, LoraSection(modules=("gate_proj",)), seed=1)


def test_another_rank_keeps_the_scale(tiny):
    section = LoraSection(rank=8, alpha=16)
    assert new_lora(tiny, section, seed=1).scale == new_lora(tiny, section, seed=1, rank=50).scale == 2.0


@pytest.mark.parametrize("parameters", [3_000, 14_000, 50_000])
def test_the_static_rank_gives_about_the_number_of_parameters_asked_for(tiny, parameters):
    section = LoraSection()
    lora = new_lora(tiny, section, seed=1, rank=static_lora_rank(tiny, section, parameters))
    one_rank = sum(p.numel() for p in new_lora(tiny, section, seed=1, rank=1).parameters())
    assert abs(sum(p.numel() for p in lora.parameters()) - parameters) <= one_rank / 2
    assert static_lora_rank(tiny, section, 1) == 1
