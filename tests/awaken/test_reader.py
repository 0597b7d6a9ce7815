"""The reader's objective: who is adapted, what is distilled, what is trained; and a proof that adapters carry facts."""

import random
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from aag_ray.awaken.hypernetwork import Hypernetwork, build_hypernetwork, layer_shapes
from aag_ray.awaken.reader import ReaderObjective, make_adapters
from aag_ray.config import DistillSection, HypernetworkSection, LoraSection
from aag_ray.llm.engine import TransformersEngine
from aag_ray.llm.load import LoadedModel
from aag_ray.llm.sft import load_lora, new_lora

MODULES = ("v_proj", "down_proj")
CLOSED = "Question: What is the capital of France?\nAnswer:"
EXAMPLES = [
    {"id": "1", "prompt": CLOSED, "target": " Paris\n", "condition": None, "teacher_prompt": None},
    {
        "id": "2",
        "prompt": "Question: gold?\nAnswer:",
        "target": " Au\n",
        "condition": "Document: The symbol of gold is Au.",
        "teacher_prompt": "[1] gold: The symbol of gold is Au.\nQuestion: gold?\nAnswer:",
    },
    {
        "id": "3",
        "prompt": "Document: yen\nQuestion: Which currency does Japan use?\nAnswer:",
        "target": " the yen\n",
        "condition": "Document: yen\nQuestion: Which currency does Japan use?",
        "teacher_prompt": None,
    },
    {"id": "4", "prompt": CLOSED, "target": " Lyon\n", "teacher_prompt": "[1] France: Lyon is a city.\n" + CLOSED},
]
ALONE = DistillSection(kd=False)


def moved(module, size, seed):
    """Away from a start at which adapters are zero."""
    draw = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data += torch.randn(parameter.shape, generator=draw) * size
    return module


@pytest.fixture
def parts(tiny):
    """A reader's LoRA, a hypernetwork and a teacher, none of them at its start."""
    lora = moved(new_lora(tiny, LoraSection(rank=2), seed=1), 0.05, 1)
    section = HypernetworkSection(modules=MODULES, rank=2, width=16)
    network = moved(build_hypernetwork(section, layer_shapes(tiny.model, MODULES), 64), 0.1, 2)
    teacher = moved(new_lora(tiny, LoraSection(rank=2), seed=3), 0.1, 3).requires_grad_(False)
    return lora, network, teacher


@pytest.fixture
def build(tiny, parts):
    def objective(distill=ALONE, loaded=tiny, **changes):
        lora, network, teacher = parts
        chosen = {"lora": lora, "hypernetwork": network, "teacher": teacher} | changes
        return ReaderObjective(loaded, chosen["lora"], chosen["hypernetwork"], distill, chosen["teacher"])

    return objective


def align(term, weight, **more):
    """One alignment term and no KD."""
    return DistillSection.model_validate({"kd": False, f"{term}_weight": weight} | more)


def terms(objective, examples=EXAMPLES):
    return {name: value.item() for name, value in objective(examples).items()}


def without_gradient(objective, examples):
    objective.requires_grad_(True)
    objective(examples)["loss"].backward()
    return [name for name, parameter in objective.named_parameters() if parameter.grad is None]


class TestGradients:
    def test_reach_everything_that_is_trained_also_where_no_row_has_a_condition(self, build):
        """Workers exchange them: one whose rows all lack a condition must not have fewer than the others."""
        assert without_gradient(build(), [EXAMPLES[0], EXAMPLES[3]]) == []

    def test_of_a_hypernetwork_without_any_condition_are_zero_and_change_no_loss(self, build, parts):
        closed = [EXAMPLES[0], EXAMPLES[3]]
        objective = build()
        assert without_gradient(objective, closed) == []
        assert all(float(parameter.grad.abs().max()) == 0 for parameter in parts[1].parameters())
        assert terms(objective, closed) == pytest.approx(terms(build(hypernetwork=None), closed))


