"""A run folder: what is committed is whole, what is not committed never happened, and one process writes at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aag_ray.artifacts import (
    MANIFEST,
    Manifest,
    Run,
    RunError,
    Stage,
    content_fingerprint,
    fingerprint,
    newest_run,
    read_table,
    replaced_folder,
    write_atomically,
    write_json,
    write_table,
)


def committed(folder: Path, name: str = "data", mark: str = "f1") -> Stage:
    stage = Run(folder).stage(name)
    write_table(stage.start(mark) / "rows.parquet", [{"id": "1"}])
    stage.commit(Manifest(name, mark, {"seed": 1}, {"rows": 1}))
    return stage


def test_equal_inputs_have_equal_fingerprints_whatever_the_order_of_keys():
    assert fingerprint({"a": 1, "b": Path("x")}) == fingerprint({"b": Path("x"), "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert fingerprint(1, 2) != fingerprint([1, 2], 3)


def test_files_and_folders_that_settings_name_count_by_what_is_in_them(tmp_path: Path):
    file, folder = tmp_path / "rows.jsonl", tmp_path / "model"
    settings = {"data": {"files": [file]}, "reader": folder, "name": "x", "decoding": {"adapters": tmp_path / "out"}}
    assert content_fingerprint(settings) == fingerprint(settings)
    prints = [content_fingerprint(settings)]
    for path, text in ((file, "one"), (file, "two"), (folder / "deep" / "weights", "1"), (folder / "deep" / "weights", "2")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        prints.append(content_fingerprint(settings))
    assert len(set(prints)) == 5
    (tmp_path / "out").mkdir()
    for unread in (tmp_path / "out" / "adapter", folder / "manifest.json", folder / "result.json"):
        unread.write_text("anything")
    assert content_fingerprint(settings) == prints[-1]


def test_a_stage_is_complete_once_it_is_committed_from_the_same_inputs(tmp_path: Path):
    stage = Run(tmp_path).stage("data")
    assert not stage.is_complete("f1")
    write_table(stage.start("f1") / "rows.parquet", [{"id": "1"}])
    assert not stage.is_complete("f1")
    stage.commit(Manifest("data", "f1", {}, {"rows": 1}))
    assert stage.is_complete("f1")
    assert not stage.is_complete("f2")
    assert stage.manifest is not None
    assert stage.manifest.metrics == {"rows": 1}
    assert set(stage.manifest.files) == {"rows.parquet"}


def test_a_committed_file_that_vanished_makes_the_stage_incomplete(tmp_path: Path):
    stage = committed(tmp_path)
    (stage.folder / "rows.parquet").unlink()
    assert not stage.is_complete("f1")
    assert stage.damaged_files() == ["rows.parquet"]


def test_a_committed_file_that_changed_is_found(tmp_path: Path):
    stage = committed(tmp_path)
    assert stage.damaged_files() == []
    (stage.folder / "rows.parquet").write_bytes(b"torn")
    assert stage.damaged_files() == ["rows.parquet"]


def test_interrupted_work_on_the_same_inputs_is_kept_and_on_others_thrown_away(tmp_path: Path):
    stage = Run(tmp_path).stage("compress")
    (stage.start("f1") / "part").write_text("done")
    assert (stage.start("f1") / "part").exists()
    assert not (stage.start("f2") / "part").exists()


def test_starting_a_committed_stage_again_clears_it(tmp_path: Path):
    stage = committed(tmp_path)
    stage.start("f1")
    assert stage.manifest is None
    assert not (stage.folder / "rows.parquet").exists()


def test_a_damaged_manifest_is_named_with_the_way_out(tmp_path: Path):
    stage = committed(tmp_path)
    for damage in ("{", '{"stage": "data"}', "[]"):
        (stage.folder / MANIFEST).write_text(damage)
        with pytest.raises(RunError, match="delete the folder"):
            stage.is_complete("f1")


def test_a_write_that_fails_leaves_the_old_file_whole(tmp_path: Path):
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})
    before = path.read_text()
    with pytest.raises(RunError, match=r"cannot write /dev/full/value\.json"):
        write_json(Path("/dev/full/value.json"), {"a": 2})
    code = (
        "import resource, sys, pathlib, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10));"
        "from aag_ray.artifacts import write_atomically; write_atomically(pathlib.Path(sys.argv[1]), 'x' * 100)"
    )
    full = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert f"RunError: cannot write {path}: File too large" in full.stderr
    assert path.read_text() == before
    assert [child.name for child in tmp_path.iterdir()] == ["value.json"]


def test_a_place_that_cannot_be_written_is_named():
    place = Path("/proc/run")  # where even root makes no folder
    with pytest.raises(RunError, match="cannot write the run folder /proc/run"), Run.open(place):
        pass
    with pytest.raises(RunError, match="cannot write /proc/run/value"):
        write_atomically(place / "value", "")


def test_a_file_in_the_place_of_a_run_folder_is_named(tmp_path: Path):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="cannot write the run folder"), Run.open(tmp_path / "run"):
        pass


def test_two_processes_cannot_write_one_run(tmp_path: Path):
    code = "import sys, pathlib; from aag_ray.artifacts import Run\nwith Run.open(pathlib.Path(sys.argv[1])): pass"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with Run.open(tmp_path):
        second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "RunError: another process is writing the run folder" in second.stderr
    assert subprocess.run(command, check=False).returncode == 0


def test_a_fresh_run_starts_empty(tmp_path: Path):
    committed(tmp_path)
    (tmp_path / "result.json").write_text("{}")
    with Run.open(tmp_path, fresh=True) as run:
        assert run.stage("data").manifest is None
        assert [child.name for child in tmp_path.iterdir()] == [".lock"]


def test_the_newest_run_is_the_one_that_committed_the_stage_last(tmp_path: Path):
    for age, name in ((10, "new"), (20, "old")):
        manifest = committed(tmp_path / name).folder / MANIFEST
        written = manifest.stat().st_mtime - age
        os.utime(manifest, (written, written))
    Run(tmp_path / "unfinished").stage("data").start("f1")
    assert newest_run(tmp_path, "data").folder == tmp_path / "new"
    with pytest.raises(RunError, match="no finished run with a stage 'evaluate'"):
        newest_run(tmp_path, "evaluate")


def test_a_folder_of_tables_is_read_in_name_order(tmp_path: Path):
    for number in (2, 1):
        write_table(tmp_path / f"part-{number}.parquet", [{"id": number}])
    assert read_table(tmp_path) == [{"id": 1}, {"id": 2}]


def test_a_truncated_table_is_named(tmp_path: Path):
    path = tmp_path / "rows.parquet"
    write_table(path, [{"id": str(number)} for number in range(100)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RunError, match=r"rows\.parquet is not a readable parquet table"):
        read_table(path)


def test_a_replaced_folder_is_the_old_one_or_the_new_one(tmp_path: Path):
    target = tmp_path / "model"
    with replaced_folder(target) as folder:
        write_atomically(folder / "weights", b"1")
    with pytest.raises(RunError), replaced_folder(target) as folder:
        write_table(folder / "weights" / "part", read_table(folder / "no such table"))
    assert (target / "weights").read_bytes() == b"1"
    with replaced_folder(target) as folder:
        write_atomically(folder / "weights", b"3")
    assert (target / "weights").read_bytes() == b"3"
    assert [child.name for child in tmp_path.iterdir()] == ["model"]
