"""The whole reader: what is trained, what it answers with, and that it comes back from its folder."""

import json

import pytest
import torch

from aag_ray.awaken.fid_reader import FidReader
from aag_ray.awaken.hypernetwork import build_hypernetwork
from aag_ray.awaken.t5_layers import base_weights, placed_lora, placed_shapes
from aag_ray.config import FidHypernetworkSection, FidLoraSection
from aag_ray.llm.adapters import AdapterError, applied
from aag_ray.llm.resolve import ModelNotFound

INPUTS = [
    ["question: What is gold? title: Gold context: The symbol of gold is Au.", "question: What is gold? title: A context: B"],
    ["question: Which currency?"],
    ["question: Who?", "question: Who? title: City context: Many people.", "question: Who? title: C context: D"],
]
CONDITIONS = ["Document: The symbol of gold is Au.", "Question: Which currency?", "Question: Who?"]
PARTS = [("lora",), ("hypernetwork",), ("lora", "hypernetwork"), ()]


@pytest.fixture
def reader(t5, moved):
    def build(parts=("lora", "hypernetwork"), trained=(), shape="3b", seed=29, **more):
        loaded = t5(shape, seed)
        given = {}
        if "lora" in parts:
            given["lora"] = moved(placed_lora(loaded, FidLoraSection(rank=2), 1), 0.3)
        if "hypernetwork" in parts:
            section = FidHypernetworkSection(rank=2, width=16)
            given["hypernetwork"] = moved(
                build_hypernetwork(section, placed_shapes(loaded, section), loaded.model.config.d_model), 0.3
            )
        return FidReader(loaded, **given, trained=trained, longest=48, longest_answer=5, **more)

    return build


class TestTrainedParts:
    @pytest.mark.parametrize("parts", PARTS)
    @pytest.mark.parametrize("trained", [(), ("norms",), ("norms", "embeddings", "feed_forward"), ("all",)])
    def test_are_the_registered_parameters_that_want_a_gradient(self, reader, parts, trained):
        one = reader(parts, trained)
        wanted = {id(p) for part in (one.lora, one.hypernetwork) if part is not None for p in part.parameters()}
        wanted |= {id(p) for p in base_weights(one.loaded.model, trained).values()}
        assert {id(p) for p in one.parameters() if p.requires_grad} == wanted
        assert hasattr(one, "base") == bool(trained)

    def test_are_counted_by_part(self, reader):
        one = reader(trained=("norms", "feed_forward"))
        counts = one.trained_counts()
        assert set(counts) == {"lora", "hypernetwork", "norms", "feed_forward"}
        assert sum(counts.values()) == sum(p.numel() for p in one.parameters() if p.requires_grad)
        assert counts["norms"] == 12 * 32  # two in each encoder layer, three in each decoder layer, one behind either stack

    def test_hold_a_base_that_is_sharded_although_nothing_of_it_is_trained(self, reader):
        one = reader(shard_base=True)
        assert not any(p.requires_grad for p in one.base.parameters())

    def test_are_trained_without_dropout(self, reader):
        one = reader(trained=("all",)).train()
        assert not any(module.training for module in one.base.modules())
        assert one.training
        assert one.hypernetwork.training


class TestAnswers:
    def test_come_in_the_order_asked_whatever_the_batch(self, reader):
        one = reader()
        together = one.answer(INPUTS, CONDITIONS)
        assert one.answer(INPUTS, CONDITIONS, batch=1) == together
        assert one.answer(INPUTS[::-1], CONDITIONS[::-1], batch=2) == together[::-1]
        assert all(written.new_tokens <= 5 for written in together)

    def test_are_as_long_as_asked_and_searched_with_beams(self, reader):
        assert all(written.new_tokens <= 2 for written in reader().answer(INPUTS, CONDITIONS, max_new_tokens=2, beams=2))

    def test_follow_the_condition(self, reader):
        one = reader(("hypernetwork",))
        scores = [one.passage_scores(INPUTS[:1], [condition])[0][0].score for condition in CONDITIONS[:2]]
        assert abs(scores[0] - scores[1]) > 1e-5

    def test_need_a_condition_where_there_is_a_hypernetwork(self, reader):
        with pytest.raises(ValueError, match="1 of 3 examples have no condition to make their adapters from"):
            reader().answer(INPUTS, [CONDITIONS[0], None, CONDITIONS[2]], batch=3)

    def test_need_none_elsewhere(self, reader):
        assert len(reader(("lora",)).answer(INPUTS)) == 3


