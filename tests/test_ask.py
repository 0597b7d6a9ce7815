"""`aag ask`: rows in, one JSON line out for each, whatever is wrong with a row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aag_ray.ask import Answerer, AskError, Row, read_rows
from aag_ray.cli import main
from aag_ray.records import Outcome


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


class TestReadingRows:
    def test_id_question_and_document(self, tmp_path: Path) -> None:
        file = write(
            tmp_path / "rows.jsonl", '{"id": "a", "question": "Who?", "document": "A text."}', "", '{"question": "What?"}'
        )
        assert list(read_rows(file)) == [Row("a", "Who?", "A text."), Row("3", "What?")]

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ("{", "not JSON"),
            ("[1]", "found list"),
            ('{"id": 7}', "question must be text, not None"),
            ('{"question": "  "}', "question must be text"),
            ('{"question": "Who?", "document": 3}', "document must be text, not 3"),
        ],
    )
    def test_a_bad_row_is_kept_with_its_place_and_reason(self, tmp_path: Path, line: str, reason: str) -> None:
        [row] = read_rows(write(tmp_path / "rows.jsonl", line))
        assert reason in row.detail
        assert "rows.jsonl:1" in row.detail

    def test_a_file_that_is_not_text_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "rows.jsonl").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(AskError, match=r"rows.jsonl is not UTF-8"):
            list(read_rows(tmp_path / "rows.jsonl"))


class TestTheBaseModel:
    def test_answers_every_row_in_order_over_batches(self, tiny_model_folder: Path) -> None:
        rows = [Row(str(number), f"Question {number}?") for number in range(20)]
        rows[3] = Row("3", "", detail="line 4: not JSON")
        answers = list(Answerer("base", model=str(tiny_model_folder)).answer(rows))
        assert [answer.id for answer in answers] == [row.id for row in rows]
        assert answers[3].outcome is Outcome.FAILED
        assert all(answer.seconds > 0 for answer in answers if answer.id != "3")


class TestTheCommand:
    def test_needs_a_question_or_a_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["ask"]) == 1
        assert "give one question, or --input FILE" in capsys.readouterr().err

    def test_the_base_model_has_no_adapter(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["ask", "Who?", "--mode", "base", "--document-in", "both"]) == 1
        assert "needs --mode aag" in capsys.readouterr().err

    def test_without_a_run_it_says_how_to_make_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert main(["ask", "Who?"]) == 1
        assert "make train" in capsys.readouterr().err

    def test_a_missing_document_is_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["ask", "Who?", "--document", "/nowhere/text"]) == 1
        assert "cannot read /nowhere/text" in capsys.readouterr().err

    def test_prints_one_json_object_a_row(
        self, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        import aag_ray.ask

        base = Answerer("base", model=str(tiny_model_folder))
        monkeypatch.setattr(aag_ray.ask, "Answerer", lambda *_: base)
        file = write(tmp_path / "rows.jsonl", '{"id": "a", "question": "Who?"}', "{", '{"id": "c", "question": "What?"}')
        assert main(["ask", "--mode", "base", "--input", str(file)]) == 1
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [line["id"] for line in lines] == ["a", "2", "c"]
        assert all({"id", "answer", "outcome", "seconds"} <= set(line) for line in lines)
