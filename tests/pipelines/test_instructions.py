"""Instruction sets on a real local Ray: gold labels, a teacher behind a real endpoint, one that is down, and going on."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from aag_ray.artifacts import RunError, read_table
from aag_ray.config import BuildInstructionsConfig
from aag_ray.extract.endpoint_teacher import EndpointTeacher
from aag_ray.extract.instructions import InstructionRow, RowOutcome, split_and_tag
from aag_ray.extract.teachers import TeacherError
from aag_ray.pages.plain import read_text
from aag_ray.pages.tag_output import parse_strict
from aag_ray.pipelines.instructions import build_instructions, labels_fingerprint
from aag_ray.pipelines.teacher_worker import TeacherWorker
from aag_ray.settings import ConfigError, load_config

pytestmark = pytest.mark.cluster
INFORMATION = "#Extracted Information#:\n1. The capital is Lima [<T-1>]"


class Teacher:
    """A chat-completions server on a socket that finds the first span useful, in a thread of its own; and a page beside it.

    From question `fails_from` on it is out of order, from `hangs_from` on it never answers.
    """

    def __init__(self, opened: socket.socket) -> None:
        self.opened = opened
        self.asked: list[str] = []
        self.fetched = 0
        self.status = 200
        self.fails_from = self.hangs_from = 10**6
        self.url = ""
        self.stop = asyncio.Event()

    def about(self, page: int) -> int:
        """How often it was asked about a page of `rows_file`."""
        return sum(f"says page {page}." in prompt for prompt in self.asked)

    def __enter__(self) -> str:
        self.loop, ready = asyncio.new_event_loop(), threading.Event()

        async def answer(request: web.Request) -> web.Response:
            prompt = (await request.json())["messages"][-1]["content"]
            self.asked.append(prompt)
            if len(self.asked) >= self.hangs_from:
                await self.stop.wait()
            if self.status != 200 or len(self.asked) >= self.fails_from:
                return web.Response(status=self.status if self.status != 200 else 500, text="not now")
            text = INFORMATION if "#Extracted Information#" in prompt and "<T-1>" in prompt else "#Double Check#: YES"
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 3}})

        async def page(request: web.Request) -> web.Response:
            self.fetched += 1
            return web.Response(text="<p>Lima is the capital, says page 7. It rains.</p>", content_type="text/html")

        async def serve() -> None:
            app = web.Application()
            app.router.add_post("/v1/chat/completions", answer)
            app.router.add_get("/page", page)
            runner = web.AppRunner(app, shutdown_timeout=0.2)
            await runner.setup()
            await web.SockSite(runner, self.opened).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
            ready.set()
            await self.stop.wait()
            await runner.cleanup()

        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(serve(),))
        self.thread.start()
        ready.wait()
        return self.url

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join()
        self.loop.close()


def arguments(model: Path, root: Path, *more: str) -> list[str]:
    return [
        f"run={{root: '{root}', name: set}}",
        "data={contexts: 3, needles: 10, needle_tokens: 200}",
        "data.world={train_questions: 12, dev_questions: 6, test_questions: 6}",
        f"instructions.model={{name: '{model}', dtype: float32}}",
        "instructions.window_tokens=2000",
        *more,
    ]


def settings(model: Path, root: Path, *more: str) -> BuildInstructionsConfig:
    return load_config(BuildInstructionsConfig, None, arguments(model, root, *more))


def rows_file(folder: Path) -> Path:
    pages = [{"url": f"https://{n}.example/", "text": f"Lima is the capital, says page {n}. It rains there."} for n in range(3)]
    path = folder / "requests.jsonl"
    lines = [json.dumps({"id": f"r{n}", "question": f"Which capital has page {n}?", "pages": [pages[n]]}) for n in range(3)]
    path.write_text("\n".join([*lines, '{"id": "bad", "question": "?"}']) + "\n")
    return path


def taught(url: str, rows: Path) -> tuple[str, ...]:
    endpoint = f"instructions.endpoint={{base_url: '{url}', model: small, retries: 0, price_in: 1000000}}"
    return ("instructions.teacher=endpoint", endpoint, f"instructions.rows={rows}", "instructions.batch=1")


def written(root: Path, split: str) -> list[dict[str, Any]]:
    text = (root / "set" / "instructions" / f"{split}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def rows_of(root: Path, stage: str = "instructions") -> list[InstructionRow]:
    return [InstructionRow.from_row(row) for row in read_table(root / "set" / stage / "rows.parquet")]


@pytest.fixture(scope="module")
def gold(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A set of gold labels, and its counts."""
    root = tmp_path_factory.mktemp("gold")
    more = ("data.needle_languages=[en, zh]", "data.needle_depths=[0.0, 0.6]", "instructions.negatives=0.25")
    return root, build_instructions(settings(tiny_model_folder, root, *more)).metrics


