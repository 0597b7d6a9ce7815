"""A fused reader in the training loop: built on a worker, trained, resumed, stopped; and the paper's configurations."""

import json
from pathlib import Path

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from aag_ray.awaken.fid_inputs import fid_examples
from aag_ray.awaken.fid_reader import FidReader
from aag_ray.awaken.hypernetwork import PaperHypernetwork
from aag_ray.config import (
    FidDistillSection,
    FidHypernetworkSection,
    FidLoraSection,
    FidReaderSection,
    FidTeacherSection,
    ModelSection,
    TrainFidConfig,
    TrainingSection,
)
from aag_ray.llm.adapters import AdapterError
from aag_ray.llm.recompute import recompute_activations
from aag_ray.records import Document, Passage, Question
from aag_ray.settings import load_config
from aag_ray.train.builders import build_fid_reader
from aag_ray.train.engine import TrainingError
from aag_ray.train.log import read_log
from aag_ray.train.loop import run

CPU = torch.device("cpu")
# The published models, scaled down: T5-3B has four times as many inner dimensions as d_model, and sixteen in d_ff.
SCALED = {
    "google-t5/t5-base": {"d_model": 24, "num_heads": 3, "d_kv": 8, "d_ff": 96},
    "google-t5/t5-large": {"d_model": 32, "num_heads": 4, "d_kv": 8, "d_ff": 128},
    "google-t5/t5-3b": {"d_model": 16, "num_heads": 8, "d_kv": 8, "d_ff": 256},
}
FOLDER = Path(__file__).resolve().parents[2] / "configs" / "paper"
PAPER = sorted(path for path in FOLDER.glob("*.yaml") if not path.stem.endswith("_generator"))  # readers
ALIGN = {"encoder_hidden": 0.2, "decoder_hidden": 1.0, "encoder_attention": 10.0, "decoder_attention": 0.02}
STEPS = TrainingSection(steps=6, batch=4, learning_rate=3e-3, warmup_steps=1, checkpoint_every=2, dev_every=3, dev_examples=4)
METALS = ("gold", "iron", "zinc", "lead", "tin", "neon")
QUESTIONS = [
    Question(
        name,
        f"What is the symbol of {name}?",
        (name[:2],),
        tuple(Passage(f"{name}{n}", name, f"{name} is {name[:2]} {n}.", has_answer=n == 0) for n in range(3)),
    )
    for name in METALS
]
DOCUMENTS = {name: Document(name, f"Its symbol is {name[:2]}.") for name in METALS}


def quiet(_):
    pass


@pytest.fixture
def model(tmp_path, tiny_tokenizer):
    """A folder with a scaled-down T5, by the name of the whole one."""

    def build(name="google-t5/t5-base", seed=29, **changes):
        folder = tmp_path / f"{name.rpartition('/')[2]}-{seed}"
        if not folder.exists():
            torch.manual_seed(seed)
            tokens = {"vocab_size": len(tiny_tokenizer), "eos_token_id": 1, "pad_token_id": 2, "decoder_start_token_id": 2}
            T5ForConditionalGeneration(T5Config(num_layers=2, **tokens, **SCALED[name], **changes)).save_pretrained(folder)
            tiny_tokenizer.save_pretrained(folder)
        return ModelSection(name=str(folder), dtype="float32")

    return build


@pytest.fixture
def written(tmp_path):
    def write(examples, name="examples"):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(example) + "\n" for example in examples))
        return path

    return write


def section(**more):
    small = {
        "longest": 48,
        "longest_answer": 8,
        "training": STEPS,
        "hypernetwork": None,
        "distill": FidDistillSection(kd=False),
    }
    return FidReaderSection.model_validate(small | more)


NETWORK = FidHypernetworkSection(rank=2, width=16)


