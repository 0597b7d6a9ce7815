"""Pages of a log: held by it, files below its folder and nowhere else. (The web: see tests/pipelines/test_instructions.py.)"""

from datetime import UTC, datetime
from pathlib import Path

from aag_ray.config import FetchSection
from aag_ray.extract.logged_pages import read_logged_pages
from aag_ray.extract.request_log import LoggedPage, LoggedRequest


def outcomes(tmp_path: Path, *pages: LoggedPage) -> list[tuple[str, str]]:
    """How each page ended, and its text or what was said instead."""
    request = LoggedRequest(1, datetime(2026, 5, 1, tzinfo=UTC), "Why?", pages)
    found = read_logged_pages([request], tmp_path / "log.jsonl", FetchSection(), tmp_path / "fetched.parquet")
    assert [each.place for each in found] == list(range(len(pages)))
    return [(each.outcome, each.page.tagged.page.text if each.page else each.detail) for each in found]


def test_pages_that_the_log_holds_are_read_as_what_they_are(tmp_path: Path):
    held = (LoggedPage("u", "<p>One.</p>", "html"), LoggedPage("u", "a < b.", "text"), LoggedPage("u", "", "text"))
    one, two, (none, _) = outcomes(tmp_path, *held)
    assert (one, two) == (("ok", "One."), ("ok", "a < b."))
    assert none == "empty"


def test_files_are_read_below_the_log_and_nowhere_else(tmp_path: Path):
    folder = tmp_path / "logs"
    (folder / "kept").mkdir(parents=True)
    (folder / "kept" / "a.html").write_text("<html><p>Kept.</p></html>")
    (tmp_path / "secret.txt").write_text("Secret.")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    named = ("kept/a.html", "../secret.txt", str(tmp_path / "secret.txt"), "link.txt", "none.txt", "a\0b", "kept")
    kept, *refused, missing, impossible, a_folder = outcomes(folder, *map(LoggedPage, named))
    assert kept == ("ok", "Kept.")
    assert [how for how, _ in refused] == ["file_refused"] * 3
    assert {how for how, _ in (missing, impossible, a_folder)} == {"file_unreadable"}
    assert "none.txt: No such file" in missing[1]


def test_an_address_that_is_not_public_is_refused_by_the_guard(tmp_path: Path):
    ((outcome, detail),) = outcomes(tmp_path, LoggedPage("http://127.0.0.1:9/"))
    assert outcome in ("address_refused", "port_refused")
    assert detail
    assert not (tmp_path / "fetched.parquet").exists()