def test_gold_labels_become_two_forms_of_each_pair(gold: tuple[Path, dict[str, Any]]):
    root, metrics = gold
    everything = [row for split in ("train", "dev", "test") for row in written(root, split)]
    assert len(everything) == 2 * (metrics["positives"] + metrics["negatives"])
    assert all(set(row) == {"prompt", "chosen"} for row in everything)
    tags = [row["chosen"] for row in everything if "#Extracted Information Tag#" in row["chosen"]]
    answers = [parse_strict(tag.split("assistant\n")[1].split("<|im_end|>")[0], 10_000).numbers for tag in tags]
    labelled = [row for row in rows_of(root, "labels") if row.outcome is RowOutcome.CONFIRMED]
    assert set(answers) <= {tuple(sorted(n for item in row.items for n in item.numbers)) for row in labelled}


def test_pages_without_their_answer_stay_and_the_ratio_is_met(gold: tuple[Path, dict[str, Any]]):
    root, metrics = gold
    assert metrics["negatives"] == metrics["negatives_wanted"] == round(metrics["positives"] / 3)
    without = {row.id for row in rows_of(root) if "/negative" in row.id}
    assert len(without) > 1
    assert {name.split("/")[0] for name in without} & {row.id for row in rows_of(root) if row.items}


def test_a_question_stays_in_its_split(gold: tuple[Path, dict[str, Any]]):
    given, kept = ({row.id: row.split for row in rows_of(gold[0], stage)} for stage in ("labels", "instructions"))
    order = ("train", "dev", "test")
    assert all(order.index(split) >= order.index(given[name]) for name, split in kept.items())
    assert set(kept.values()) == set(order)
    assert {split for name, split in kept.items() if given[name] == "test"} == {"test"}


def test_the_card_says_where_needles_are_and_in_which_language(gold: tuple[Path, dict[str, Any]]):
    root, metrics = gold
    needles = [row for row in rows_of(root, "labels") if row.language]
    assert {row.language for row in needles} == {"en", "zh"}
    assert all(row.id.startswith("needle:") for row in needles)
    depths = [row.depth for row in needles if row.depth is not None]
    assert all(depth < 0.15 or 0.4 < depth < 0.8 for depth in depths)
    assert {name[:2] for name in metrics["needles"]} == {"en", "zh"}
    assert "| en, depth 0 to 25 % |" in (root / "set" / "instructions" / "README.md").read_text()


def test_a_teacher_is_asked_twice_for_each_row_and_never_again(
    cluster: str, tiny_model_folder: Path, tmp_path: Path, bound: Callable[[], socket.socket]
):
    teacher = Teacher(bound())
    with teacher as url:
        given = taught(url, rows_file(tmp_path))
        config = settings(tiny_model_folder, tmp_path, *given)
        result = build_instructions(config)
        assert [teacher.about(page) for page in range(3)] == [1, 1, 1]
        assert len(teacher.asked) == 1 + 6  # before all others, whether it can be asked
        assert result.metrics["refused_rows"] == 1
        assert result.metrics["outcomes"] == {"confirmed": 3}
        assert result.metrics["cost"] == pytest.approx(6 * 9)
        assert build_instructions(config).metrics == result.metrics
        changed = ("instructions.negatives=0.1", "instructions.actors=2", "instructions.endpoint.price_in=7")
        again = build_instructions(settings(tiny_model_folder, tmp_path, *given, *changed))
        assert again.metrics["negatives_wanted"] == 0
        assert again.metrics["cost"] == result.metrics["cost"]
        assert len(teacher.asked) == 1 + 6


def test_a_teacher_that_cannot_be_asked_fails_the_job_before_any_row(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: Callable[[], socket.socket]
):
    teacher = Teacher(bound())
    teacher.status = 401
    with teacher as url:
        given = taught(url, rows_file(tmp_path))
        with pytest.raises(TeacherError, match=r"cannot be asked \(denied\): .* answered 401: not now"):
            build_instructions(settings(tiny_model_folder, tmp_path, *given))
        assert len(teacher.asked) == 1
        monkeypatch.delenv("NO_SUCH_KEY", raising=False)
        with pytest.raises(TeacherError, match=r"variable NO_SUCH_KEY .* is not set"):
            build_instructions(settings(tiny_model_folder, tmp_path, *given, "instructions.endpoint.key_env=NO_SUCH_KEY"))
        assert len(teacher.asked) == 1


