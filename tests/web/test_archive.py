"""The archive: any WARC tool reads it, a citation names its record, and a crash cuts at most the last record."""

import gzip
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator
from warcio.checker import Checker

from aag_ray.web.archive import Archive, ArchiveError, mend, read_archive, read_record, whole_bytes
from aag_ray.web.fetched import Fetched, FetchOutcome


def fetched(number: int = 1, body: bytes | None = None) -> Fetched:
    return Fetched(
        url=f"http://a.example/{number}",
        final_url=f"http://a.example/{number}?x=ü",
        outcome=FetchOutcome.OK,
        status=200,
        headers=(
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Encoding", "gzip"),
            ("X-Name", "grün"),
            ("X", "a"),
            ("X", "b"),
        ),
        body=body if body is not None else b"<p>page %d" % number,
        fetched_at=1_800_000_000.5,
    )


def written(folder: Path, count: int = 5) -> tuple[Path, list[str]]:
    archive = Archive(folder)
    names = [archive.write(fetched(number)) for number in range(count)]
    archive.close()
    (file,) = folder.iterdir()
    return file, names


def test_a_record_is_read_back_by_its_name(tmp_path: Path):
    _, names = written(tmp_path)
    page = read_record(tmp_path, names[3])
    assert page.name == names[3]
    assert page.url == "http://a.example/3?x=ü"
    assert (page.status, page.body, page.content_type) == (200, b"<p>page 3", "text/html; charset=utf-8")
    assert page.archived_at == "2027-01-15T08:00:00Z"
    assert [value for name, value in page.headers if name == "X"] == ["a", "b"]
    assert "Content-Encoding" not in dict(page.headers)  # the body is archived decompressed


def test_warcio_reads_the_file_and_its_digests_hold(tmp_path: Path):
    file, names = written(tmp_path)
    records = []
    with file.open("rb") as stream:
        for record in ArchiveIterator(stream, check_digests=True):
            records.append((record.rec_type, record.content_stream().read()))
            assert record.digest_checker is not None
            assert record.digest_checker.passed is not False
    assert [kind for kind, _ in records] == ["warcinfo"] + ["response"] * 5
    assert records[1][1] == b"<p>page 0"
    assert Checker(type("Command", (), {"inputs": [str(file)], "verbose": False})).process_all() == 0
    assert {name.partition(":")[0] for name in names} == {file.name}


def test_every_page_is_read_in_order(tmp_path: Path):
    file, names = written(tmp_path, 20)
    assert [page.name for page in read_archive(file)] == names
    assert whole_bytes(file) == file.stat().st_size


@pytest.mark.parametrize("body", [b"", bytes(300_000), b"\r\n\r\nWARC/1.0\r\n\r\n", b"\x1f\x8b\x08 not gzip"], ids=len)
def test_any_body_comes_back(tmp_path: Path, body: bytes):
    archive = Archive(tmp_path)
    names = [archive.write(fetched(1, body)), archive.write(fetched(2))]
    archive.close()
    assert read_record(tmp_path, names[0]).body == body
    assert read_record(tmp_path, names[1]).body == b"<p>page 2"


def test_a_record_can_be_read_while_the_file_is_written(tmp_path: Path):
    archive = Archive(tmp_path)
    for number in range(3):
        assert read_record(tmp_path, archive.write(fetched(number))).body == b"<p>page %d" % number
    archive.close()


def test_a_file_cut_anywhere_gives_its_whole_records_and_says_where_it_ends(tmp_path: Path):
    file, names = written(tmp_path, 4)
    data = file.read_bytes()
    starts = [int(name.split(":")[1]) for name in names]
    for size in range(starts[1], len(data), 37):
        cut = tmp_path / "cut.warc.gz"
        cut.write_bytes(data[:size])
        whole = [start for start, end in zip(starts, [*starts[1:], len(data)], strict=True) if end <= size]
        read = []
        with pytest.raises(ArchiveError, match="stops inside the record") if size not in starts else nullcontext():
            read.extend(page.url for page in read_archive(cut))
        assert len(read) == len(whole)
        assert whole_bytes(cut) == max(start for start in [*starts, len(data)] if start <= size)


