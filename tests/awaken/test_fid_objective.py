"""What a fused reader is trained on: each term against its formula, each switch against the loss it names."""

import pytest
import torch

from aag_ray.awaken.fid_objective import FidObjective
from aag_ray.awaken.fid_reader import FidReader
from aag_ray.awaken.hypernetwork import build_hypernetwork
from aag_ray.awaken.t5_layers import placed_lora, placed_shapes
from aag_ray.config import FidDistillSection, FidHypernetworkSection, FidLoraSection
from aag_ray.llm.recompute import recompute_activations

GOLD = "question: What is the symbol of gold?"
EXAMPLES = [
    {
        "id": "1",
        "inputs": [f"{GOLD}\nGold is a metal."],
        "target": "Au",
        "condition": "Question: What is the symbol of gold?",
        "teacher_inputs": [f"{GOLD} title: Gold context: The symbol of gold is Au.", f"{GOLD} title: Yen context: A currency."],
    },
    {
        "id": "2",
        "inputs": ["question: Which currency does Japan use?\nYen"],
        "target": "the yen and no other",
        "condition": "Question: Which currency?",
        "teacher_inputs": ["question: Which currency does Japan use? title: Japan context: The yen."],
    },
    {"id": "3", "inputs": ["question: Who?"], "target": "people", "condition": "Question: Who?", "teacher_inputs": None},
]
TERMS = ("kl", "encoder_hidden", "decoder_hidden", "encoder_attention", "decoder_attention", "cross_attention")
ALONE = FidDistillSection(kd=False)


@pytest.fixture
def parts(t5, moved):
    def build(shape="base", trained=("norms",), seed=29):
        loaded = t5(shape, seed)
        section = FidHypernetworkSection(rank=2, width=16)
        network = build_hypernetwork(section, placed_shapes(loaded, section), loaded.model.config.d_model)
        lora = placed_lora(loaded, FidLoraSection(rank=2), 1)
        return FidReader(loaded, lora=moved(lora), hypernetwork=moved(network), trained=trained, longest=64, longest_answer=12)

    return build


@pytest.fixture
def objective(parts, t5):
    def build(distill=ALONE, teacher=31, shape="base", **more):
        return FidObjective(parts(shape, **more), distill, FidReader(t5(shape, teacher), longest=64) if teacher else None)

    return build


def terms(objective, examples=EXAMPLES):
    return {name: value.item() for name, value in objective(examples).items()}


def only(term, **more):
    return FidDistillSection.model_validate({"kd": False, term: 1.0} | more)


EVERYTHING = FidDistillSection(**dict.fromkeys(TERMS, 1.0))


class TestLoss:
    def test_without_a_teacher_is_the_cross_entropy_of_the_model(self, t5):
        loaded = t5()
        plain = FidObjective(FidReader(loaded, longest=64), ALONE)
        tokens = plain.reader.fid.tokens([EXAMPLES[0]["inputs"][0]], 64)[0]
        labels = torch.tensor([[*plain.reader.fid.tokens(["Au"], 9)[0], 1]])
        expected = loaded.model(input_ids=torch.tensor([tokens]), labels=labels).loss.item()
        assert terms(plain, EXAMPLES[:1]) == pytest.approx({"nll": expected, "loss": expected}, abs=1e-4)

    @pytest.mark.parametrize("distill", [ALONE, FidDistillSection()])
    def test_of_a_batch_is_the_mean_of_its_examples(self, objective, distill):
        one = objective(distill)
        alone = [terms(one, [example])["loss"] for example in EXAMPLES]
        assert terms(one)["loss"] == pytest.approx(sum(alone) / 3, abs=1e-4)

    @pytest.mark.parametrize("term", ["kd", *TERMS])
    def test_of_a_batch_has_every_term_as_a_mean_of_the_taught_ones(self, objective, term):
        """So no padding of question, passage or answer takes part in any of them."""
        one = objective(FidDistillSection() if term == "kd" else only(term))
        alone = [terms(one, [example])[term] for example in EXAMPLES[:2]]
        assert terms(one)[term] == pytest.approx(sum(alone) / 2, abs=1e-4)

    def test_is_scored_by_minus_the_cross_entropy(self, objective):
        one = objective()
        scores = one.score(EXAMPLES)
        assert -sum(scores) / 3 == pytest.approx(terms(one)["nll"], abs=1e-4)
        assert scores[1] == pytest.approx(one.score(EXAMPLES[1:2])[0], abs=1e-4)

    def test_draws_no_random_number(self, objective):
        one = objective(EVERYTHING, trained=("all",)).train()
        assert terms(one) == terms(one)

    def test_costs_the_tokens_that_reader_and_teacher_read(self, objective):
        untaught, taught = objective(), objective(FidDistillSection())
        fid = taught.reader.fid
        read = sum(len(fid.tokens([text], 64)[0]) for text in EXAMPLES[0]["inputs"]) + len(fid.tokens(["Au"], 9)[0]) + 1
        lesson = sum(len(fid.tokens([text], 64)[0]) for text in EXAMPLES[0]["teacher_inputs"])
        assert untaught.length(EXAMPLES[0]) == read
        assert taught.length(EXAMPLES[0]) == read + lesson
        assert taught.length(EXAMPLES[2]) == untaught.length(EXAMPLES[2])