def log_file(folder: Path, page: str) -> Path:
    lines: list[dict[str, Any]] = [
        {
            "timestamp": "2026-05-01T10:00:00Z",
            "request": f"Which capital has {n}?",
            "pages": [{"url": f"https://{n}/", "text": t}],
        }
        for n, t in enumerate(f"Lima is the capital, says page {n}. It rains." for n in range(2))
    ]
    lines[0]["pages"] += [page, "beside.txt", "../above.txt"]
    late = {"timestamp": "2026-06-01T10:00:00Z", "request": "Later?", "pages": []}
    (folder / "log").mkdir()
    (folder / "log" / "beside.txt").write_text("Lima is the capital, says page 2.")
    (folder / "above.txt").write_text("Secret.")
    path = folder / "log" / "requests.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, late, {"timestamp": "?"}]))
    return path


def test_pages_of_a_log_are_read_and_what_a_teacher_did_not_answer_is_asked_again(
    cluster: str, tiny_model_folder: Path, tmp_path: Path, bound: Callable[[], socket.socket]
):
    teacher = Teacher(bound())
    with teacher as url:
        port = url.split(":")[2].split("/")[0]
        path = log_file(tmp_path, f"http://127.0.0.1:{port}/page")
        log = f"{{path: {path}, start: '2026-05-01T00:00:00Z', end: '2026-05-02T00:00:00Z'}}"
        teaching, endpoint, *_ = taught(url, path)
        given = (teaching, endpoint, "instructions.endpoint.concurrency=1", f"instructions.log={log}")
        config = settings(tiny_model_folder, tmp_path, *given, f"fetch.guard.allow=['127.0.0.1:{port}']")
        teacher.fails_from = 2
        with pytest.raises(RunError, match=r"none of 4 rows was confirmed .*answered 500.* 4 are asked again"):
            build_instructions(config)
        teacher.asked.clear()
        teacher.fails_from = 1 + 4 + 1 + 1  # four pages are read, and one of them is checked
        first = build_instructions(config).metrics
        assert (first["unanswered"], first["outcomes"]) == (3, {"confirmed": 1, "check_failed": 3})
        teacher.fails_from = 10**6
        second = build_instructions(config).metrics
        assert (second["unanswered"], second["outcomes"]) == (0, {"confirmed": 4})
        answered = sum(count for how, count in second["teacher_outcomes"].items() if how.endswith(": ok"))
        assert (answered, second["cost"]) == (8, 8 * 9)  # no answer is lost, none is paid for twice
        assert (second["teacher_outcomes"]["extract: server_error"], second["teacher_outcomes"]["check: server_error"]) == (
            4,
            3,
        )
        assert teacher.fetched == 1
    assert second["log"]["requests"] == 2
    assert (second["log"]["refused lines"], second["log"]["outside the window"]) == (1, 1)
    assert second["log_pages"] == {"ok": 4, "file_refused": 1}
    assert "| file_refused | 1 |" in (tmp_path / "set" / "instructions" / "README.md").read_text()


DRIVER = """
import sys
from aag_ray.config import BuildInstructionsConfig
from aag_ray.pipelines.instructions import build_instructions
from aag_ray.settings import load_config
build_instructions(load_config(BuildInstructionsConfig, None, sys.argv[1:]))
"""


def test_a_killed_build_keeps_what_was_paid_for(
    cluster: str, tiny_model_folder: Path, tmp_path: Path, bound: Callable[[], socket.socket]
):
    teacher = Teacher(bound())
    teacher.hangs_from = 1 + 4 + 1  # two rows are answered
    parts = tmp_path / "set" / "labels" / "round" / "parts"
    with teacher as url:
        given = arguments(tiny_model_folder, tmp_path, *taught(url, rows_file(tmp_path)))
        environment = os.environ | {"RAY_ADDRESS": cluster}
        with subprocess.Popen([sys.executable, "-c", DRIVER, *given], env=environment) as driver:
            while len(list(parts.glob("*.parquet"))) < 2:
                assert driver.poll() is None, "it ended before it was killed"
                time.sleep(0.05)
            driver.kill()
        paid = {row["id"]: sum(call["cost"] for call in row["calls"]) for row in read_table(parts)}
        assert sorted(paid.values()) == [18, 18]
        teacher.hangs_from, before = 10**6, len(teacher.asked)
        result = build_instructions(load_config(BuildInstructionsConfig, None, given))
        assert len(teacher.asked) - before == 1 + 2
        assert Counter(teacher.about(int(name[1])) for name in paid) == {1: 2}
        assert (result.metrics["cost"], result.metrics["outcomes"]) == (3 * 18, {"confirmed": 3})


