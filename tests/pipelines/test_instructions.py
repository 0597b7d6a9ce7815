"""Instruction sets on a real local Ray: gold labels, a teacher behind a real endpoint, one that is down, and going on."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from aiohttp import web

from aag_ray.artifacts import read_table
from aag_ray.config import BuildInstructionsConfig
from aag_ray.extract.instructions import InstructionRow, RowOutcome
from aag_ray.pages.tag_output import parse_strict
from aag_ray.pipelines.instructions import build_instructions
from aag_ray.settings import ConfigError, load_config

pytestmark = pytest.mark.cluster
INFORMATION = "#Extracted Information#:\n1. The capital is Lima [<T-1>]"


class Teacher:
    """A chat-completions server on loopback that finds the first span useful, in a thread of its own."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.down = False
        self.url = ""
        self.stop = asyncio.Event()

    def __enter__(self) -> str:
        self.loop, ready = asyncio.new_event_loop(), threading.Event()

        async def answer(request: web.Request) -> web.Response:
            prompt = (await request.json())["messages"][-1]["content"]
            self.asked.append(prompt)
            if self.down:
                return web.Response(status=401, text="no such key")
            text = INFORMATION if "#Extracted Information#" in prompt and "<T-1>" in prompt else "#Double Check#: YES"
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 3}})

        async def serve() -> None:
            app = web.Application()
            app.router.add_post("/v1/chat/completions", answer)
            runner = web.AppRunner(app, shutdown_timeout=0.2)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
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


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def settings(model: Path, root: Path, *more: str) -> BuildInstructionsConfig:
    return load_config(
        BuildInstructionsConfig,
        None,
        [
            f"run={{root: '{root}', name: set}}",
            "data={contexts: 3, needles: 10, needle_tokens: 200}",
            "data.world={train_questions: 12, dev_questions: 6, test_questions: 6}",
            f"instructions.model={{name: '{model}', dtype: float32}}",
            "instructions.window_tokens=2000",
            *more,
        ],
    )


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


def test_gold_labels_become_two_forms_of_each_pair(cluster: None, tiny_model_folder: Path, tmp_path: Path):
    result = build_instructions(settings(tiny_model_folder, tmp_path))
    assert result.metrics["positives"] > 0
    assert result.metrics["negatives"] > 0
    everything = [row for split in ("train", "dev", "test") for row in written(tmp_path, split)]
    assert len(everything) == 2 * (result.metrics["positives"] + result.metrics["negatives"])
    assert all(set(row) == {"prompt", "chosen"} for row in everything)
    rows = [InstructionRow.from_row(row) for row in read_table(tmp_path / "set" / "instructions" / "rows.parquet")]
    tags = [row["chosen"] for row in everything if "#Extracted Information Tag#" in row["chosen"]]
    answers = [parse_strict(tag.split("assistant\n")[1].split("<|im_end|>")[0], 10_000).numbers for tag in tags]
    gold = {tuple(sorted(n for item in row.items for n in item.numbers)) for row in rows if row.outcome is RowOutcome.CONFIRMED}
    assert set(answers) <= gold
    assert "| train |" in (tmp_path / "set" / "instructions" / "README.md").read_text()


def test_a_teacher_is_asked_twice_for_each_row_and_never_again(cluster: None, tiny_model_folder: Path, tmp_path: Path):
    teacher = Teacher()
    with teacher as url:
        config = settings(tiny_model_folder, tmp_path, *taught(url, rows_file(tmp_path)))
        result = build_instructions(config)
        assert len(teacher.asked) == 6
        assert result.metrics["refused_rows"] == 1
        assert result.metrics["outcomes"] == {"confirmed": 3}
        assert result.metrics["cost"] == pytest.approx(6 * 9)
        assert build_instructions(config).metrics == result.metrics
        assert len(teacher.asked) == 6


def test_a_teacher_that_refuses_ends_in_rows_that_say_so(cluster: None, tiny_model_folder: Path, tmp_path: Path):
    teacher = Teacher()
    teacher.down = True
    with teacher as url:
        result = build_instructions(settings(tiny_model_folder, tmp_path, *taught(url, rows_file(tmp_path))))
    assert result.metrics["outcomes"] == {"teacher_failed": 3}
    rows = read_table(tmp_path / "set" / "instructions" / "rows.parquet")
    assert all("401" in row["detail"] for row in rows)
    assert all(row["calls"][0]["outcome"] == "refused" for row in rows)


def test_settings_that_cannot_work_are_refused(tiny_model_folder: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"teacher=endpoint needs endpoint\.base_url"):
        settings(tiny_model_folder, tmp_path, "instructions.teacher=endpoint")
    with pytest.raises(ConfigError, match="teacher=gold knows no answers"):
        settings(tiny_model_folder, tmp_path, "instructions.rows=x.jsonl")