class TestBuilding:
    def test_is_the_same_on_every_worker(self, model, written):
        wanted = section(hypernetwork=NETWORK, lora=FidLoraSection(rank=2))
        path = written(fid_examples(QUESTIONS, wanted, DOCUMENTS))
        one, two = (build_fid_reader(model(), wanted, None, path, 3, CPU).state_dict() for _ in range(2))
        assert all(torch.equal(one[name], two[name]) for name in one)

    def test_fits_the_paper_s_whitening_on_the_training_conditions(self, model, written):
        wanted = section(hypernetwork=FidHypernetworkSection(variant="paper", rank=2, feature_size=5))
        path = written(fid_examples(QUESTIONS, wanted, DOCUMENTS))
        network = build_fid_reader(model("google-t5/t5-3b"), wanted, None, path, 3, CPU).reader.hypernetwork
        assert isinstance(network, PaperHypernetwork)
        assert network.whitening.any()

    def test_keeps_weights_that_are_trained_in_float32_and_others_as_asked(self, model, written):
        half = model().model_copy(update={"dtype": "bfloat16"})
        path = written([])
        trained = build_fid_reader(half, section(trained=("norms",)), None, path, 3, CPU)
        assert {p.dtype for p in trained.parameters()} == {torch.float32}
        frozen = build_fid_reader(half, section(lora=FidLoraSection(rank=2), trained=()), None, path, 3, CPU)
        assert frozen.loaded.dtype == torch.bfloat16
        assert {p.dtype for p in frozen.parameters()} == {torch.float32}
        examples = fid_examples(QUESTIONS, section(), DOCUMENTS)
        for objective in (trained, frozen):
            loss = objective(examples)["loss"]
            loss.backward()
            assert torch.isfinite(loss)

    def test_takes_a_plain_checkpoint_as_teacher(self, model, written):
        teacher = FidTeacherSection(checkpoint=model(seed=31).name, longest=20, training=STEPS)
        wanted = section(trained=("norms",), distill=FidDistillSection())
        objective = build_fid_reader(model(), wanted, teacher, written([]), 3, CPU)
        assert "kd" in objective(fid_examples(QUESTIONS, wanted, DOCUMENTS, teacher_passages=2))

    @pytest.mark.parametrize("saved", [True, False])
    def test_trains_a_teacher_further_in_float32(self, model, written, tmp_path, saved):
        half = model().model_copy(update={"dtype": "bfloat16"})
        teacher = FidTeacherSection(checkpoint=model(seed=31).name, longest=20, trained=("norms",), training=STEPS)
        if saved:
            build_fid_reader(model(seed=31), section(trained=("norms",)), None, written([]), 3, CPU).save_pretrained(tmp_path)
        wanted = section(trained=("norms",), distill=FidDistillSection(co_train=1.0))
        objective = build_fid_reader(half, wanted, tmp_path if saved else teacher, written([]), 3, CPU)
        assert objective.co_trained is not None
        assert {p.dtype for p in objective.co_trained.parameters()} == {torch.float32}
        before = [p.clone() for p in objective.co_trained.parameters() if p.requires_grad]
        examples = fid_examples(QUESTIONS, wanted, DOCUMENTS, teacher_passages=2)
        run(objective, examples, examples[:1], STEPS, seed=1, folder=tmp_path / "run", show=quiet)
        trained = [p for p in objective.co_trained.parameters() if p.requires_grad]
        assert any((one - other).abs().max() > 0 for one, other in zip(before, trained, strict=True))
        assert (tmp_path / "run" / "last" / "teacher" / "fid.json").is_file()

    def test_names_placements_that_cannot_be(self, model, written):
        wrong = section(lora=FidLoraSection(modules=("q_proj",), placements=("feed_forward",)))
        with pytest.raises(AdapterError, match="placements"):
            build_fid_reader(model(), wrong, None, written([]), 3, CPU)