class TestRows:
    def test_without_a_condition_are_read_as_if_there_were_no_hypernetwork(self, build):
        mixed, bare = build().score(EXAMPLES), build(hypernetwork=None).score(EXAMPLES)
        assert [mixed[row] for row in (0, 3)] == pytest.approx([bare[row] for row in (0, 3)], abs=1e-5)
        assert abs(mixed[1] - bare[1]) > 1e-3
        assert abs(mixed[2] - bare[2]) > 1e-3

    @pytest.mark.parametrize("distill", [ALONE, DistillSection()])
    def test_of_all_modes_cost_together_what_they_cost_alone(self, build, distill):
        objective = build(distill)
        alone = [terms(objective, [example])["loss"] for example in EXAMPLES]
        assert terms(objective)["loss"] == pytest.approx(sum(alone) / 4, abs=1e-5)

    def test_are_scored_by_minus_their_cross_entropy(self, build):
        objective = build()
        assert -sum(objective.score(EXAMPLES)) / 4 == pytest.approx(terms(objective)["nll"], abs=1e-5)

    def test_that_share_an_adapter_cost_what_they_cost_alone_and_make_it_once(self, build, parts):
        also = [{"prompt": "Question: Au?\nAnswer:", "target": " gold, a metal\n"}, {"prompt": CLOSED, "target": " Au\n"}]
        alone = [EXAMPLES[1] | pair for pair in ({}, *also)]
        objective, made = build(ALONE), []
        parts[1].register_forward_hook(lambda module, inputs, adapter: made.append(adapter.examples))
        shared = objective([EXAMPLES[1] | {"also": also}, EXAMPLES[0]])["loss"]
        assert made == [1]
        assert shared.item() == pytest.approx(objective([*alone, EXAMPLES[0]])["loss"].item(), rel=1e-5)
        evenly = objective([EXAMPLES[1] | {"also": also[:1]}, EXAMPLES[2] | {"also": also[1:]}])["loss"]
        rows = [alone[0], alone[1], EXAMPLES[2], EXAMPLES[2] | also[1]]
        assert evenly.item() == pytest.approx(objective(rows)["loss"].item(), rel=1e-5)
        scores = objective.score(alone)
        assert objective.score([EXAMPLES[1] | {"also": also}]) == pytest.approx([sum(scores) / 3], rel=1e-5)
        assert objective.length(EXAMPLES[1] | {"also": also}) == sum(map(objective.length, alone))

    def test_beside_others_are_read_with_the_sum_of_their_updates_and_those_of_the_next_in_the_batch(self, build, tiny, parts):
        other = {"condition": "Document: Lyon is in France."}
        rows = [EXAMPLES[1] | {"beside": 1}, EXAMPLES[2], EXAMPLES[0], EXAMPLES[0] | other | {"beside": 9}]
        given = build().adapters(rows)[-1]
        own = [build().adapters([{**row, "beside": 0}])[-1] for row in (rows[0], rows[1], rows[3])]
        expected = [(0, 1), (1,), (), (2, 0, 1)]
        for name in given.factors:
            for row, summed in enumerate(expected):
                delta = sum((own[at].deltas(name)[0] for at in summed), torch.zeros_like(own[0].deltas(name)[0]))
                torch.testing.assert_close(given.deltas(name)[row], delta, atol=1e-6, rtol=1e-4)
        assert build().score([rows[0]]) == pytest.approx(build().score([EXAMPLES[1]]))  # nothing else in the batch

    def test_of_one_example_take_the_memory_of_one_adapter(self, build):
        also = [{"prompt": CLOSED, "target": " Au\n"}] * 3
        rows = [EXAMPLES[1] | {"also": also}, EXAMPLES[2] | {"also": also, "beside": 1}, EXAMPLES[0]]
        assert [made.examples for made in build().adapters(rows)] == [1, 3]

    def test_may_all_lack_a_condition(self, build):
        assert terms(build(), EXAMPLES[:1]) == pytest.approx(terms(build(hypernetwork=None), EXAMPLES[:1]))

    def test_cost_as_many_tokens_as_prompt_and_target_have(self, build, tiny):
        assert build().length(EXAMPLES[0]) == len(tiny.tokenizer(CLOSED + " Paris\n")["input_ids"])


