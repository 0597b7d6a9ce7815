"""A page's text in pieces small enough to be compared with a question."""

from __future__ import annotations

import re

_WORD = re.compile(r"\S+")
# Scripts without spaces have "words" of any length; no piece is longer than this many characters for each word allowed.
CHARACTERS_PER_WORD = 12


def chunks(text: str, size: int, overlap: int) -> list[str]:
    """Pieces of at most `size` words, each beginning `overlap` words before the last one's end; one piece at least."""
    longest = size * CHARACTERS_PER_WORD
    spans = [
        (start, min(start + longest, match.end()))
        for match in _WORD.finditer(text)
        for start in range(match.start(), match.end(), longest)
    ]
    pieces: list[str] = []
    first = 0
    while first < len(spans):
        last = first
        while last + 1 < len(spans) and last + 1 - first < size and spans[last + 1][1] - spans[first][0] <= longest:
            last += 1
        pieces.append(text[spans[first][0] : spans[last][1]])
        if last + 1 >= len(spans):
            break
        first = max(first + 1, last + 1 - overlap)
    return pieces or [""]