class TestTraining:
    def train(self, model, wanted, folder, path, training=STEPS, show=quiet, examples=None, **more):
        examples = examples or fid_examples(QUESTIONS, wanted, DOCUMENTS, teacher_passages=more.pop("teacher_passages", 0))
        objective = build_fid_reader(model, wanted, more.pop("teacher", None), path, 3, CPU)
        return objective, run(objective, examples, examples[:3], training, seed=1, folder=folder, show=show, **more)

    @pytest.mark.parametrize(("engine", "condition"), [("torch", "document"), ("torch", "passage"), ("deepspeed", "document")])
    def test_lowers_the_loss_and_leaves_a_reader_that_answers(self, model, written, tmp_path, engine, condition):
        network = NETWORK.model_copy(update={"condition": condition})
        wanted = section(hypernetwork=network, trained=("norms", "embeddings", "feed_forward"))
        path = written(fid_examples(QUESTIONS, wanted, DOCUMENTS))
        more = TrainingSection(steps=25, batch=6, learning_rate=1e-2, warmup_steps=2, checkpoint_every=25, dev_every=25)
        objective, metrics = self.train(model(), wanted, tmp_path / "run", path, more, engine=engine)
        assert metrics["loss_last"] < 0.7 * metrics["loss_first"]
        assert metrics["trained_parameters"] == sum(objective.reader.trained_counts().values())
        back = FidReader.from_pretrained(tmp_path / "run" / "last", dtype="float32", device="cpu")
        examples = fid_examples(QUESTIONS, wanted, DOCUMENTS)
        given = [e["inputs"] for e in examples], [e["condition"] for e in examples]
        assert back.answer(*given) == objective.reader.answer(*given)

    def test_is_resumed_on_the_curve_it_would_have_had(self, model, written, tmp_path):
        class Stopped(Exception):
            pass

        def stop(records):
            if records[-1]["step"] == 5:
                raise Stopped

        wanted = section(hypernetwork=NETWORK, trained=("norms",))
        path = written(fid_examples(QUESTIONS, wanted, DOCUMENTS))
        with pytest.raises(Stopped):
            self.train(model(), wanted, tmp_path / "stopped", path, show=stop)
        self.train(model(), wanted, tmp_path / "stopped", path)
        self.train(model(), wanted, tmp_path / "whole", path)
        curves = [[line["loss"] for line in read_log(tmp_path / name / "log.jsonl")] for name in ("stopped", "whole")]
        assert curves[0] == pytest.approx(curves[1], abs=1e-4)

    def test_distils_from_a_teacher_that_was_trained_alike(self, model, written, tmp_path):
        path = written([])
        lesson = section(reads="passages", passages=2, trained=("all",))
        self.train(model(seed=31), lesson, tmp_path / "teacher", path)
        wanted = section(trained=("norms",), distill=FidDistillSection.model_validate(ALIGN))
        _, metrics = self.train(
            model(), wanted, tmp_path / "reader", path, teacher=tmp_path / "teacher" / "best", teacher_passages=2
        )
        terms = read_log(tmp_path / "reader" / "log.jsonl")[0]
        assert {"nll", "kd", *ALIGN} <= terms.keys()
        assert metrics["steps"] == 6

    def test_saves_memory_by_computing_activations_again(self, model, written, tmp_path):
        wanted = section(lora=FidLoraSection(rank=2), trained=())
        examples = fid_examples(QUESTIONS, wanted, DOCUMENTS)
        losses = []
        for again in (False, True):
            objective = build_fid_reader(model(), wanted, None, written([]), 3, CPU)
            if again:
                recompute_activations(objective.loaded.model)
            run(objective, examples, examples[:2], STEPS, seed=1, folder=tmp_path / str(again), show=quiet)
            losses.append([line["loss"] for line in read_log(tmp_path / str(again) / "log.jsonl")])
        assert losses[0] == pytest.approx(losses[1], abs=1e-4)

    def test_stops_with_the_ids_of_the_batch_whose_loss_is_no_number(self, model, written, tmp_path):
        wanted = section(trained=("norms",))
        examples = fid_examples(QUESTIONS, wanted, DOCUMENTS)
        objective = build_fid_reader(model(), wanted, None, written([]), 3, CPU)
        with torch.no_grad():
            objective.reader.base.decoder.final_layer_norm.weight[0] = float("nan")
        with pytest.raises(
            TrainingError, match=r"loss is nan at step 1; its batch holds examples \['\w+', '\w+', '\w+', '\w+'\]"
        ):
            run(objective, examples, examples[:2], STEPS, seed=1, folder=tmp_path / "broken", show=quiet)