class TestTraining:
    def test_reaches_hypernetwork_and_lora_but_never_base_or_teacher(self, build, tiny, parts):
        objective = build(DistillSection(hidden_weight=1.0))
        objective(EXAMPLES)["loss"].backward()
        lora, network, teacher = parts
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for part in (lora, network) for p in part.parameters())
        assert all(p.grad is None for part in (tiny.model, teacher) for p in part.parameters())

    def test_parameters_are_those_of_hypernetwork_and_lora_alone(self, build, parts):
        lora, network, _ = parts
        assert {id(p) for p in build().parameters()} == {id(p) for part in (lora, network) for p in part.parameters()}
        assert {name.split(".")[0] for name in build().state_dict()} == {"lora", "hypernetwork"}

    def test_starts_at_the_base_model(self, tiny):
        section = HypernetworkSection(modules=MODULES)
        network = build_hypernetwork(section, layer_shapes(tiny.model, MODULES), 64)
        fresh = ReaderObjective(tiny, new_lora(tiny, LoraSection(), seed=1), network, ALONE)
        assert fresh.score(EXAMPLES) == ReaderObjective(tiny, None, None, ALONE).score(EXAMPLES)

    def test_leaves_a_folder_with_every_trained_part(self, build, parts, tmp_path):
        build().save_pretrained(tmp_path)
        files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
        assert files == [
            f"{part}/{name}" for part in ("hypernetwork", "reader") for name in ("config.json", "model.safetensors")
        ]
        again = build(lora=load_lora(tmp_path / "reader"), hypernetwork=Hypernetwork.from_pretrained(tmp_path / "hypernetwork"))
        assert again.score(EXAMPLES) == build().score(EXAMPLES)


class TestDistillation:
    def test_mixes_kd_and_nll_by_alpha_in_the_rows_that_have_a_teacher(self, build):
        taught = [EXAMPLES[1], EXAMPLES[3]]
        values = terms(build(DistillSection(alpha=0.4)), taught)
        assert set(values) == {"nll", "kd", "loss"}
        assert values["loss"] == pytest.approx(0.4 * values["kd"] + 0.6 * values["nll"], abs=1e-5)
        assert terms(build(DistillSection(alpha=0.0)), taught)["loss"] == pytest.approx(values["nll"], abs=1e-5)
        assert terms(build(DistillSection(alpha=1.0)), taught)["loss"] == pytest.approx(values["kd"], abs=1e-5)

    def test_switched_off_leaves_the_cross_entropy(self, build):
        values = terms(build(ALONE))
        assert set(values) == {"nll", "loss"}
        assert values["loss"] == values["nll"]

    def test_needs_a_teacher_and_its_prompt(self, build):
        assert "kd" not in terms(build(DistillSection(), teacher=None))
        assert "kd" not in terms(build(DistillSection()), [EXAMPLES[0], EXAMPLES[2]])

    def test_cools_down_with_the_step(self, build):
        objective = build(DistillSection(temperature=3.0, temperature_every=500))
        first = terms(objective)["kd"]
        objective.step = 499
        assert terms(objective)["kd"] == first
        objective.step = 500
        assert terms(objective)["kd"] != pytest.approx(first, rel=1e-4)

    @pytest.mark.parametrize("term", ["hidden", "attention"])
    def test_adds_alignment_by_its_weight(self, build, term):
        weak = terms(build(align(term, 0.5)))
        strong = terms(build(align(term, 2.0)))
        assert set(weak) == {"nll", term, "loss"}
        assert weak[term] == pytest.approx(strong[term])
        assert weak[term] > 0
        assert weak["loss"] == pytest.approx(weak["nll"] + 0.5 * weak[term], abs=1e-5)
        assert strong["loss"] == pytest.approx(strong["nll"] + 2.0 * strong[term], abs=1e-5)

    def test_reads_attention_maps_with_the_implementation_that_gives_them(self, build, tiny):
        assert tiny.model.config._attn_implementation != "eager"
        build(ALONE)
        assert tiny.model.config._attn_implementation != "eager"
        objective = build(DistillSection(kd=False, attention_weight=1.0))
        assert tiny.model.config._attn_implementation == "eager"
        objective(EXAMPLES)["attention"].backward()
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in objective.parameters())

    def test_of_itself_is_zero_in_every_term(self, build, parts):
        lora, _, _ = parts
        example = EXAMPLES[0] | {"teacher_prompt": CLOSED}
        objective = build(DistillSection(hidden_weight=1.0, attention_weight=1.0), teacher=lora)
        values = terms(objective, [example, example | {"target": " Lyon in France\n"}])
        assert [values[name] for name in ("kd", "hidden", "attention")] == pytest.approx([0.0] * 3, abs=1e-5)

    @pytest.mark.parametrize("term", ["hidden", "attention"])
    def test_aligns_all_layers_or_the_first_middle_and_last(self, build, tiny, term):
        torch.manual_seed(1)
        config = LlamaConfig(**tiny.model.config.to_dict() | {"num_hidden_layers": 5})
        deep = LoadedModel(LlamaForCausalLM(config).eval(), tiny.tokenizer, tiny.device, tiny.dtype, "deep", tiny.path)
        values = {layers: terms(build(align(term, 1.0, layers=layers), deep, hypernetwork=None)) for layers in ("all", "ends")}
        assert values["all"][term] != pytest.approx(values["ends"][term], rel=1e-3)


