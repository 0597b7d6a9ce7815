"""Bytes of a page to text, in the encoding it was written in rather than the one it claims."""

from __future__ import annotations

from typing import Literal, NamedTuple

Evidence = Literal["bom", "header", "meta", "utf-8", "detected", "guess"]

# Python's names for the encodings of the WHATWG Encoding standard. A page must not reach other codecs (`zlib`,
# `unicode_escape`, `utf-7`) by naming them.
WEB_ENCODINGS = frozenset({
    "utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "cp866", "iso8859-2", "iso8859-3", "iso8859-4",
    "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8", "iso8859-10", "iso8859-13", "iso8859-14", "iso8859-15",
    "iso8859-16", "koi8-r", "koi8-u", "mac-roman", "mac-cyrillic", "cp874", "cp949", "cp1250", "cp1251", "cp1252",
    "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "gbk", "gb18030", "big5", "big5hkscs", "euc_jp",
    "cp932", "shift_jis", "iso2022_jp", "euc_kr",
})  # fmt: skip
DETECTED_BYTES = 32_768
FALLBACK = "cp1252"


class DecodedText(NamedTuple):
    """A page as text, the encoding it was read in, what spoke for it, and how many characters could not be read."""

    text: str
    encoding: str
    evidence: Evidence
    replaced: int


def decode_page(body: bytes, content_type: str = "") -> DecodedText:
    """Read a page by its byte order mark, the header's charset, its meta tag, as UTF-8, or by detection.

    A claim is believed if the bytes agree with it; valid UTF-8 is UTF-8 whatever single-byte encoding is claimed. If no
    claim holds, the first one is followed and what it cannot read becomes U+FFFD. Never raises.
    """
    from w3lib.encoding import html_body_declared_encoding, http_content_type_encoding, read_bom

    marked, mark = read_bom(body)
    if marked and mark:
        return _forgiving(body[len(mark) :], _web_name(marked) or FALLBACK, "bom")
    claims: list[tuple[Evidence, str]] = []
    if name := _web_name(http_content_type_encoding(content_type)):
        claims.append(("header", name))
    # A meta tag that could be read as ASCII is not in UTF-16 (WHATWG HTML, "prescan").
    if (name := _web_name(html_body_declared_encoding(body))) and not name.startswith("utf-16"):
        claims.append(("meta", name))
    for evidence, name in claims or [("utf-8", "utf-8")]:
        text = _strict(body, name)
        if text is None:
            continue
        if name != "utf-8" and (unclaimed := _strict(body, "utf-8")) is not None and not body.isascii():
            return DecodedText(unclaimed, "utf-8", "utf-8", 0)
        return DecodedText(text, name, evidence, 0)
    unclaimed = _strict(body, "utf-8")
    if unclaimed is not None:
        return DecodedText(unclaimed, "utf-8", "utf-8", 0)
    if claims:
        return _forgiving(body, claims[0][1], claims[0][0])
    detected = _detected(body)
    return _forgiving(body, detected or FALLBACK, "detected" if detected else "guess")


def _web_name(name: str | None) -> str | None:
    """The codec for an encoding's name, widened as browsers do (Latin-1 is Windows-1252), or None if no page uses it."""
    from w3lib.encoding import resolve_encoding

    if not name:
        return None
    resolved = resolve_encoding(name)
    widened = {"ascii": "cp1252", "iso8859-1": "cp1252", "gb2312": "gb18030", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
    resolved = widened.get(resolved or "", resolved)
    return resolved if resolved in WEB_ENCODINGS else None


def _strict(body: bytes, name: str) -> str | None:
    try:
        return body.decode(name)
    except UnicodeError:
        return None


def _forgiving(body: bytes, name: str, evidence: Evidence) -> DecodedText:
    text = body.decode(name, errors="replace")
    return DecodedText(text, name, evidence, text.count("\ufffd"))


def _detected(body: bytes) -> str | None:
    from charset_normalizer import from_bytes

    # A head of the page is enough, and detection is the one slow step.
    best = from_bytes(body[:DETECTED_BYTES]).best()
    return _web_name(best.encoding) if best else None
