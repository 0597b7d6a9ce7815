"""The log has one line a step, also after a resume; TensorBoard and the progress lines say the same."""

import io

from aag_ray.train.log import ProgressLines, TrainingLog, follow_log, read_log


def record(step, loss=1.0, **more):
    return {"step": step, "loss": loss, "lr": 0.1, "tokens": 100, "seconds": 0.5, "time": 1000.0 + step} | more


def tensorboard_losses(folder):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    events = [event for path in folder.iterdir() for event in EventFileLoader(str(path)).Load()]
    tags = [(event.step, value.tag, value.tensor.float_val[0]) for event in events for value in event.summary.value]
    return [(step, number) for step, tag, number in tags if tag == "loss"]


def test_a_resume_drops_what_came_after_its_checkpoint(tmp_path):
    log = TrainingLog(tmp_path, 0)
    log.write([record(step, loss=float(step)) for step in (1, 2, 3, 4)])
    log.close()
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')  # cut off by a kill
    log = TrainingLog(tmp_path, 2)
    log.write([record(3, loss=30.0)])
    log.close()
    assert [(line["step"], line["loss"]) for line in read_log(tmp_path / "log.jsonl")] == [(1, 1.0), (2, 2.0), (3, 30.0)]
    assert tensorboard_losses(tmp_path / "tensorboard") == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_a_follower_sees_each_step_once_even_over_a_resume(tmp_path):
    records = follow_log(tmp_path / "log.jsonl")
    assert next(records) == []
    log = TrainingLog(tmp_path, 0)
    log.write([record(1), record(2)])
    assert [line["step"] for line in next(records)] == [1, 2]
    assert next(records) == []
    log.close()
    log = TrainingLog(tmp_path, 1)
    log.write([record(2), record(3)])
    log.close()
    assert [line["step"] for line in next(records)] == [3]


def test_progress_tells_step_loss_speed_and_time_left():
    stream = io.StringIO()
    show = ProgressLines("reader", 10, stream, every=0.0)
    show([record(1)])
    show([record(2), record(3, loss=0.25, dev=0.5)])
    assert stream.getvalue().splitlines()[1] == "reader  step 3/10  loss 0.2500  dev 0.5000  200 tokens/s  0:07 left"


def test_progress_is_silent_between_times_but_not_about_the_last_step():
    stream = io.StringIO()
    show = ProgressLines("reader", 4, stream, every=3600.0)
    for step in (1, 2, 3, 4):
        show([record(step)])
    assert [line.split("  ")[1] for line in stream.getvalue().splitlines()] == ["step 1/4", "step 4/4"]


def test_a_terminal_gets_a_bar_on_one_line():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    show = ProgressLines("reader", 4, stream, every=0.0)
    show([record(2)])
    show([record(4)])
    assert stream.getvalue().count("\n") == 1
    assert "##########.........." in stream.getvalue()