# steps, learning rate and examples on each of two GPUs at once: AAG, table 6
TABLE = {
    "t5_base_closed_book": (50_000, 1e-3, 8),
    "t5_base_document": (50_000, 1e-3, 8),
    "t5_base_passages": (50_000, 5e-4, 1),
    "t5_large_closed_book": (50_000, 5e-4, 4),
    "t5_large_document": (50_000, 5e-4, 4),
    "t5_large_passages": (50_000, 5e-4, 1),
    "t5_3b_closed_book": (50_000, 1e-4, 1),
    "t5_3b_document": (50_000, 1e-4, 1),
    "t5_3b_passages": (50_000, 1e-4, 1),
    "t5_base_document_lora": (40_000, 5e-4, 8),
    "t5_large_document_lora": (40_000, 1e-4, 4),
    "t5_3b_document_lora": (40_000, 1e-4, 2),
    "t5_base_closed_book_lora": (40_000, 5e-4, 8),
    "t5_large_closed_book_lora": (40_000, 1e-4, 4),
    "t5_3b_closed_book_lora": (40_000, 1e-4, 4),
    "t5_base_closed_book_plain": (40_000, 1e-4, 8),
    "t5_3b_closed_book_plain": (40_000, 1e-4, 2),
    "t5_3b_passages_plain": (40_000, 1e-4, 1),
}


class TestThePaper:
    @pytest.mark.parametrize("name", TABLE)
    def test_hyper_parameters_are_those_of_its_table(self, name):
        config = load_config(TrainFidConfig, next(path for path in PAPER if path.stem == name))
        training, (steps, rate, batch) = config.reader.training, TABLE[name]
        assert (training.steps, training.learning_rate) == (steps, rate)
        assert training.batch == batch * config.cluster.workers * training.accumulation
        assert (training.warmup_steps, training.weight_decay) == (0.08 * steps, 0.01)
        adapted = config.reader.hypernetwork or config.reader.lora
        assert adapted is None or (adapted.rank, set(adapted.modules)) == (32, {"q_proj", "v_proj"})

    @pytest.mark.parametrize(
        ("ablation", "changed"),
        [
            ("without_awakened_input", {"hypernetwork"}),
            ("without_hypernetwork", {"hypernetwork"}),
            ("without_lcd", {"distill"}),
            ("without_l_s", {"distill"}),
            ("without_l_align", {"distill"}),
        ],
    )
    def test_ablations_change_what_they_name_alone(self, ablation, changed):
        whole, less = (
            load_config(TrainFidConfig, FOLDER / f"t5_base_document{end}.yaml").reader.model_dump()
            for end in ("", f"_{ablation}")
        )
        assert {key for key in whole if whole[key] != less[key]} == changed

    @pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
    def test_configurations_are_built_and_train_a_step_on_the_same_architecture(self, path, model, written, tmp_path):
        config = load_config(TrainFidConfig, path)
        small, one = model(config.model.name), TrainingSection(steps=1, batch=3, warmup_steps=0, dev_examples=1)
        reader, lesson = config.reader, None
        if reader.distill.asks_teacher:
            examples = fid_examples(QUESTIONS, config.teacher)
            taught = build_fid_reader(small, config.teacher, None, written([]), config.seed, CPU)
            run(taught, examples, examples[:1], one, seed=1, folder=tmp_path / "teacher", show=quiet)
            lesson = tmp_path / "teacher" / "best"
        examples = fid_examples(QUESTIONS, reader, DOCUMENTS, config.teacher.passages)
        objective = build_fid_reader(small, reader, lesson, written(examples), config.seed, CPU)
        metrics = run(objective, examples, examples[:1], one, seed=1, folder=tmp_path / "reader", show=quiet)
        assert metrics["steps"] == 1
        terms = set(read_log(tmp_path / "reader" / "log.jsonl")[0]) - {
            "step",
            "lr",
            "grad_norm",
            "tokens",
            "seconds",
            "time",
            "dev",
        }
        wanted = {"nll", "loss", *reader.distill.weights} | ({"kd"} if reader.distill.kd else set())
        assert terms == wanted
        back = FidReader.from_pretrained(tmp_path / "reader" / "last", dtype="float32", device="cpu")
        given = [examples[0]["inputs"]], [examples[0]["condition"]]
        assert back.answer(*given) == objective.reader.answer(*given)