class TestAblations:
    def test_everything_on_has_every_term_and_their_sum(self, objective):
        values = terms(objective(EVERYTHING))
        assert set(values) == {"nll", "kd", "loss", *TERMS}
        assert all(value > 0 for value in values.values())

    @pytest.mark.parametrize("term", TERMS)
    def test_a_weight_of_zero_takes_away_the_term_it_names_and_nothing_else(self, objective, term):
        whole, less = terms(objective(EVERYTHING)), terms(objective(EVERYTHING.model_copy(update={term: 0.0})))
        assert set(whole) - set(less) == {term}
        for name in less.keys() - {"loss"}:
            assert less[name] == pytest.approx(whole[name], abs=1e-5)
        assert whole["loss"] - less["loss"] == pytest.approx(whole[term], abs=1e-4)

    @pytest.mark.parametrize("term", TERMS)
    def test_a_weight_scales_the_term_it_names(self, objective, term):
        one, two = terms(objective(only(term))), terms(objective(only(term).model_copy(update={term: 2.5})))
        assert set(one) == {"nll", term, "loss"}
        assert two[term] == pytest.approx(one[term], abs=1e-5)
        assert two["loss"] == pytest.approx(two["nll"] + 2.5 * two[term], abs=1e-4)

    def test_without_kd_the_answer_alone_is_learned(self, objective):
        values = terms(objective(EVERYTHING.model_copy(update={"kd": False})))
        assert "kd" not in values
        assert values["loss"] == pytest.approx(values["nll"] + sum(values[term] for term in TERMS), abs=1e-4)

    @pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
    def test_alpha_mixes_kd_and_cross_entropy_where_there_is_a_teacher(self, objective, alpha):
        values = terms(objective(FidDistillSection(alpha=alpha)), EXAMPLES[:2])
        assert values["loss"] == pytest.approx(alpha * values["kd"] + (1 - alpha) * values["nll"], abs=1e-4)

    def test_the_temperature_falls_with_the_step(self, objective):
        one = objective(FidDistillSection(temperature_every=10))
        first = terms(one)["kd"]
        one.step = 9
        assert terms(one)["kd"] == first
        one.step = 10
        assert terms(one)["kd"] != pytest.approx(first, rel=1e-3)

    @pytest.mark.parametrize("term", TERMS[1:])
    def test_layers_are_all_or_the_ends(self, parts, t5, term):
        def deep(seed):
            return FidReader(t5("base", seed, num_layers=5), longest=64)

        values = [terms(FidObjective(deep(1), only(term, layers=layers), deep(2)))[term] for layers in ("all", "ends")]
        assert abs(values[0] - values[1]) > 1e-5

    def test_without_a_teacher_or_its_inputs_there_is_nothing_to_distil(self, objective):
        assert set(terms(objective(EVERYTHING, teacher=None))) == {"nll", "loss"}
        assert set(terms(objective(EVERYTHING), EXAMPLES[2:])) == {"nll", "loss"}
        assert set(terms(objective(ALONE))) == {"nll", "loss"}


