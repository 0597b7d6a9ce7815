"""What a fetch ended as: a row for a table, and headers as they are sent."""

import pyarrow as pa

from aag_ray.web.fetched import Fetched, FetchOutcome, header


def test_a_row_is_the_inverse_of_a_fetched_page_also_through_a_table():
    fetched = Fetched(
        "u",
        "v",
        FetchOutcome.HTTP_CLIENT_ERROR,
        "detail",
        404,
        (("A", "b"), ("A", "c")),
        b"\0x",
        "text/html",
        1.5,
        ("u", "v"),
        0.5,
        7,
    )
    assert Fetched.from_row(fetched.to_row()) == fetched
    (row,) = pa.Table.from_pylist([fetched.to_row()]).to_pylist()
    assert Fetched.from_row(row) == fetched


def test_only_ok_is_ok():
    assert [outcome for outcome in FetchOutcome if Fetched("u", "u", outcome).ok] == [FetchOutcome.OK]


def test_headers_are_found_in_any_case_and_joined():
    assert header((("Cache-Control", "a"), ("X", "y"), ("CACHE-CONTROL", "b")), "cache-control") == "a, b"
    assert header((), "etag") == ""
