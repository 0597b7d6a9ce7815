"""Content codings undone in small steps, so that a bomb ends at its limit and never in memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aag_ray.web.fetched import FetchOutcome, FetchStopped

ACCEPTED = "gzip, deflate, br, zstd"
STEP = 65_536
# One zstd block of 4 bytes can hold 128 KiB, and its decompressor has no limit of its own: 128 bytes give 4 MiB at most.
ZSTD_STEP = 128
ZSTD_WINDOW = 8 * 1024 * 1024  # RFC 9659: what a browser grants, too
MAX_CODINGS = 3
MAX_MEMBERS = 100
# Smaller results may have any ratio: a short page of one repeated character is no bomb.
ANY_RATIO_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What one coding may grow to: `size` in bytes, and `ratio` to what came over the wire."""

    size: int
    ratio: float

    def check(self, size: int, wire: int) -> None:
        """Raise FetchStopped if `size` bytes from `wire` bytes are above the ceiling."""
        if size > self.size:
            raise FetchStopped(FetchOutcome.DECOMPRESSED_TOO_LARGE, f"more than {self.size} bytes from {wire} compressed ones")
        if size > ANY_RATIO_BYTES and size > self.ratio * wire:
            raise FetchStopped(FetchOutcome.COMPRESSION_RATIO, f"more than {self.ratio:g} times its {wire} compressed bytes")


def codings(content_encoding: str) -> list[str]:
    """The codings of a Content-Encoding header in the order they were applied, without `identity`.

    Raises FetchStopped for an unknown one, or for more than three.
    """
    names = [name.strip().lower().removeprefix("x-") for name in content_encoding.split(",")]
    named = [name for name in names if name not in ("", "identity")]
    unknown = [name for name in named if name not in PIECES]
    if unknown or len(named) > MAX_CODINGS:
        raise FetchStopped(
            FetchOutcome.CODING_UNKNOWN,
            f"Content-Encoding {content_encoding[:80]!r}; up to {MAX_CODINGS} of {ACCEPTED} are read",
        )
    return named


def decompress(body: bytes, applied: Sequence[str], ceiling: Ceiling, *, partial: bool = False) -> bytes:
    """Undo `applied` codings, the last one first. `partial` gives what a cut body holds instead of refusing it.

    Raises FetchStopped for a damaged body and at the ceiling, after at most 4 MiB beyond it.
    """
    wire = len(body)
    for coding in reversed(applied):
        whole = bytearray()
        try:
            for piece in PIECES[coding](body):
                whole += piece
                if partial and len(whole) >= ceiling.size:
                    break
                ceiling.check(len(whole), wire)
        except Damaged as damage:
            if not partial:
                raise FetchStopped(FetchOutcome.DECOMPRESSION_FAILED, f"{coding}: {damage}") from None
        body = bytes(whole)
    return body


class Damaged(ValueError):
    """A body that is not what its coding says, or ends too early."""


def slices(body: bytes, size: int) -> Iterator[bytes]:
    view = memoryview(body)
    return (bytes(view[start : start + size]) for start in range(0, len(body), size))


def zlib_pieces(body: bytes, window: int) -> Iterator[bytes]:
    """One zlib stream, or several gzip members after one another."""
    member, members = zlib.decompressobj(window), 1
    try:
        for data in slices(body, STEP):
            while data:
                yield member.decompress(data, STEP)
                data = member.unconsumed_tail
                if member.eof:
                    data = member.unused_data
                    if window < 31 or not data.startswith(b"\x1f\x8b") or members >= MAX_MEMBERS:
                        return  # what follows the end is padding, as browsers see it
                    member, members = zlib.decompressobj(window), members + 1
        yield member.flush(STEP)
    except zlib.error as error:
        raise Damaged(str(error)) from None
    if not member.eof:
        raise Damaged("the body ends before its data do")


def gzip_pieces(body: bytes) -> Iterator[bytes]:
    return zlib_pieces(body, 31)


def deflate_pieces(body: bytes) -> Iterator[bytes]:
    """Deflate as RFC 9110 means it (inside zlib), or raw as some servers send it."""
    inside_zlib = len(body) >= 2 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return zlib_pieces(body, 15 if inside_zlib else -15)


def brotli_pieces(body: bytes) -> Iterator[bytes]:
    import brotli

    stream = brotli.Decompressor()
    try:
        for data in slices(body, STEP):
            while True:
                piece = stream.process(data, output_buffer_limit=STEP)
                yield piece
                if stream.is_finished():
                    return
                if not piece and stream.can_accept_more_data():
                    break
                data = b""
    except brotli.error as error:
        raise Damaged(str(error)) from None
    raise Damaged("the body ends before its data do")


def zstd_pieces(body: bytes) -> Iterator[bytes]:
    import zstandard

    frame, frames = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj(), 1
    try:
        for data in slices(body, ZSTD_STEP):
            while data:
                yield frame.decompress(data)
                data = frame.unused_data if frame.eof else b""
                if frame.eof and (frames := frames + 1) > MAX_MEMBERS:
                    return
                if frame.eof and data:
                    frame = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj()
    except zstandard.ZstdError as error:
        raise Damaged(str(error)) from None
    if not frame.eof:
        raise Damaged("the body ends before its data do")


PIECES = {"gzip": gzip_pieces, "deflate": deflate_pieces, "br": brotli_pieces, "zstd": zstd_pieces}