class TestTeacher:
    def test_that_is_the_student_and_reads_the_same_teaches_nothing(self, t5):
        loaded = t5("3b")
        example = EXAMPLES[0] | {"inputs": EXAMPLES[0]["teacher_inputs"]}
        values = terms(FidObjective(FidReader(loaded, longest=64), EVERYTHING, FidReader(loaded, longest=64)), [example])
        assert [values[term] for term in ("kd", *TERMS)] == pytest.approx([0.0] * 7, abs=1e-5)

    def test_gets_no_gradient_and_no_adapter_of_the_student(self, objective, t5):
        one = objective(EVERYTHING)
        alone = FidObjective(FidReader(t5("base", 31), longest=64), ALONE)
        lesson = [EXAMPLES[0] | {"inputs": EXAMPLES[0]["teacher_inputs"]}]
        teacher = one._teacher[0]
        assert teacher is not None
        before = FidObjective(teacher, ALONE).score(lesson)
        one(EXAMPLES)["loss"].backward()
        assert all(p.grad is None for p in teacher.loaded.model.parameters())
        assert before == pytest.approx(alone.score(lesson), abs=1e-4)

    def test_reaches_every_trained_part_of_the_student(self, objective):
        one = objective(EVERYTHING, trained=("norms", "embeddings", "feed_forward"))
        one(EXAMPLES)["loss"].backward()
        trained = {name: p for name, p in one.named_parameters() if p.requires_grad}
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained.values())
        assert all(p.grad is None for p in one.parameters() if not p.requires_grad)

    @pytest.mark.parametrize("term", TERMS)
    def test_teaches_through_every_term(self, objective, term):
        one = objective(only(term))
        one(EXAMPLES)[term].backward()
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in one.reader.lora.parameters())

    def test_of_another_vocabulary_is_refused(self, parts, t5):
        with pytest.raises(
            ValueError, match=r"'tiny-t5-base' and teacher 'tiny-t5-base' have different vocabularies \(of 384 and 400"
        ):
            FidObjective(parts(), FidDistillSection(), FidReader(t5(vocab_size=400)))

    def test_of_another_width_cannot_align_states_but_can_teach_answers(self, parts, t5):
        other = FidReader(t5("3b"), longest=64)
        with pytest.raises(ValueError, match=r"differ in d_model \(64 and 32\), which encoder_hidden, decoder_hidden cannot"):
            FidObjective(parts(), EVERYTHING, other)
        assert "kd" in terms(FidObjective(parts(), FidDistillSection(), other))

    def test_of_another_depth_is_aligned_at_the_ends_only(self, parts, t5):
        def reader(layers, seed):
            return FidReader(t5("base", seed, num_layers=layers), longest=64)

        with pytest.raises(ValueError, match=r"differ in num_layers \(3 and 4\), which encoder_hidden cannot compare"):
            FidObjective(reader(3, 1), only("encoder_hidden", layers="all"), reader(4, 2))
        with pytest.raises(ValueError, match=r"differ in num_decoder_layers \(2 and 3\), which cross_attention"):
            FidObjective(reader(2, 1), only("cross_attention"), reader(3, 2))  # two layers have no middle
        assert set(terms(FidObjective(reader(3, 1), EVERYTHING, reader(5, 2)))) == {"nll", "kd", "loss", *TERMS}

    def test_cannot_share_a_base_of_which_weights_are_trained(self, parts):
        student = parts()
        with pytest.raises(ValueError, match="are one model of which weights are trained; the teacher needs a copy"):
            FidObjective(student, FidDistillSection(), FidReader(student.loaded))


