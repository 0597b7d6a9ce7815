"""`aag extract`: evidence on the page for people, as JSON for programs, row by row from a file."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from aag_ray.cli import main

PAGE = """<title>Metals</title><p>Iron rusts in the rain. The symbol of gold is Au.</p>
<p>Lead is heavy. It was used for pipes in Rome and for type in print shops everywhere.</p>"""
QUESTION = "What is the symbol of gold?"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without runs: the scorer of a run in ./runs would be taken."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "metals.html"
    path.write_text(PAGE)
    return path


@pytest.fixture
def served(bound: Callable[[], socket.socket]) -> Iterator[str]:
    """The page on a real local server; anything else is missing."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/metals"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(PAGE.encode() if found else b"")

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    opened = bound()
    with ThreadingHTTPServer(opened.getsockname(), Handler, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = opened
        server.server_activate()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def extract(*arguments: str) -> int:
    return main(["extract", *arguments])


def test_evidence_points_into_the_page(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extract("--question", QUESTION, "--extractor", "bm25", "--budget", "0.5", "--json", str(page)) == 0
    (row,) = lines(capsys)
    assert (row["outcome"], row["extractor"], row["calibrated"]) == ("relevant", "bm25", False)
    best = row["evidence"][0]
    assert set(best) == {"url", "tag", "start", "end", "text", "score"}
    assert (best["url"], best["tag"], best["text"]) == (str(page), 2, "The symbol of gold is Au.")
    assert main(["tag", "--json", str(page)]) == 0
    (tagged,) = lines(capsys)
    assert tagged["text"][best["start"] : best["end"]] == best["text"]
    assert 0 < row["tokens_kept"] <= row["tokens_in"] * 0.5
    assert row["seconds"] > 0


def test_people_see_the_page_with_its_spans_marked(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extract("--question", QUESTION, "--extractor", "bm25", "--budget", "0.3", str(page)) == 0
    shown = capsys.readouterr().out
    assert "Iron rusts in the rain. <T-2 " in shown
    assert "> The symbol of gold is Au.\n" in shown
    assert f"-- {page}: relevant, 1 span, " in shown
    assert shown.splitlines()[-1].startswith("bm25: relevant, ")


def test_a_terminal_shows_them_in_colour(page: Path) -> None:
    command = [sys.executable, "-c", "import sys; from aag_ray.cli import main; sys.exit(main())", "extract"]
    options = ["--question", QUESTION, "--extractor", "bm25", "--budget", "0.3", str(page)]
    environment = os.environ | {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True, env=environment)
    assert "\x1b[1;7mThe symbol of gold is Au.\x1b[0m" in done.stdout


def test_nothing_relevant_is_a_result_not_a_failure(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extract("--question", "Who wrote Faust?", "--extractor", "bm25", "--json", str(page)) == 0
    (row,) = lines(capsys)
    assert (row["outcome"], row["evidence"]) == ("nothing_relevant", [])


def test_the_threshold_can_be_said(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    question = "What is the symbol of gold in Peru?"
    assert extract("--question", question, "--extractor", "bm25", "--threshold", "1", "--json", str(page)) == 0
    assert lines(capsys)[0]["outcome"] == "nothing_relevant"


def test_files_and_urls_share_a_request(page: Path, served: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://{served}/metals"
    allow = ["--allow", served, "--set", "politeness.delay_seconds=0"]
    assert extract("--question", QUESTION, "--extractor", "all", "--json", str(page), url, *allow) == 0
    (row,) = lines(capsys)
    assert [each["url"] for each in row["pages"]] == [str(page), url]
    assert row["tokens_kept"] == row["tokens_in"]
    assert row["unread"] == []


def test_a_source_that_cannot_be_read_is_told_beside_the_others(
    page: Path, served: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.html").write_text("<html></html>")
    sources = [f"http://{served}/gone", str(tmp_path / "empty.html"), str(page)]
    allow = ["--allow", served, "--set", "politeness.delay_seconds=0"]
    assert extract("--question", QUESTION, "--extractor", "bm25", "--json", *sources, *allow) == 1
    (row,) = lines(capsys)
    assert row["outcome"] == "relevant"
    assert [(each["url"], each["outcome"]) for each in row["unread"]] == [
        (sources[0], "http_client_error"),
        (sources[1], "empty"),
    ]
    assert extract("--question", QUESTION, "--extractor", "bm25", str(tmp_path / "gone.html")) == 1
    assert "cannot read" in capsys.readouterr().err


def test_rows_of_a_file_become_results_and_a_bad_one_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [
        {"id": "a", "question": QUESTION, "pages": [{"url": "u", "html": PAGE}, {"url": "v", "text": ""}]},
        {"id": "b", "question": "", "pages": []},
        {"id": "c", "question": "Was ist Blei?", "pages": [{"url": "w", "text": "Blei ist schwer. Zinn nicht."}]},
        {"id": "d", "question": QUESTION, "pages": []},
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\nno json\n")
    assert extract("--input", str(path), "--extractor", "bm25") == 1
    first, second, third, fourth, last = lines(capsys)
    assert (first["id"], first["outcome"]) == ("a", "relevant")
    assert {"evidence", "tokens_in", "tokens_kept", "seconds"} <= set(first)
    assert [each["outcome"] for each in first["pages"]] == ["relevant", "page_too_short"]
    assert first["pages"][1]["detail"].startswith("empty: v holds no text")
    assert second == {"id": "b", "outcome": "invalid", "detail": f"{path}, row 2: the question '' holds no word"}
    assert third["evidence"][0]["text"] == "Blei ist schwer."
    assert (fourth["outcome"], fourth["evidence"]) == ("page_too_short", [])
    assert (last["id"], last["outcome"]) == ("5", "invalid")
    assert f"{path}, row 5: not JSON" in last["detail"]


def test_good_rows_end_with_status_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"id": 1, "question": "gold", "pages": [{"text": "Gold. Tin."}]}))
    assert extract("--input", str(path), "--extractor", "bm25") == 0
    assert lines(capsys)[0]["id"] == "1"
    path.write_text("")
    assert extract("--input", str(path), "--extractor", "bm25") == 0
    assert lines(capsys) == []


def test_a_language_model_emits_tags_and_says_why(
    page: Path, tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = ["--question", QUESTION, "--model", str(tiny_model_folder), "--json", str(page)]
    assert extract("--extractor", "tags", *ask) == 0
    (row,) = lines(capsys)
    assert (row["extractor"], "why" in row) == ("tags", False)
    assert all(1 <= each["tag"] <= 4 for each in row["evidence"])
    assert extract("--why", *ask) == 0
    (row,) = lines(capsys)
    assert row["extractor"] == "tags (info)"
    assert [set(each) for each in row["why"]] == [{"url", "text", "tags", "ignored"}]


USAGE = [
    (["--question", "x"], "at least one FILE or URL, or --input FILE"),
    (["--input", "rows.jsonl", "page.html"], "or --input FILE"),
    (["--input", "rows.jsonl", "--question", "x"], "--question cannot be used with --input"),
    (["page.html"], "--question is missing"),
    (["--question", "?!", "page.html"], "--question: the question '?!' holds no word"),
    (["--why", "--extractor", "bm25", "--question", "x", "page.html"], "--why needs --extractor tags, not bm25"),
    (["--why", "--input", "rows.jsonl"], "--why shows pages to people"),
    (["--input", "gone.jsonl"], "cannot read gone.jsonl"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE)
def test_what_cannot_be_asked_is_said(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert extract(*arguments) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("aag: ")
    assert message in captured.err
    assert captured.out == ""


def test_a_checkpoint_that_is_not_there_is_named(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extract("--question", "x", "--checkpoint", "nowhere", str(page)) == 1
    assert "checkpoint=nowhere is no folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"), [("--budget", "1.5"), ("--budget", "nan"), ("--threshold", "-1"), ("--budget", "x")]
)
def test_shares_are_numbers_from_0_to_1(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        extract("--question", "x", option, value, "page.html")
    assert f"{value!r} is not a number from 0 to 1" in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom aag_ray.cli import main\n"
        "try: main(['extract', '--help'])\nexcept SystemExit as end: assert end.code == 0\n"
        "assert not {'torch', 'transformers', 'numpy', 'rich'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--budget SHARE" in done.stdout


def test_a_scorer_in_runs_is_taken_unless_told_not_to(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = page.parent / "runs" / "mine" / "scorer"
    (run / "model").mkdir(parents=True)
    (run / "manifest.json").write_text("{}")
    assert extract("--question", QUESTION, str(page)) == 1
    assert "mine/scorer/model holds no span scorer" in capsys.readouterr().err
    assert extract("--question", QUESTION, "--untrained", "--checkpoint", "x", str(page)) == 1
    assert "--untrained contradicts --checkpoint x" in capsys.readouterr().err


@pytest.mark.model
def test_the_default_is_the_scorer_and_says_that_it_is_untrained(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extract("--question", QUESTION, "--json", str(page)) == 0
    (row,) = lines(capsys)
    assert (row["extractor"], row["calibrated"]) == ("scorer (untrained)", False)
    assert row["evidence"][0]["text"] == "The symbol of gold is Au."
