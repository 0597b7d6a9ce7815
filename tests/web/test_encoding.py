"""Bytes to text: by mark, header, meta tag, UTF-8 or detection, and never an exception."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aag_ray.web.encoding import WEB_ENCODINGS, decode_page

GREEK = "Η Αθήνα είναι η πρωτεύουσα και μεγαλύτερη πόλη της Ελλάδας. " * 8  # noqa: RUF001
RUSSIAN = "Москва является столицей и крупнейшим городом России, политическим центром. " * 8
JAPANESE = "東京都は日本の首都であり、関東地方に位置する都市です。" * 8
GERMAN = "Die Straße führt über die Brücke nach Köln: „schön“, sagte er. 5 €"

CASES = [
    ("bom", b"\xef\xbb\xbf" + GERMAN.encode(), "text/html; charset=iso-8859-1", GERMAN, "utf-8"),
    ("bom", b"\xff\xfe" + GERMAN.encode("utf-16-le"), "", GERMAN, "utf-16-le"),
    ("bom", b"\xfe\xff" + GERMAN.encode("utf-16-be"), "text/html; charset=utf-8", GERMAN, "utf-16-be"),
    ("header", GERMAN.encode("cp1252"), "text/html; charset=windows-1252", GERMAN, "cp1252"),
    ("header", GERMAN.encode("cp1252"), 'text/html; charset="ISO-8859-1"', GERMAN, "cp1252"),
    ("header", GERMAN.encode(), "text/html;charset=UTF-8", GERMAN, "utf-8"),
    ("header", RUSSIAN.encode("koi8-r"), "text/html; charset=koi8-r", RUSSIAN, "koi8-r"),
    ("header", JAPANESE.encode("shift_jis"), "text/html; charset=Shift_JIS", JAPANESE, "cp932"),
    ("header", JAPANESE.encode("iso2022_jp"), "text/html; charset=iso-2022-jp", JAPANESE, "iso2022_jp"),
    ("meta", b'<meta charset="windows-1253">' + GREEK.encode("cp1253"), "text/html",
     '<meta charset="windows-1253">' + GREEK, "cp1253"),
    ("meta", b'<meta http-equiv="Content-Type" content="text/html; charset=euc-jp">' + JAPANESE.encode("euc_jp"), "",
     '<meta http-equiv="Content-Type" content="text/html; charset=euc-jp">' + JAPANESE, "euc_jp"),
    ("utf-8", GREEK.encode(), "", GREEK, "utf-8"),
    ("utf-8", b"plain", "", "plain", "utf-8"),
    ("utf-8", b"", "", "", "utf-8"),
    # The header is wrong: UTF-8 called Latin-1.
    ("utf-8", GERMAN.encode(), "text/html; charset=iso-8859-1", GERMAN, "utf-8"),
    # The header is wrong, the meta tag is right.
    ("meta", b'<meta charset="windows-1251">' + RUSSIAN.encode("cp1251"), "text/html; charset=utf-8",
     '<meta charset="windows-1251">' + RUSSIAN, "cp1251"),
    # A page that can say in ASCII that it is UTF-16 is not.
    ("utf-8", b'<meta charset="utf-16">' + GREEK.encode(), "", '<meta charset="utf-16">' + GREEK, "utf-8"),
    ("detected", RUSSIAN.encode("cp1251"), "", RUSSIAN, "cp1251"),
]  # fmt: skip


@pytest.mark.parametrize(("evidence", "body", "header", "text", "encoding"), CASES)
def test_a_page_is_read_in_its_own_encoding(evidence: str, body: bytes, header: str, text: str, encoding: str):
    decoded = decode_page(body, header)
    assert decoded.text == text
    assert decoded.encoding in (encoding, "gb18030" if encoding == "gbk" else encoding)
    assert (decoded.evidence, decoded.replaced) == (evidence, 0)


def test_a_detected_page_of_another_script_is_read():
    assert decode_page(JAPANESE.encode("shift_jis")).text == JAPANESE


def test_broken_bytes_become_replacement_characters_and_are_counted():
    decoded = decode_page("schöne Grüße".encode() + b"\xff\xfe!", "text/html; charset=utf-8")
    assert decoded.text == "schöne Grüße\ufffd\ufffd!"
    assert (decoded.encoding, decoded.replaced) == ("utf-8", 2)


@pytest.mark.parametrize(
    "charset",
    [
        "zlib",
        "unicode_escape",
        "raw_unicode_escape",
        "utf-7",
        "idna",
        "punycode",
        "base64",
        "rot13",
        "hz",
        "nonsense",
        "",
        "x" * 999,
    ],
)
def test_a_page_cannot_name_a_codec_that_is_no_encoding(charset: str):
    decoded = decode_page(b"caf\\u00e9 +AGE- <p>", f"text/html; charset={charset}")
    assert decoded.text == "caf\\u00e9 +AGE- <p>"


@given(st.binary(max_size=600), st.sampled_from([*sorted(WEB_ENCODINGS), "utf-16", "gb2312", "ascii", "zlib", "", "utf-8-sig"]))
def test_any_bytes_under_any_claim_are_text(body: bytes, charset: str):
    for head in (b"", f'<meta charset="{charset}">'.encode()):
        decoded = decode_page(head + body, f"text/html; charset={charset}")
        decoded.text.encode()  # no lone surrogates
        assert decoded.encoding in WEB_ENCODINGS


@given(st.text(st.characters(codec="utf-8"), max_size=200), st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]))
def test_text_under_its_own_mark_comes_back(text: str, encoding: str):
    # A mark of UTF-16 and a NUL after it are the mark of UTF-32, too.
    assume(encoding != "utf-16-le" or not text.startswith("\0"))
    assert decode_page(f"\ufeff{text}".encode(encoding), "text/html; charset=koi8-r").text == text
