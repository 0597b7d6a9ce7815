"""Addresses in an answer: only those of its own sources pass, so that a page cannot make a reader send anything anywhere.

A client that renders Markdown asks for an image's address at once, and its query may hold the conversation.
"""

from __future__ import annotations

from collections.abc import Collection

import regex

REMOVED = "[link removed]"
_ADDRESS = regex.compile(r"(?:https?|ftp|wss?):[/\\]*[^\s<>\"'\]]+|(?<![\w:/\\])[/\\]{2}[^\s<>\"'\]]+", regex.IGNORECASE)
_TRAILING = ".,;:!?)}*_`"
_LONGEST = 2048
_SCHEME = 16  # longer than any scheme with its slashes, which no cut may go through


class LinkFilter:
    """Passes text on word by word as it is written. `allowed` are the addresses that may stand in it."""

    def __init__(self, allowed: Collection[str]) -> None:
        self.allowed = frozenset(allowed)
        self.removed = 0
        self._held = ""

    def feed(self, text: str) -> str:
        """What can be shown so far. The last word is held back while it may be, or become, an address."""
        self._held += text
        cut = self._safe_cut()
        shown, self._held = self._held[:cut], self._held[cut:]
        return _ADDRESS.sub(self._judged, shown)

    def end(self) -> str:
        """The rest."""
        shown, self._held = self._held, ""
        return _ADDRESS.sub(self._judged, shown)

    def _judged(self, match: regex.Match[str]) -> str:
        address = match[0].rstrip(_TRAILING)
        if address in self.allowed or match[0] in self.allowed:
            return match[0]
        self.removed += 1
        return REMOVED + match[0][len(address) :]

    def _safe_cut(self) -> int:
        held = self._held
        cut = max((place + 1 for place, character in enumerate(held) if character.isspace()), default=0)
        word = held[cut:]
        if len(word) > _LONGEST:
            return len(held) - _SCHEME
        if not set(":/\\") & set(word):  # scripts without spaces are shown as they come
            cut += max((place + 1 for place, character in enumerate(word) if not character.isascii()), default=0)
        return cut
