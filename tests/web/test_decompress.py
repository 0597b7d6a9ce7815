"""Content codings: what was compressed comes back, and what was made to explode stops at its limit."""

import gzip
import tracemalloc
import zlib
from contextlib import suppress

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.web.decompress import ANY_RATIO_BYTES, Ceiling, codings, decompress
from aag_ray.web.fetched import FetchOutcome, FetchStopped

MIB = 1024 * 1024
WIDE = Ceiling(50 * MIB, 1e9)


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def zstd_stream(data: bytes) -> bytes:
    """A frame that does not say its size, as servers stream it."""
    compressor = zstandard.ZstdCompressor().compressobj()
    return compressor.compress(data) + compressor.flush()


COMPRESS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=1),
    "zstd": zstd_stream,
}
ZEROS = bytes(MIB)


def gzip_bomb(mebibytes: int) -> bytes:
    """One member of that many MiB of zeros, made without compressing them all."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    first = compressor.compress(ZEROS) + compressor.flush(zlib.Z_FULL_FLUSH)
    again = compressor.compress(ZEROS) + compressor.flush(zlib.Z_FULL_FLUSH)
    return first + again * mebibytes


def zstd_bomb(mebibytes: int) -> bytes:
    """A frame of run-length blocks: 4 bytes for each 128 KiB."""
    block = ((128 * 1024) << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\x00\x68" + block * (8 * mebibytes)


BOMBS = {
    "gzip": lambda: gzip_bomb(10_000),
    "deflate": lambda: zlib.compress(bytes(64 * MIB)),
    "br": lambda: brotli.compress(bytes(256 * MIB), quality=1),
    "zstd": lambda: zstd_bomb(10_000),
}


@given(st.binary(max_size=5000), st.lists(st.sampled_from(sorted(COMPRESS)), max_size=3))
def test_what_was_compressed_comes_back(data: bytes, applied: list[str]):
    body = data
    for coding in applied:
        body = COMPRESS[coding](body)
    assert decompress(body, applied, WIDE) == data


@pytest.mark.parametrize("coding", sorted(COMPRESS))
def test_large_pages_come_back_from_many_steps(coding: str):
    data = b"".join(b"line %d of a long page\n" % number for number in range(200_000))
    assert decompress(COMPRESS[coding](data), [coding], WIDE) == data


def test_deflate_is_read_with_and_without_zlib_around_it():
    assert decompress(raw_deflate(b"page" * 9), ["deflate"], WIDE) == b"page" * 9


def test_members_and_frames_after_one_another_are_one_body():
    assert decompress(gzip.compress(b"one ") + gzip.compress(b"two"), ["gzip"], WIDE) == b"one two"
    assert decompress(zstd_stream(b"one ") + zstd_stream(b"two"), ["zstd"], WIDE) == b"one two"


def test_what_follows_the_end_of_gzip_is_padding():
    assert decompress(gzip.compress(b"page") + bytes(600), ["gzip"], WIDE) == b"page"


def test_thousands_of_empty_members_end():
    assert decompress(gzip.compress(b"") * 20_000, ["gzip"], WIDE) == b""
    assert decompress(zstd_stream(b"") * 20_000, ["zstd"], WIDE) == b""


@pytest.mark.parametrize("coding", sorted(BOMBS))
@pytest.mark.parametrize(
    ("ceiling", "outcome"),
    [
        (Ceiling(MIB, 1e9), FetchOutcome.DECOMPRESSED_TOO_LARGE),
        (Ceiling(10_000 * MIB, 100), FetchOutcome.COMPRESSION_RATIO),
    ],
    ids=["size", "ratio"],
)
def test_a_bomb_stops_at_its_ceiling_in_bounded_memory(coding: str, ceiling: Ceiling, outcome: FetchOutcome):
    bomb = BOMBS[coding]()
    allowed = min(ceiling.size, int(ceiling.ratio * len(bomb)))
    if allowed > 100 * MIB:
        bomb = bomb[: 1 << 19]  # half a MiB of it is bomb enough for the ratio
        allowed = int(ceiling.ratio * len(bomb))
    tracemalloc.start()
    try:
        with pytest.raises(FetchStopped) as stopped:
            decompress(bomb, [coding], ceiling)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert stopped.value.outcome is outcome
    assert peak < 2 * allowed + 12 * MIB  # a growing bytearray holds itself twice for a moment


@pytest.mark.parametrize("coding", sorted(BOMBS))
def test_a_bomb_inside_a_bomb_stops_too(coding: str):
    with pytest.raises(FetchStopped):
        decompress(gzip.compress(gzip.compress(gzip_bomb(1000))), ["gzip"] * 3, Ceiling(MIB, 200))
    with pytest.raises(FetchStopped):
        decompress(COMPRESS[coding](gzip_bomb(1000)), ["gzip", coding], Ceiling(MIB, 200))


def test_a_small_page_may_have_any_ratio():
    data = bytes(ANY_RATIO_BYTES)
    assert decompress(gzip.compress(data), ["gzip"], Ceiling(MIB, 2)) == data


@pytest.mark.parametrize("coding", sorted(COMPRESS))
def test_a_cut_body_is_damaged_unless_its_part_is_wanted(coding: str):
    data = bytes(number * 7919 % 251 for number in range(300_000))
    body = COMPRESS[coding](data)[:-20]
    with pytest.raises(FetchStopped) as stopped:
        decompress(body, [coding], WIDE)
    assert stopped.value.outcome is FetchOutcome.DECOMPRESSION_FAILED
    part = decompress(body, [coding], WIDE, partial=True)
    assert data.startswith(part)


@given(st.sampled_from(sorted(COMPRESS)), st.binary(min_size=1, max_size=300))
def test_any_bytes_are_a_body_or_a_typed_refusal(coding: str, body: bytes):
    with suppress(FetchStopped):
        assert len(decompress(body, [coding], Ceiling(MIB, 1000))) <= MIB
    assert isinstance(decompress(body, [coding], Ceiling(MIB, 1e9), partial=True), bytes)


def test_a_window_larger_than_a_browsers_is_refused():
    compressor = zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(window_log=27)).compressobj()
    with pytest.raises(FetchStopped, match="zstd"):
        decompress(compressor.compress(bytes(MIB)) + compressor.flush(), ["zstd"], WIDE)


@pytest.mark.parametrize(
    ("header", "applied"),
    [("", []), ("identity", []), ("gzip", ["gzip"]), ("X-GZIP", ["gzip"]), (" br , gzip", ["br", "gzip"]), ("zstd,", ["zstd"])],
)
def test_the_header_names_codings_in_their_order(header: str, applied: list[str]):
    assert codings(header) == applied


@pytest.mark.parametrize("header", ["compress", "gzip, sdch", "gzip, gzip, gzip, gzip", "x" * 5000])
def test_unknown_and_too_many_codings_are_refused(header: str):
    with pytest.raises(FetchStopped) as stopped:
        codings(header)
    assert stopped.value.outcome is FetchOutcome.CODING_UNKNOWN
    assert len(stopped.value.detail) < 300
