"""Media types as they are written, and bodies that are not what they call themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.web.content_type import looks_binary, media_type


@pytest.mark.parametrize(
    ("header", "essence"),
    [("text/html", "text/html"), ("Text/HTML; charset=utf-8", "text/html"), (" text/plain ;x", "text/plain"), ("", ""),
     ("html", ""), ("text/", ""), ("text/html, text/plain", "text/html"), ("application/xhtml+xml", "application/xhtml+xml"),
     ("text/ht ml", ""), ("text/html\u0661", "")],
)  # fmt: skip
def test_the_type_stands_before_its_parameters(header: str, essence: str):
    assert media_type(header) == essence


@pytest.mark.parametrize(
    "body",
    [
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"\xff\xd8\xff\xe0",
        b"%PDF-1.4",
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b"text\0text",
        b"\x7fELF\x02\x01",
    ],
)
def test_pictures_documents_and_programs_are_not_text(body: bytes):
    assert looks_binary(body, "text/html")


@pytest.mark.parametrize(
    ("body", "header"),
    [(b"", ""), (b"<p>x", ""), ("\ufeffx".encode("utf-16-le"), ""), ("x".encode("utf-16-be"), "text/html; charset=UTF-16BE"),
     ("日本".encode("iso2022_jp"), ""), (b"\xff\xfa koi8", "")],
)  # fmt: skip
def test_text_of_any_encoding_is_text(body: bytes, header: str):
    assert not looks_binary(body, header)


@given(st.text(st.characters(min_codepoint=32, codec="utf-8")))
def test_written_text_is_never_binary(text: str):
    assert not looks_binary(b"<p>" + text.encode())
