"""What was read, as WARC files that any web-archive tool opens. A citation can name its record."""

from __future__ import annotations

import fcntl
import io
import os
import threading
import time
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aag_ray import __version__
from aag_ray.web.fetched import Fetched, Headers, header

# They spoke of the body on the wire; what is archived is the decompressed one.
OF_THE_WIRE = frozenset({"content-encoding", "content-length", "transfer-encoding"})
GZIP_LEVEL = 1
MAX_BYTES = 1_000_000_000
OPEN = ".open"


class ArchiveError(RuntimeError):
    """An archive cannot be written, or does not hold the record that was asked for. The message names file and place."""


@dataclass(frozen=True, slots=True)
class ArchivedPage:
    """A record read back. `name` is what `Archive.write` gave."""

    name: str
    url: str
    status: int
    headers: Headers
    body: bytes
    archived_at: str

    @property
    def content_type(self) -> str:
        return header(self.headers, "content-type")


class Archive:
    """Writes one file of its own, and a new one after `max_bytes`. Several writers share a folder.

    Every record is one gzip member, written at once: a crash can only cut the last record of a file. A file is called
    `.warc.gz.open`, and locked, until it is finished; the next writer in the folder mends those that were left behind. Safe
    to use from several threads.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.lock = threading.Lock()
        self.file: io.BufferedWriter | None = None
        self.offset = 0
        self.mended = False

    def write(self, fetched: Fetched) -> str:
        """Archive a page. The result names its record: `file.warc.gz:offset:uuid`. Raises ArchiveError."""
        from warcio.statusandheaders import StatusAndHeaders
        from warcio.warcwriter import BufferWARCWriter

        identity = str(uuid.uuid4())
        kept = [(name, value) for name, value in fetched.headers if name.lower() not in OF_THE_WIRE]
        http = StatusAndHeaders(str(fetched.status), [*kept, ("Content-Length", str(len(fetched.body)))], protocol="HTTP/1.1")
        writer = BufferWARCWriter(gzip=False)
        moment = datetime.fromtimestamp(fetched.fetched_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        named = {"WARC-Record-ID": f"<urn:uuid:{identity}>", "WARC-Date": moment}
        writer.write_record(
            writer.create_warc_record(
                fetched.final_url, "response", payload=io.BytesIO(fetched.body), http_headers=http, warc_headers_dict=named
            )
        )
        member = _member(writer.get_contents())
        with self.lock:
            try:
                file = self._open()
                place = f"{Path(file.name).name.removesuffix(OPEN)}:{self.offset}:{identity}"
                file.write(member)
                file.flush()
            except OSError as error:
                raise ArchiveError(f"cannot write the archive in {self.folder}: {error.strerror or error}") from error
            self.offset += len(member)
        return place

    def close(self) -> None:
        """End the file, on the disk. A later write begins a new one."""
        with self.lock:
            if self.file is not None:
                self._finish(self.file)

    def _finish(self, file: io.BufferedWriter) -> None:
        file.flush()
        os.fsync(file.fileno())
        os.rename(file.name, file.name.removesuffix(OPEN))
        file.close()
        self.file = None

    def _open(self) -> io.BufferedWriter:
        if self.file is not None and self.offset >= self.max_bytes:
            self._finish(self.file)
        if self.file is None:
            from warcio.warcwriter import BufferWARCWriter

            self.folder.mkdir(parents=True, exist_ok=True)
            if not self.mended:
                mend(self.folder)
                self.mended = True
            stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime())
            name = f"aag-{stamp}-{uuid.uuid4().hex[:12]}.warc.gz"
            self.file = (self.folder / f"{name}{OPEN}").open("xb")
            _lock(self.file, wait=True)
            about = BufferWARCWriter(gzip=False)
            about.write_record(
                about.create_warcinfo_record(name, {"software": f"aag-ray/{__version__}", "format": "WARC File Format 1.0"})
            )
            member = _member(about.get_contents())
            self.file.write(member)
            self.offset = len(member)
        return self.file


def read_record(folder: Path, name: str) -> ArchivedPage:
    """The page that `Archive.write` named. Raises ArchiveError if it is not there or is another one."""
    file, _, rest = name.partition(":")
    offset, _, identity = rest.partition(":")
    path = folder / Path(file).name
    if not path.exists() and (unfinished := folder / f"{path.name}{OPEN}").exists():
        path = unfinished
    if not offset.isdecimal():
        raise ArchiveError(f"{name!r} is not file:offset:uuid")
    try:
        page = next(read_archive(path, int(offset)), None)
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error.strerror or error}") from error
    if page is None or not page.name.endswith(f":{identity}"):
        raise ArchiveError(f"{path} has no record {identity} at byte {offset}")
    return page


def read_archive(path: Path, offset: int = 0) -> Iterator[ArchivedPage]:
    """Every page of an archive from a record's offset on, in order.

    Raises ArchiveError at the end if the file stops inside a record, after all whole ones were given; OSError if it
    cannot be opened.
    """
    from warcio.archiveiterator import ArchiveIterator

    for start, member in _members(path, offset):
        for record in ArchiveIterator(io.BytesIO(member)):
            if record.rec_type != "response" or record.http_headers is None:
                continue
            identity = record.rec_headers.get_header("WARC-Record-ID", "").strip("<>").removeprefix("urn:uuid:")
            yield ArchivedPage(
                name=f"{path.name.removesuffix(OPEN)}:{start}:{identity}",
                url=record.rec_headers.get_header("WARC-Target-URI", ""),
                status=int(record.http_headers.get_statuscode()),
                headers=tuple(record.http_headers.headers),
                body=record.content_stream().read(),
                archived_at=record.rec_headers.get_header("WARC-Date", ""),
            )


def whole_bytes(path: Path) -> int:
    """How many bytes of an archive are whole records: below its size if a writer was cut short. Raises OSError."""
    end = 0
    try:
        for start, member in _members(path, 0):
            end = start + len(member)
    except ArchiveError:
        return end
    return path.stat().st_size


def mend(folder: Path) -> list[Path]:
    """Finish the archives that writers left behind when they died: cut to their last whole record, under their final names.

    Files that a living writer holds stay as they are, and so does one without a whole record. Raises OSError.
    """
    mended: list[Path] = []
    for path in sorted(folder.glob(f"*.warc.gz{OPEN}")):
        try:
            with path.open("r+b") as file:
                if not _lock(file, wait=False):
                    continue
                size = whole_bytes(path)
                file.truncate(size)
                os.fsync(file.fileno())
                if size:
                    mended.append(path.rename(path.with_name(path.name.removesuffix(OPEN))))
        except FileNotFoundError:  # its writer has finished it in this moment, or another one mends
            continue
    return mended


def _lock(file: io.BufferedWriter | io.BufferedRandom, *, wait: bool) -> bool:
    """Whether the file is ours alone. A folder that knows no locks is written without them, and mended by nobody."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _member(record: bytes) -> bytes:
    from isal import isal_zlib  # four times as quick as zlib

    compressor = isal_zlib.compressobj(GZIP_LEVEL, isal_zlib.DEFLATED, 31)
    return compressor.compress(record) + compressor.flush()


def _members(path: Path, offset: int) -> Iterator[tuple[int, bytes]]:
    """Each gzip member from an offset on with its place, compressed. Raises ArchiveError where the rest is none."""
    with path.open("rb") as file:
        file.seek(offset)
        start, member, rest = offset, bytearray(), b""
        stream = zlib.decompressobj(31)
        while data := rest or file.read(65_536):
            try:
                stream.decompress(data)
            except zlib.error as error:
                raise ArchiveError(f"{path} has no record at byte {start}: {error}") from None
            rest = stream.unused_data
            member += data[: len(data) - len(rest)]
            if stream.eof:
                yield start, bytes(member)
                start, member, stream = start + len(member), bytearray(), zlib.decompressobj(31)
        if member:
            raise ArchiveError(f"{path} stops inside the record at byte {start}; what is before it is whole")