def waiting_rows(count: int) -> list[dict[str, Any]]:
    page = read_text("Lima is the capital. It rains there.", "https://a.example/").page
    assert page is not None
    return [row.to_row() for n in range(count) for row in split_and_tag(f"r{n}", "Which capital?", page, len, 10**4)]


def test_a_worker_asks_one_teacher_as_long_as_it_lives(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: Callable[[], socket.socket]
):
    made: list[EndpointTeacher] = []
    begin = EndpointTeacher.__init__
    monkeypatch.setattr(EndpointTeacher, "__init__", lambda self, *told: (begin(self, *told), made.append(self))[0])
    teacher = Teacher(bound())
    with teacher as url:
        limits = ("actors=4", "endpoint.requests_per_minute=24000", "endpoint.concurrency=8")
        more = (*taught(url, tmp_path), *(f"instructions.{limit}" for limit in limits))
        config = settings(tiny_model_folder, tmp_path, *more)
        worker = TeacherWorker(config.instructions)
        done = [row for _ in range(2) for row in worker(waiting_rows(2))]
    assert [row["outcome"] for row in done] == ["confirmed"] * 4
    assert [(each.endpoint.requests_per_minute, each.endpoint.concurrency) for each in made] == [(6000, 2)]


def test_a_model_on_this_machine_is_a_teacher(tiny_model_folder: Path, tmp_path: Path):
    config = settings(tiny_model_folder, tmp_path, "instructions.teacher=local", "instructions.max_new_tokens=3")
    (row,) = TeacherWorker(config.instructions)(waiting_rows(1))
    assert (row["outcome"], row["source"]) == ("teacher_failed", f"teacher:{tiny_model_folder}")
    assert [(call["step"], call["outcome"], call["tokens_out"]) for call in row["calls"]] == [("extract", "cut_off", 3)]
    assert "did not end within 3 tokens" in row["detail"]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ("batch=2 actors=3 cpus_per_actor=0.5 gpus_per_actor=0.5 negatives=0.1 similarity=0.5", True),
        ("endpoint.key_env=K endpoint.retries=9 endpoint.requests_per_minute=5 endpoint.price_in=2", True),
        ("window_tokens=77", False),
        ("endpoint.model=large", False),
    ],
)
def test_labels_are_made_again_only_for_what_decides_them(tiny_model_folder: Path, tmp_path: Path, change: str, same: bool):
    given = taught("http://127.0.0.1:1/v1", rows_file(tmp_path))
    changed = [f"instructions.{each}" for each in change.split()]
    one, other = (labels_fingerprint(settings(tiny_model_folder, tmp_path, *given, *more)) for more in ((), changed))
    assert (one == other) is same


def test_labels_are_made_again_for_a_file_that_changed(tiny_model_folder: Path, tmp_path: Path):
    path = rows_file(tmp_path)
    config = settings(tiny_model_folder, tmp_path, *taught("http://127.0.0.1:1/v1", path))
    before = labels_fingerprint(config)
    path.write_text(path.read_text().replace("Lima", "Quito"))
    assert labels_fingerprint(config) != before


def test_settings_that_cannot_work_are_refused(tiny_model_folder: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"teacher=endpoint needs endpoint\.base_url"):
        settings(tiny_model_folder, tmp_path, "instructions.teacher=endpoint")
    with pytest.raises(ConfigError, match="teacher=gold knows no answers"):
        settings(tiny_model_folder, tmp_path, "instructions.rows=x.jsonl")
    log = "{path: x, start: '2026-05-02T00:00:00Z', end: '2026-05-01T00:00:00Z'}"
    with pytest.raises(ConfigError, match=r"start=2026-05-02.* must be before end=2026-05-01"):
        settings(tiny_model_folder, tmp_path, "instructions.teacher=local", f"instructions.log={log}")
    with pytest.raises(ConfigError, match=r"is for jobs/train_extractor\.py"):
        settings(tiny_model_folder, tmp_path, "data.instructions=runs/instructions")
