"""The loop without Ray: what it writes, that a resume continues the curve, and how it stops."""

import json
import multiprocessing
import signal

import pytest
import torch

from aag_ray.config import LoraSection, ModelSection
from aag_ray.train.builders import build_sft
from aag_ray.train.checkpoints import Checkpoints
from aag_ray.train.engine import TrainingError
from aag_ray.train.log import read_log
from aag_ray.train.loop import read_examples, run


def quiet(_):
    pass


def losses(folder):
    lines = read_log(folder / "log.jsonl")
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


def test_a_training_leaves_best_last_log_and_metrics(tmp_path, regression, rows, dev_rows, training, read_weights):
    metrics = run(regression(), rows, dev_rows, training, seed=1, folder=tmp_path, show=quiet)
    lines = read_log(tmp_path / "log.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert set(lines[0]) == {"step", "loss", "root", "lr", "grad_norm", "tokens", "seconds", "time"}
    assert [line["step"] for line in lines if "dev" in line] == [5, 10, 12]
    assert metrics == json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["loss_last"] < metrics["loss_first"]
    assert metrics["dev_score"] == max(score for _, score in metrics["dev_curve"])
    assert (metrics["steps"], metrics["restarts"], metrics["dev_examples"]) == (12, 0, 9)
    assert metrics["trained_parameters"] == sum(parameter.numel() for parameter in regression().parameters())
    assert metrics["tokens"] == sum(line["tokens"] for line in lines)
    best = regression()
    best.load_state_dict(read_weights(tmp_path / "best"))
    assert sum(best.score(dev_rows)) / 9 == pytest.approx(metrics["dev_score"])
    assert read_weights(tmp_path / "last").keys() == best.state_dict().keys()
    assert not (tmp_path / "checkpoints").exists()


def test_a_killed_training_continues_with_the_curve_it_would_have_had(tmp_path, regression, rows, dev_rows, training):
    def train(name, **more):
        return run(regression(**more), rows, dev_rows, training, seed=1, folder=tmp_path / name, show=quiet)

    # 12 steps of 2 micro-batches, a checkpoint every 4 steps: the 21st micro-batch is in step 11
    more = {"die_at": 21, "marker": str(tmp_path / "died")}
    process = multiprocessing.get_context("fork").Process(target=train, args=("killed",), kwargs=more)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    newest = Checkpoints(tmp_path / "killed" / "checkpoints").newest()
    assert newest
    assert newest.step == 8
    resumed, undisturbed = train("killed"), train("undisturbed")
    assert resumed["restarts"] == 1
    assert losses(tmp_path / "killed") == pytest.approx(losses(tmp_path / "undisturbed"), abs=1e-4)
    assert dict(resumed["dev_curve"]) == pytest.approx(dict(undisturbed["dev_curve"]), abs=1e-4)
    for key in ("dev_score", "dev_step", "tokens", "loss_last"):
        assert resumed[key] == pytest.approx(undisturbed[key], abs=1e-4)


@pytest.mark.parametrize("engine", ["torch", "deepspeed"])
def test_a_torn_checkpoint_costs_steps_but_not_the_result(tmp_path, capsys, regression, rows, dev_rows, training, engine):
    class Stopped(Exception):
        pass

    def stop(records):
        if records[-1]["step"] == 10:
            raise Stopped

    def train(name, show):
        return run(regression(), rows, dev_rows, training, seed=1, folder=tmp_path / name, engine=engine, show=show)

    with pytest.raises(Stopped):
        train("torn", stop)
    newest = Checkpoints(tmp_path / "torn" / "checkpoints").newest()
    assert newest
    with max(newest.folder.rglob("*.pt"), key=lambda path: path.stat().st_size).open("r+b") as file:
        file.truncate(100)
    train("torn", quiet)
    train("whole", quiet)
    assert f"{newest.folder} is damaged" in capsys.readouterr().out
    assert losses(tmp_path / "torn") == pytest.approx(losses(tmp_path / "whole"), abs=1e-4)


def test_a_frozen_base_is_neither_trained_nor_saved(tmp_path, head, training):
    objective = head()
    before = {name: value.clone() for name, value in objective.frozen[0].state_dict().items()}
    rows = [{"id": str(i), "tokens": [1 + (i + j) % 10 for j in range(4 + i % 3)]} for i in range(12)]
    sizes = []

    def look(_):
        sizes.extend(path.stat().st_size for path in tmp_path.glob("checkpoints/step-*/state.pt"))

    steps = training.model_copy(update={"steps": 20, "warmup_steps": 2})
    metrics = run(objective, rows, rows[:4], steps, seed=0, folder=tmp_path, show=look)
    assert metrics["trained_parameters"] == 16 * 4 + 4 * 11
    assert metrics["loss_last"] < metrics["loss_first"]
    assert sizes
    assert max(sizes) < 12_000
    assert all(torch.equal(value, before[name]) for name, value in objective.frozen[0].state_dict().items())


def test_the_cut_into_micro_batches_does_not_change_the_training(tmp_path, regression, rows, dev_rows, training):
    for accumulation in (1, 3):
        section = training.model_copy(update={"accumulation": accumulation})
        run(regression(), rows, dev_rows, section, seed=1, folder=tmp_path / str(accumulation), show=quiet)
    assert losses(tmp_path / "1") == pytest.approx(losses(tmp_path / "3"), abs=1e-4)


def test_packed_rows_train_as_padded_ones(tmp_path, tiny_model_folder, training):
    model = ModelSection(name=str(tiny_model_folder), dtype="float32")
    rows = [{"id": str(n), "prompt": "Question: gold?\n" * (1 + n % 4), "target": f" Au{n}\n"} for n in range(20)]
    found = []
    for pack in (0, 96):
        section = training.model_copy(update={"pack": pack})
        objective = build_sft(model, LoraSection(rank=2), 1, torch.device("cpu"))
        metrics = run(objective, rows, rows[:5], section, seed=1, folder=tmp_path / str(pack), show=quiet)
        found.append([*losses(tmp_path / str(pack)), metrics["dev_score"], metrics["tokens"]])
    assert found[0] == pytest.approx(found[1], abs=1e-5)


def test_rows_that_share_no_sequence_are_not_packed(tmp_path, regression, rows, dev_rows, training):
    section = training.model_copy(update={"pack": 64})
    with pytest.raises(TrainingError, match=r"training\.pack=64: Regression cannot read several rows in one sequence"):
        run(regression(), rows, dev_rows, section, seed=1, folder=tmp_path, show=quiet)


def test_a_loss_that_is_not_a_number_stops_with_the_step_and_the_examples(tmp_path, regression, rows, dev_rows, training):
    broken = [dict(row, y=float("nan")) if row["id"] == "row-0-7" else row for row in rows]
    with pytest.raises(TrainingError, match=r"loss is nan at step \d+; its batch holds examples .*'row-0-7'"):
        run(regression(), broken, dev_rows, training, seed=1, folder=tmp_path, show=quiet)
    assert not (tmp_path / "metrics.json").exists()


def test_no_steps_score_and_save_the_untrained_objective(tmp_path, regression, rows, dev_rows, training):
    section = training.model_copy(update={"steps": 0})
    metrics = run(regression(), rows, dev_rows, section, seed=1, folder=tmp_path, show=quiet)
    assert (metrics["steps"], metrics["loss_last"], metrics["dev_step"]) == (0, None, 0)
    assert (tmp_path / "best").exists()
    assert (tmp_path / "last").exists()


def test_fewer_examples_than_the_batch_are_enough(tmp_path, regression, rows, dev_rows, training):
    metrics = run(regression(), rows[:2], dev_rows[:1], training, seed=1, folder=tmp_path, show=quiet)
    assert metrics["steps"] == 12


@pytest.mark.parametrize("empty", ["train", "dev"])
def test_an_empty_set_is_named(tmp_path, regression, rows, dev_rows, training, empty):
    train, dev = ([], dev_rows) if empty == "train" else (rows, [])
    with pytest.raises(TrainingError, match=f"the {empty} set of .* is empty"):
        run(regression(), train, dev, training, seed=1, folder=tmp_path, show=quiet)


def test_examples_are_read_from_json_lines_and_parquet(tmp_path):
    from aag_ray.artifacts import write_table

    rows = [{"id": "a", "y": 1.0}, {"id": "b", "y": 2.0}]
    write_table(tmp_path / "rows.parquet", rows)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_examples(tmp_path / "rows.parquet") == read_examples(tmp_path / "rows.jsonl") == rows
    (tmp_path / "rows.jsonl").write_text('{"id": "a"}\n{"id": \n')
    with pytest.raises(TrainingError, match=r"rows\.jsonl:2: not a JSON object"):
        read_examples(tmp_path / "rows.jsonl")
    with pytest.raises(TrainingError, match="no file of examples"):
        read_examples(tmp_path / "absent.jsonl")


def test_the_objective_is_told_how_many_updates_were_made(tmp_path, regression, rows, dev_rows, training):
    objective, seen = regression(), []
    objective.register_forward_pre_hook(lambda module, _: seen.append(module.step))
    run(objective, rows, dev_rows, training, seed=1, folder=tmp_path, show=quiet)
    assert sorted(set(seen)) == list(range(12))
