"""The files of a set: JSON lines in the reference's format, parquet with every column, a card whose counts are right."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from aag_ray.artifacts import RunError, read_table, write_table
from aag_ray.extract.examples import example
from aag_ray.extract.instruction_files import data_card, read_examples, write_set
from aag_ray.extract.instruction_set import InstructionSet, construct
from aag_ray.extract.instructions import from_example
from aag_ray.pages.plain import read_text


def made() -> InstructionSet:
    rows = []
    for number in range(40):
        page = read_text(
            f"Fact of town {number} is {number * 17}.\n\nÄhnlich — 第{number}个。", f"https://{number}.example/"
        ).page
        assert page is not None
        rows += from_example(
            example(f"r{number}", f"Which fact has {number}?", page, (1,) if number % 2 else (), "gold"), len, 999
        )
    return construct(rows, shares=(0.6, 0.2, 0.2))


def test_every_split_has_json_lines_and_a_table_with_the_same_rows(tmp_path: Path):
    found = made()
    paths = write_set(tmp_path, found)
    names = {f"{split}.{kind}" for split in ("train", "dev", "test") for kind in ("jsonl", "parquet")}
    assert {path.name for path in paths} == names | {"README.md", "rows.parquet"}
    for split in ("train", "dev", "test"):
        expected = [each for each in found.instructions if each.split == split]
        lines = [json.loads(line) for line in (tmp_path / f"{split}.jsonl").read_text().splitlines()]
        assert lines == [{"prompt": each.prompt, "chosen": each.chosen} for each in expected]
        assert read_table(tmp_path / f"{split}.parquet") == [asdict(each) for each in expected]
        assert expected


def test_a_set_without_rows_has_files_with_columns(tmp_path: Path):
    write_set(tmp_path, construct([]))
    assert (tmp_path / "train.jsonl").read_text() == ""
    assert read_table(tmp_path / "train.parquet") == []


def test_a_set_can_be_trained_on(tmp_path: Path):
    found = made()
    write_set(tmp_path / "run" / "instructions", found)
    splits = read_examples(tmp_path / "run")
    assert splits == read_examples(tmp_path / "run" / "instructions")
    assert {split: len(each) for split, each in splits.items()} == {
        split: sum(row.split == split for row in found.rows) for split in ("train", "dev", "test")
    }
    for each in (each for split in splits.values() for each in split):
        number = int(each.id.removeprefix("instructions:r"))
        assert (each.question, each.relevant) == (f"Which fact has {number}?", bool(number % 2))
        assert [each.text_of(gold) for gold in each.gold] == [f"Fact of town {number} is {number * 17}."] * (number % 2)
    with pytest.raises(RunError, match=r"nothing holds no set of instructions; jobs/build_instructions\.py makes one"):
        read_examples(tmp_path / "nothing")
    write_table(tmp_path / "rows.parquet", [{"id": "1"}])
    with pytest.raises(RunError, match=r"rows\.parquet is no set of instructions: it has no 'request'"):
        read_examples(tmp_path)


def test_the_card_counts_what_is_in_the_set(tmp_path: Path):
    found = made()
    card = data_card(found, "A set of facts")
    assert card.startswith("# A set of facts\n")
    assert f"{len(found.instructions)} examples: 40 pairs of a request and a page (40 pages)" in card
    train = [each for each in found.instructions if each.split == "train"]
    relevant = sum(each.relevant for each in train)
    assert f"| train | {len(train)} | {relevant} | {len(train) - relevant} |" in card
    assert "| gold | 40 |" in card
    assert "| confirmed | 40 |" in card
    write_set(tmp_path, found, "A set of facts")
    assert (tmp_path / "README.md").read_text() == card
