"""Question files: every public form is read, every bad row is named, no damaged file passes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.qa_files import QaFileError, Refused, read_passages, read_questions
from aag_ray.records import Passage

GOOD: dict[str, Any] = {"question": "which metal is Au", "answers": ["gold"]}


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def context(**changes: Any) -> dict[str, Any]:
    return GOOD | {"ctxs": [{"title": "Gold", "text": "Gold is Au."} | changes]}


def test_a_dpr_row_keeps_everything(tmp_path: Path) -> None:
    contexts = [
        {"id": "wiki:1", "title": "Silver", "text": "Silver is Ag.", "score": "79.5", "has_answer": False},
        {"id": 2, "title": "Gold", "text": "Gold is Au.", "score": 80.25, "hasanswer": True},
    ]
    [question] = read_questions(lines(tmp_path / "a.jsonl", GOOD | {"id": "q1", "ctxs": contexts})).questions
    assert (question.id, question.question, question.answers) == ("q1", "which metal is Au", ("gold",))
    assert question.contexts == (
        Passage("2", "Gold", "Gold is Au.", 80.25, True),
        Passage("wiki:1", "Silver", "Silver is Ag.", 79.5, False),
    )


def test_a_json_list_and_json_lines_read_the_same_plain_and_gzipped(tmp_path: Path) -> None:
    rows = [GOOD | {"id": 7}, GOOD | {"question": "a\u2028b", "answers": ["x\ny"]}]
    as_list = json.dumps(rows, indent=1, ensure_ascii=False).encode()
    as_lines = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
    contents = {
        "qa.json": as_list,
        "qa.jsonl": as_lines,
        "qa.json.gz": gzip.compress(as_list),
        "qa.txt": b"\xef\xbb\xbf" + as_lines,
    }
    read = []
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        read.append([(q.question, q.answers) for q in read_questions(tmp_path / name).questions])
    assert read == [[("which metal is Au", ("gold",)), ("a\u2028b", ("x\ny",))]] * 4


def test_nq_open_names_its_answers_in_the_singular(tmp_path: Path) -> None:
    path = lines(tmp_path / "nq.jsonl", {"question": "q", "answer": ["a", "b"]}, {"question": "r", "answer": "c"})
    assert [question.answers for question in read_questions(path).questions] == [("a", "b"), ("c",)]


def test_triviaqa_names_the_answer_to_train_on(tmp_path: Path) -> None:
    path = lines(tmp_path / "tqa.jsonl", GOOD | {"target": "Au"}, GOOD | {"target": None})
    assert [question.training_answer for question in read_questions(path).questions] == ["Au", "gold"]


def test_a_missing_id_is_made_of_file_and_row_index(tmp_path: Path) -> None:
    (tmp_path / "dev.json.gz").write_bytes(gzip.compress(json.dumps([GOOD, GOOD | {"id": 5}, GOOD]).encode()))
    assert [question.id for question in read_questions(tmp_path / "dev.json.gz").questions] == ["dev-0", "5", "dev-2"]


def test_a_missing_score_falls_with_the_passage_index_not_the_row_index(tmp_path: Path) -> None:
    row = GOOD | {"ctxs": [{"text": "first"}, {"text": "second"}, {"text": "third", "score": 0.75}]}
    for question in read_questions(lines(tmp_path / "a.jsonl", row, row)).questions:
        assert [(passage.text, passage.score) for passage in question.contexts] == [
            ("first", 1.0),
            ("third", 0.75),
            ("second", 0.5),
        ]


@given(scores=st.lists(st.lists(st.integers(-3, 3), max_size=6), min_size=1, max_size=4))
def test_contexts_are_sorted_in_every_row_and_ties_keep_their_order(
    scores: list[list[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = [
        GOOD | {"ctxs": [{"id": index, "text": "t", "score": str(score)} for index, score in enumerate(row)]} for row in scores
    ]
    questions = read_questions(lines(tmp_path_factory.mktemp("qa") / "a.jsonl", *rows)).questions
    for row, question in zip(scores, questions, strict=True):
        expected = sorted(range(len(row)), key=lambda index: (-row[index], index))
        assert [int(passage.id) for passage in question.contexts] == expected


BAD_ROWS = {
    "not an object": (["which metal is Au"], r"a row must be an object, not \[\"which"),
    "no question": ({"answers": ["gold"]}, "question must be text, not nothing"),
    "an empty question": (GOOD | {"question": "  "}, "question must be text, not empty text"),
    "a question that is a number": (GOOD | {"question": 3}, "question must be text, not 3"),
    "no answers": ({"question": "q"}, "no answers"),
    "an empty list of answers": (GOOD | {"answers": []}, "no answers"),
    "answers of another kind": (GOOD | {"answers": {"value": "gold"}}, "answers must be a list"),
    "an answer that is a number": (GOOD | {"answers": ["gold", 79]}, r"answers\[1\] must be text, not 79"),
    "an empty answer": (GOOD | {"answers": ["gold", ""]}, r"answers\[1\] must be text, not empty text"),
    "an empty target": (GOOD | {"target": ""}, "target must be text, not empty text"),
    "an id that is a list": (GOOD | {"id": [1]}, r"id must be text or a whole number, not \[1\]"),
    "contexts of another kind": (GOOD | {"ctxs": "Gold is Au."}, "ctxs must be a list"),
    "a context of another kind": (GOOD | {"ctxs": ["Gold is Au."]}, r"ctxs\[0\] must be an object"),
    "a context without text": (context(text=None), r"ctxs\[0\]\.text must be text, not nothing"),
    "a title that is a number": (context(title=1), r"ctxs\[0\]\.title must be text, not 1"),
    "a score that is NaN": (context(score=float("nan")), r"ctxs\[0\]\.score must be a finite number, not NaN"),
    "a score without end": (context(score="inf"), r"ctxs\[0\]\.score must be a finite number"),
    "a score that is a word": (context(score="high"), r"ctxs\[0\]\.score must be a finite number, not \"high\""),
    "a score that is a truth value": (context(score=True), r"ctxs\[0\]\.score must be a finite number, not true"),
    "hasanswer of another kind": (context(hasanswer="yes"), r"ctxs\[0\]\.hasanswer must be true or false, not \"yes\""),
    "half of a surrogate pair": (GOOD | {"question": "\ud83d?"}, "question holds half of a surrogate pair"),
    "an id that is there already": (GOOD | {"id": "first"}, "id 'first' is the id of row 1 already"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_named_with_file_row_reason_and_what_is_allowed(tmp_path: Path, case: str) -> None:
    row, reason = BAD_ROWS[case]
    path = lines(tmp_path / "bad.jsonl", GOOD | {"id": "first"}, row)
    with pytest.raises(
        QaFileError, match=rf"{path}, row 2: {reason}(.|\n)*allowed: a row is (.|\n)*skip_bad=true goes on with the 1"
    ):
        read_questions(path)
    kept = read_questions(path, skip_bad=True)
    assert [question.id for question in kept.questions] == ["first"]
    assert [refused.row for refused in kept.refused] == [2]


def test_refused_rows_are_counted_and_the_first_few_shown(tmp_path: Path) -> None:
    path = lines(tmp_path / "bad.jsonl", GOOD, *[{}] * 8)
    with pytest.raises(QaFileError, match=r"row 6: (.|\n)*\.\.\. and 3 more"):
        read_questions(path)
    assert read_questions(path, skip_bad=True).refused == [
        Refused(row, "question must be text, not nothing") for row in range(2, 10)
    ]


@pytest.mark.parametrize("last_line", [b'{"question": "cut o', b'{"question": "caf\xe9", "answers": ["x"]}', b"plain words"])
def test_a_broken_line_is_a_bad_row(tmp_path: Path, last_line: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n" + last_line)
    with pytest.raises(QaFileError, match=rf"{path}, row 2: (not UTF-8: byte 17 of the line is 0xe9|no whole JSON object)"):
        read_questions(path)
    assert len(read_questions(path, skip_bad=True).questions) == 1


def test_a_file_without_one_good_row_is_an_error_even_when_bad_ones_are_skipped(tmp_path: Path) -> None:
    with pytest.raises(QaFileError, match="row 1: question must be text, not nothing"):
        read_questions(lines(tmp_path / "a.jsonl", {"id": "p1", "title": "Gold", "text": "Gold is Au."}), skip_bad=True)


LIST = json.dumps([GOOD, GOOD]).encode()
DAMAGED_FILES = {
    "empty": (b"", "is empty"),
    "blank": (b" \n\n", "is empty"),
    "an empty list": (b"[]", "holds no rows"),
    "a cut list": (LIST[:-20], "is damaged or cut off, it is no whole JSON list"),
    "a list in another encoding": (LIST.replace(b"gold", b"g\xf6ld"), "is not UTF-8: byte .* is 0xf6"),
    "a cut gzip": (gzip.compress(LIST)[:-12], "is a damaged or cut-off gzip file"),
    "a corrupt gzip": (gzip.compress(LIST)[:20] + b"\xff" * 8 + gzip.compress(LIST)[28:], "is a damaged or cut-off gzip file"),
    "an empty gzip": (gzip.compress(b""), "is empty"),
    "a web page": (b"<!doctype html><title>404</title>", "is neither a JSON list nor JSON lines: it starts with b'<!doctype"),
    "CSV": (b"question,answers\nq,a\n", "is neither a JSON list nor JSON lines"),
}


@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize("case", DAMAGED_FILES)
def test_a_damaged_or_foreign_file_is_refused_as_a_whole(tmp_path: Path, case: str, skip_bad: bool) -> None:
    content, reason = DAMAGED_FILES[case]
    (tmp_path / "qa.json").write_bytes(content)
    with pytest.raises(QaFileError, match=f"{tmp_path}/qa.json {reason}"):
        read_questions(tmp_path / "qa.json", skip_bad=skip_bad)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(QaFileError, match=f"no question file {tmp_path}/none.json"):
        read_questions(tmp_path / "none.json")
    with pytest.raises(
        QaFileError, match=f"cannot read the table {tmp_path}: a folder of questions is one that .*no state.json"
    ):
        read_questions(tmp_path)


ROWS: list[dict[str, Any]] = [
    GOOD | {"id": "1", "ctxs": [{"title": "Gold", "text": "Gold is Au.", "score": "80.5", "hasanswer": True}], "target": None},
    GOOD | {"id": "2", "ctxs": [], "target": "gold"},
]


def test_a_table_reads_as_the_same_rows_in_json_do(tmp_path: Path) -> None:
    expected = read_questions(lines(tmp_path / "a.jsonl", *ROWS))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert read_questions(tmp_path / "a.parquet") == expected


def test_a_row_of_a_table_is_checked_and_named_as_any_other(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([*ROWS, {"id": "3", "question": "why", "answers": None}]), tmp_path / "a.parquet")
    with pytest.raises(QaFileError, match=r"a\.parquet, row 3: no answers"):
        read_questions(tmp_path / "a.parquet")
    pq.write_table(pa.table({"question": [b"why"], "answers": [["so"]]}), tmp_path / "b.parquet")
    with pytest.raises(QaFileError, match=r"b\.parquet, row 1: question must be text, not \"b'why'\""):
        read_questions(tmp_path / "b.parquet")


def test_a_damaged_table_is_refused_as_a_whole(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    with pytest.raises(QaFileError, match=r"cannot read the table .*cut\.parquet: "):
        read_questions(tmp_path / "cut.parquet")


SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the public files are not beside the project (../shared/data)")
@pytest.mark.parametrize(
    ("name", "count", "contexts"),
    [
        ("nq_open/train", 1571, 10),
        ("nq_open/dev", 212, 10),
        ("nq_open/test", 200, 10),
        ("webq/train", 2829, 0),
        ("webq/dev", 942, 0),
        ("webq/test", 1033, 0),
    ],
)
def test_real_files_are_read_whole(name: str, count: int, contexts: int) -> None:
    read = read_questions(SHARED / f"{name}.jsonl")
    assert (len(read.questions), read.refused) == (count, [])
    assert {len(question.contexts) for question in read.questions} == {contexts}


class TestPassages:
    def test_a_pool_has_ids_titles_and_texts(self, tmp_path: Path) -> None:
        file = tmp_path / "pool.jsonl"
        file.write_text('{"id": "p1", "title": "Peru", "text": "Its capital is Lima."}\n{"text": "A text."}\n')
        first, second = read_passages(file)
        assert (first.id, first.title, first.text) == ("p1", "Peru", "Its capital is Lima.")
        assert (second.id, second.title, second.text) == ("pool.jsonl-1", "", "A text.")

    @pytest.mark.parametrize("line", ['{"title": "no text"}', "7", "{"])
    def test_the_first_row_that_is_no_passage_is_named(self, tmp_path: Path, line: str) -> None:
        file = tmp_path / "pool.jsonl"
        file.write_text('{"text": "A text."}\n' + line + "\n")
        with pytest.raises(QaFileError, match=r"pool.jsonl, row 2: "):
            read_passages(file)