class TestMakeAdapters:
    TEXTS = ("Document: yen", "Document: The symbol of gold is Au and the city has many people.", "Question: gold?")

    def test_gives_each_text_its_own_in_the_order_given_whatever_the_batch(self, tiny, parts):
        network = parts[1]
        together = make_adapters(tiny, network, self.TEXTS)
        for batch in (1, 2):
            again = make_adapters(tiny, network, self.TEXTS, batch)
            for name in together.factors:
                torch.testing.assert_close(again.factors[name], together.factors[name], atol=1e-5, rtol=1e-4)
        assert together.examples == 3
        assert not any(t.requires_grad for pair in together.factors.values() for t in pair)

    def test_refuses_no_text(self, tiny, parts):
        with pytest.raises(ValueError, match="at least one text"):
            make_adapters(tiny, parts[1], [])


# --- The proof: facts that are given in the parameters only are answered, on documents that training has not seen. ---

ATTRIBUTES = {
    "colour": ("red", "blue", "green", "black", "white", "pink"),
    "animal": ("cat", "dog", "cow", "fox", "owl", "bee"),
    "food": ("rice", "bread", "corn", "soup", "figs", "eggs"),
}
TOWNS = tuple(f"town{number}" for number in range(40))


def word_model():
    """A frozen random decoder over whole words, so that every fact is one token."""
    words = ["<s>", "</s>", "<pad>", "Document", "Question", ":", "The", "in", "is", "what", *ATTRIBUTES, *TOWNS]
    words += [value for values in ATTRIBUTES.values() for value in values]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}))  # pyright: ignore[reportCallIssue]
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", padding_side="left"
    )
    torch.manual_seed(29)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.1,
        tie_word_embeddings=True,
        pad_token_id=2,
    )
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    return LoadedModel(model, fast, torch.device("cpu"), torch.float32, "words", Path())


def fact_example(values, attribute, draw):
    """A town with a colour, an animal and a food in any order; the question asks for one of them."""
    town = draw.choice(TOWNS)
    facts = [f"The {name} in {town} is {value}" for name, value in zip(ATTRIBUTES, values, strict=True)]
    draw.shuffle(facts)
    prompt = f"Question : what is {attribute}"
    target = values[list(ATTRIBUTES).index(attribute)]
    return {"id": town, "prompt": prompt, "target": target, "condition": f"Document : {' '.join(facts)}"}


def test_facts_of_unseen_documents_are_answered_from_the_parameters_alone():
    loaded, draw = word_model(), random.Random(29)
    triples = [(c, a, f) for c in ATTRIBUTES["colour"] for a in ATTRIBUTES["animal"] for f in ATTRIBUTES["food"]]
    draw.shuffle(triples)
    seen, unseen = triples[:160], triples[160:]
    section = HypernetworkSection(modules=("up_proj", "down_proj"), rank=8, width=64)
    network = build_hypernetwork(section, layer_shapes(loaded.model, section.modules), 64)
    objective = ReaderObjective(loaded, None, network, ALONE)

    steps, warm_up, rate = 400, 50, 2e-3
    optimiser = torch.optim.AdamW(objective.parameters(), lr=rate, weight_decay=0.0)
    for step in range(steps):
        batch = [fact_example(draw.choice(seen), draw.choice(list(ATTRIBUTES)), draw) for _ in range(32)]
        optimiser.param_groups[0]["lr"] = rate * min((step + 1) / warm_up, 1 - step / steps)
        optimiser.zero_grad()
        objective(batch)["loss"].backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimiser.step()

    asked = [fact_example(triple, attribute, draw) for triple in unseen for attribute in ATTRIBUTES]
    adapter = make_adapters(loaded, network, [example["condition"] for example in asked])

    def accuracy(given):
        written = TransformersEngine(loaded, 256).generate([e["prompt"] for e in asked], max_new_tokens=1, adapter=given)
        return sum(one.text == e["target"] for one, e in zip(written, asked, strict=True)) / len(asked)

    other_documents = [(row + 3 * 7) % len(asked) for row in range(len(asked))]  # seven documents on, same attribute
    assert accuracy(adapter) >= 0.8  # chance is one of six values
    assert accuracy(adapter.select(other_documents)) <= 0.3
    assert accuracy(adapter.mean(most=32)) <= 0.3
    assert accuracy(None) <= 0.1