class TestCoTraining:
    @pytest.fixture
    def pair(self, parts, t5):
        """A student, and a teacher of which the norms are trained, with every term on."""

        def build(co_train, distill=EVERYTHING, trained=("norms",)):
            teacher = FidReader(t5("base", 31), trained=trained, longest=64, longest_answer=12)
            return FidObjective(parts(), distill.model_copy(update={"co_train": co_train}), teacher)

        return build

    def test_adds_the_cross_entropy_of_the_teacher_on_what_it_reads(self, pair):
        frozen, both = terms(pair(0.0)), terms(pair(0.5))
        taught = [EXAMPLES[row] | {"inputs": EXAMPLES[row]["teacher_inputs"]} for row in (0, 1)]
        own = -sum(FidObjective(pair(0.5).co_trained, ALONE).score(taught)) / 2
        assert both["co_train"] == pytest.approx(own, abs=1e-4)
        assert both["loss"] - frozen["loss"] == pytest.approx(0.5 * own, abs=1e-4)
        assert {name: both[name] for name in frozen if name != "loss"} == pytest.approx(
            {name: value for name, value in frozen.items() if name != "loss"}, abs=1e-5
        )

    def test_gives_the_teacher_the_gradient_of_its_own_answers_and_of_nothing_else(self, pair):
        one = pair(1.0)
        one(EXAMPLES)["loss"].backward()
        alone = pair(1.0)
        alone(EXAMPLES)["co_train"].backward()
        found = {name: p.grad for name, p in one.co_trained.named_parameters() if p.requires_grad}
        assert found
        for name, parameter in alone.co_trained.named_parameters():
            if name in found:
                torch.testing.assert_close(found[name], parameter.grad)
                assert parameter.grad.abs().sum() > 0
            else:
                assert not parameter.requires_grad
        assert all(p.grad is None for p in alone.reader.parameters())

    def test_gives_a_teacher_that_nobody_reads_with_gradients_of_zeros(self, pair):
        """Workers exchange them: one whose rows have no teacher must not have fewer than the others."""
        one, untaught = pair(1.0), [EXAMPLES[2]]
        losses = one(untaught)
        assert "co_train" not in losses
        assert float(losses["loss"].detach()) == pytest.approx(terms(pair(0.0), untaught)["loss"], abs=1e-5)
        losses["loss"].backward()
        gradients = [parameter.grad for parameter in one.co_trained.parameters() if parameter.requires_grad]
        assert gradients
        assert all(gradient is not None and not gradient.any() for gradient in gradients)

    def test_keeps_the_teacher_in_checkpoints_and_beside_the_reader(self, pair, tmp_path):
        one = pair(1.0)
        assert {name.split(".")[0] for name in one.state_dict()} == {"reader", "co_trained"}
        with torch.no_grad():
            for parameter in one.co_trained.parameters():
                if parameter.requires_grad:
                    parameter.add_(1.0)
        one.save_pretrained(tmp_path)
        read = FidReader.from_pretrained(tmp_path / "teacher", pair(0.0)._teacher[0].loaded)
        lesson = [EXAMPLES[0] | {"inputs": EXAMPLES[0]["teacher_inputs"]}]
        assert FidObjective(read, ALONE).score(lesson) == pytest.approx(
            FidObjective(one.co_trained, ALONE).score(lesson), abs=1e-4
        )

    def test_needs_something_to_train_and_a_base_of_its_own(self, pair, parts):
        with pytest.raises(ValueError, match=r"nothing of the reader on 'tiny-t5-base' is trained"):
            pair(1.0, trained=())
        student = parts(trained=())
        with pytest.raises(ValueError, match="are one model of which weights are trained"):
            FidObjective(student, FidDistillSection(co_train=1.0), FidReader(student.loaded, trained=("norms",)))
        with pytest.raises(ValueError, match="co_train=1 trains a teacher that nothing is learned from"):
            FidDistillSection(kd=False, co_train=1.0)


class TestMemory:
    def test_activations_computed_again_give_the_same_gradients_of_every_term(self, objective):
        found = []
        for again in (False, True):
            one = objective(EVERYTHING, trained=("feed_forward",))
            if again:
                recompute_activations(one.loaded.model)
            one.train()(EXAMPLES)["loss"].backward()
            found.append({name: p.grad for name, p in one.named_parameters() if p.requires_grad})
        for name, gradient in found[0].items():
            torch.testing.assert_close(found[1][name], gradient, atol=1e-5, rtol=1e-3)

    def test_the_base_stays_outside_where_nothing_of_it_is_trained(self, objective):
        names = {name.split(".")[1] for name in objective(FidDistillSection(), trained=()).state_dict()}
        assert names == {"lora", "hypernetwork"}
