"""What kind of body a server says it sends, and whether the bytes look like text at all."""

from __future__ import annotations

import re

# Bytes that no text holds (WHATWG MIME Sniffing, "binary data byte"), but UTF-16 and UTF-32 do.
BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
MAGIC = (b"%PDF-", b"%!PS-Adobe-", b"PK\x03\x04", b"GIF87a", b"GIF89a", b"\x89PNG", b"\xff\xd8\xff", b"\x1f\x8b")
SNIFFED_BYTES = 1445  # as many as browsers look at


def media_type(content_type: str) -> str:
    """`text/html` of `text/html; charset=utf-8`, lower case; "" if there is none or it is not type/subtype."""
    essence = content_type.split(";", 1)[0].split(",", 1)[0].strip().lower()
    return essence if re.fullmatch(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", essence, re.ASCII) else ""


def looks_binary(body: bytes, content_type: str = "") -> bool:
    """Whether a body that calls itself text is none: a picture sent as HTML, a PDF without a type."""
    head = body[:SNIFFED_BYTES]
    if head.startswith(MAGIC):
        return True
    wide = head.startswith(WIDE_BOMS) or re.search(r"charset=[\"']?(?:utf-?(?:16|32)|ucs-?2)", content_type, re.IGNORECASE)
    return not wide and BINARY.search(head) is not None