def test_a_writer_that_is_killed_leaves_what_it_wrote(tmp_path: Path):
    code = (
        "import os, signal, sys; from pathlib import Path; from aag_ray.web.archive import Archive;"
        "from aag_ray.web.fetched import Fetched, FetchOutcome\n"
        "archive = Archive(Path(sys.argv[1]))\n"
        "for number in range(10):\n"
        "    page = Fetched('u', 'http://a.example/', FetchOutcome.OK, status=200, body=b'%d' % number)\n"
        "    print(archive.write(page), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == -9
    names = done.stdout.split()
    assert [read_record(tmp_path, name).body for name in names] == [b"%d" % number for number in range(10)]
    written(tmp_path / "next", 1)  # the next writer has a file of its own


def test_several_threads_share_a_writer(tmp_path: Path):
    archive = Archive(tmp_path)
    names: dict[int, str] = {}

    def write(first: int) -> None:
        for number in range(first, first + 25):
            names[number] = archive.write(fetched(number))

    threads = [threading.Thread(target=write, args=(first,)) for first in range(0, 100, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    archive.close()
    assert all(read_record(tmp_path, name).body == b"<p>page %d" % number for number, name in names.items())


def test_a_file_that_is_full_is_followed_by_another(tmp_path: Path):
    archive = Archive(tmp_path, max_bytes=1500)
    names = [archive.write(fetched(number)) for number in range(10)]
    archive.close()
    assert len(list(tmp_path.iterdir())) > 2
    assert [read_record(tmp_path, name).body for name in names] == [b"<p>page %d" % number for number in range(10)]


def test_two_writers_of_a_folder_have_their_own_files(tmp_path: Path):
    one, two = Archive(tmp_path), Archive(tmp_path)
    names = [archive.write(fetched()) for archive in (one, two, one)]
    one.close()
    two.close()
    assert len({name.partition(":")[0] for name in names}) == 2
    assert all(read_record(tmp_path, name).body == b"<p>page 1" for name in names)


def test_a_name_that_names_nothing_is_told(tmp_path: Path):
    file, names = written(tmp_path, 2)
    offset = names[0].split(":")[1]
    missing = ["missing.warc.gz:0:x", f"../{tmp_path.name}x/{file.name}y:{offset}:z"]
    for name in ["", "nonsense", *(f"{file.name}:{rest}" for rest in ("x:y", f"{offset}:another", "3:x", "99999:x")), *missing]:
        with pytest.raises(ArchiveError):
            read_record(tmp_path, name)


def test_a_name_cannot_leave_the_folder(tmp_path: Path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "secret.warc.gz").write_bytes(gzip.compress(b"secret"))
    with pytest.raises(ArchiveError, match="inside/secret"):
        read_record(tmp_path / "inside", "../secret.warc.gz:0:x")


def test_a_torn_file_is_mended_wherever_in_its_last_record_it_was_cut(tmp_path: Path):
    file, names = written(tmp_path / "whole", 3)
    data, last = file.read_bytes(), int(names[2].split(":")[1])
    torn = tmp_path / "torn" / f"{file.name}.open"
    torn.parent.mkdir()
    for size in range(last, len(data) + 1):
        torn.write_bytes(data[:size])
        assert mend(torn.parent) == [torn.parent / file.name]
        whole = len(data) if size == len(data) else last
        assert (torn.parent / file.name).read_bytes() == data[:whole]
        assert len(list(read_archive(torn.parent / file.name))) == (3 if size == len(data) else 2)


def test_the_next_writer_mends_what_a_dead_one_left_and_its_records_keep_their_names(tmp_path: Path):
    file, names = written(tmp_path, 3)
    data = file.read_bytes()
    file.rename(f"{file}.open").write_bytes(data[:-5])
    archive = Archive(tmp_path)
    new = archive.write(fetched(9))
    archive.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({file.name, new.partition(":")[0]})
    assert [read_record(tmp_path, name).body for name in [*names[:2], new]] == [b"<p>page 0", b"<p>page 1", b"<p>page 9"]
    with pytest.raises(ArchiveError):
        read_record(tmp_path, names[2])


def test_a_file_that_is_being_written_is_nobody_else_s_to_mend(tmp_path: Path):
    archive = Archive(tmp_path)
    name = archive.write(fetched(1))
    assert mend(tmp_path) == []
    assert read_record(tmp_path, name).body == b"<p>page 1"
    second = archive.write(fetched(2))
    archive.close()
    assert read_record(tmp_path, second).body == b"<p>page 2"
    assert [path.name for path in tmp_path.iterdir()] == [name.partition(":")[0]]


def test_a_file_without_a_whole_record_is_left_empty(tmp_path: Path):
    (tmp_path / "aag-1.warc.gz.open").write_bytes(gzip.compress(b"x")[:-3])
    assert mend(tmp_path) == []
    assert (tmp_path / "aag-1.warc.gz.open").stat().st_size == 0
