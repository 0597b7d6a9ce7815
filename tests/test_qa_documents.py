"""Documents that question files bring along: read by question, without what is not the passages'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aag_ray.qa_documents import read_documents
from aag_ray.qa_files import QaFileError
from aag_ray.records import Document, Outcome

ASKED: dict[str, Any] = {"question": "which metal is Au", "answers": ["gold"]}


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_written_document_is_that_of_its_question(tmp_path: Path):
    path = lines(tmp_path / "dev.jsonl", ASKED | {"id": 7, "pred": " Gold is a metal.\n"}, ASKED | {"pred": "Au."})
    assert read_documents(path, "pred") == {
        "7": Document("7", "Gold is a metal."),
        "dev-1": Document("dev-1", "Au."),
    }


@pytest.mark.parametrize("before", [192, 202])
def test_a_compressed_prompt_loses_instruction_and_question(tmp_path: Path, before: int):
    prompt = f"{'i' * before}\n\nGold is Au.\n\nIts metal.\n\n{ASKED['question']}"
    held = {"compressed_prompt": prompt, "origin_tokens": 500, "compressed_tokens": 64, "ratio": "7.8x", "saving": "none"}
    path = lines(tmp_path / "a.jsonl", ASKED | {"id": "q", "compressed_ctxs_5": held})
    [document] = read_documents(path, "compressed_ctxs_5").values()
    assert document == Document("q", "Gold is Au.\n\nIts metal.", Outcome.OK, "", 500, 64)


def test_a_compressed_prompt_without_them_stays_whole(tmp_path: Path):
    path = lines(tmp_path / "a.jsonl", ASKED | {"compressed_ctxs_1": {"compressed_prompt": "Gold is Au.\n\nIts metal."}})
    assert read_documents(path, "compressed_ctxs_1")["a-0"].text == "Gold is Au.\n\nIts metal."


def test_a_row_without_one_is_left_out_and_an_empty_one_says_so(tmp_path: Path):
    path = lines(tmp_path / "a.jsonl", ASKED | {"pred": None}, ASKED, ASKED | {"pred": " "}, ["no row"], ASKED | {"pred": "x"})
    found = read_documents(path, "pred")
    assert {key: document.outcome for key, document in found.items()} == {"a-2": Outcome.EMPTY_RESULT, "a-4": Outcome.OK}


@pytest.mark.parametrize("value", [7, ["a"], {"compressed_prompt": None}, {"text": "a"}])
def test_what_is_no_document_is_named_by_file_row_and_column(tmp_path: Path, value: Any):
    path = lines(tmp_path / "a.jsonl", ASKED | {"pred": "x"}, ASKED | {"pred": value})
    with pytest.raises(QaFileError, match=r"a\.jsonl, row 2: pred must be a document, not .*; allowed: text, or"):
        read_documents(path, "pred")


def test_a_column_without_any_document_is_named(tmp_path: Path):
    with pytest.raises(QaFileError, match=r"a\.jsonl: no row has a document in a column 'pred'"):
        read_documents(lines(tmp_path / "a.jsonl", ASKED), "pred")