class TestGoldAnswers:
    ANSWERS = ("Au", "the yen", "Paris")

    def test_are_seen_as_the_whole_model_sees_them_without_their_end(self, reader):
        one = reader(("lora",))
        for inputs, answer, seen in zip(INPUTS, self.ANSWERS, one.read_gold(INPUTS, self.ANSWERS), strict=True):
            told = one.fid.targets([answer], one.longest_answer)
            with torch.no_grad(), applied(one.loaded.model, one.lora()):
                logits, _ = one.fid.decode(one.fid.encode([one.tokens(inputs)]), told)
            own = slice(0, len(told.label) - 1)
            assert told.label[-1] == one.fid.tokenizer.eos_token_id
            likelihood = logits.log_softmax(-1)[own].gather(1, told.label[own, None])
            assert seen.cross_entropy == pytest.approx(float(-likelihood.mean()), rel=1e-4)
            assert seen.accuracy == pytest.approx(float((logits.argmax(-1) == told.label)[own].float().mean()))

    def test_are_the_same_in_any_batch_and_follow_the_condition(self, reader):
        one = reader()
        together = one.read_gold(INPUTS, self.ANSWERS, CONDITIONS)
        alone = one.read_gold(INPUTS, self.ANSWERS, CONDITIONS, batch=1)
        entropies = [each.cross_entropy for each in together]
        assert entropies == pytest.approx([each.cross_entropy for each in alone], rel=1e-4)
        others = one.read_gold(INPUTS, self.ANSWERS, CONDITIONS[::-1])
        assert abs(others[0].cross_entropy - entropies[0]) > 1e-5


class TestFolder:
    @pytest.mark.parametrize("parts", PARTS)
    @pytest.mark.parametrize("trained", [(), ("norms", "embeddings"), ("all",)])
    def test_brings_back_every_trained_weight(self, reader, t5, tmp_path, parts, trained):
        one = reader(parts, trained)
        with torch.no_grad():
            for number, weight in enumerate(base_weights(one.loaded.model, trained).values()):
                weight += 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
        one.save_pretrained(tmp_path)
        back = FidReader.from_pretrained(tmp_path, t5("3b"))
        assert not any(p.requires_grad for p in back.parameters())
        assert (back.longest, back.longest_answer, back.trained) == (48, 5, trained)
        assert back.passage_scores(INPUTS, CONDITIONS) == one.passage_scores(INPUTS, CONDITIONS)
        assert back.answer(INPUTS, CONDITIONS) == one.answer(INPUTS, CONDITIONS)

    def test_holds_only_what_was_trained(self, reader, tmp_path):
        reader(("lora",), ("norms",)).save_pretrained(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"lora", "base.safetensors", "fid.json"}
        assert json.loads((tmp_path / "fid.json").read_text())["trained"] == ["norms"]
        assert (tmp_path / "base.safetensors").stat().st_size < 10_000

    def test_names_its_base_model_so_that_nothing_else_is_needed(self, reader, t5, tiny_tokenizer, tmp_path):
        loaded = t5("3b")
        loaded.model.save_pretrained(tmp_path / "t5")
        tiny_tokenizer.save_pretrained(tmp_path / "t5")
        one = reader(trained=("norms",))
        one.save_pretrained(tmp_path / "reader")
        settings = json.loads((tmp_path / "reader" / "fid.json").read_text())
        (tmp_path / "reader" / "fid.json").write_text(json.dumps(settings | {"base_model": str(tmp_path / "t5")}))
        back = FidReader.from_pretrained(tmp_path / "reader", dtype="float32", device="cpu")
        assert back.answer(INPUTS, CONDITIONS) == one.answer(INPUTS, CONDITIONS)

    def test_of_another_base_model_is_refused(self, reader, t5, tmp_path):
        reader((), ("norms",)).save_pretrained(tmp_path)
        with pytest.raises(ValueError, match=r"base\.safetensors holds weights of another model than 'tiny-t5-base'"):
            FidReader.from_pretrained(tmp_path, t5("base"))
        reader(("hypernetwork",)).save_pretrained(tmp_path / "network")
        with pytest.raises(AdapterError, match="hypernetwork was made for another base model than 'tiny-t5-base'"):
            FidReader.from_pretrained(tmp_path / "network", t5("base"))

    def test_that_holds_no_reader_says_where_was_looked(self, tmp_path):
        with pytest.raises(ModelNotFound, match=r"no fid\.json in it"):
            FidReader.from_pretrained(tmp_path)
