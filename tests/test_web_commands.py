"""`aag fetch`, `aag tag`, `aag search`, `aag world`: on a real local web, as a person types them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aag_ray.cli import main

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def web() -> Iterator[dict[str, Any]]:
    """What `aag world serve` says of itself, while it runs."""
    command = [sys.executable, "-c", "from aag_ray.cli import main; main()"]
    options = [
        "world",
        "serve",
        "--json",
        "--pages",
        "80",
        "world.train_questions=20",
        "world.dev_questions=4",
        "world.test_questions=4",
    ]
    with subprocess.Popen([*command, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def opened(web: dict[str, Any]) -> list[str]:
    return [part for site in web["allow"] for part in ("--allow", site)]


def test_fetch_prints_an_outcome_for_every_url(web: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    missing = f"{web['base']}nothing-here"
    assert main(["fetch", web["base"], missing, "http://10.0.0.1/", *opened(web), "--set", "politeness.delay_seconds=0"]) == 1
    rows = {row["url"]: row for row in lines(capsys)}
    assert {url: row["outcome"] for url, row in rows.items()} == {
        web["base"]: "ok", missing: "http_client_error", "http://10.0.0.1/": "address_refused",
    }  # fmt: skip
    assert rows[web["base"]]["bytes"] > 1000
    assert "text" not in rows[web["base"]]


def test_a_local_address_is_closed_unless_it_is_opened(web: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    assert main(["fetch", web["base"]]) == 1
    assert lines(capsys)[0]["outcome"] in ("address_refused", "port_refused")


def test_tag_prints_tagged_text_or_spans_that_point_into_it(
    web: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    file = tmp_path / "page.html"
    file.write_text("<title>T</title><p>One is here. Two &lt;T-9&gt; is there.</p><script>no()</script>")
    assert main(["tag", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "<T-1>One is here.</T-1>" in shown
    assert "<T-9>" not in shown
    assert "no()" not in shown
    assert main(["tag", "--json", str(file), web["base"], *opened(web)]) == 0
    local, remote = lines(capsys)
    assert [local["text"][s["start"] : s["end"]] for s in local["spans"]] == ["One is here.", "Two <T-9> is there."]
    assert remote["outcome"] == "ok"
    assert len(remote["spans"]) > 3


def test_tag_says_what_cannot_be_tagged(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    empty = tmp_path / "empty.html"
    empty.write_text("<html></html>")
    assert main(["tag", str(empty)]) == 1
    assert "empty" in capsys.readouterr().err
    assert main(["tag", str(tmp_path / "gone.html")]) == 1
    assert "cannot read" in capsys.readouterr().err


def test_search_finds_pages_of_the_local_web(web: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    assert main(["search", "capital city", "--searxng", web["search"].removesuffix("/search"), "--count", "3", "--json"]) == 0
    (answer,) = lines(capsys)
    assert answer["outcome"] == "ok"
    assert 0 < len(answer["results"]) <= 3
    assert all(result["url"].startswith("http://127.0.0.") for result in answer["results"])


def test_search_needs_an_engine_and_says_when_it_is_down(capsys: pytest.CaptureFixture[str]):
    assert main(["search", "x"]) == 1
    assert "--searxng URL" in capsys.readouterr().err
    assert main(["search", "x", "--searxng", "http://127.0.0.1:1"]) == 1
    assert capsys.readouterr().err


def test_a_bad_setting_is_named(capsys: pytest.CaptureFixture[str]):
    assert main(["fetch", "https://a.example/", "--set", "guard.ports=[6379]"]) == 1
    assert "Ray" in capsys.readouterr().err
