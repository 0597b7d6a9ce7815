"""Pages and spans that say the same as an earlier one: MinHash LSH for candidates, exact Jaccard similarity to decide."""

from __future__ import annotations

import unicodedata
import zlib
from array import array
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

import regex

if TYPE_CHECKING:
    from datasketch import MinHash

PERMUTATIONS = 128
_SEED = 29
# Scripts without spaces count by character, all others by word.
_UNIT = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*"
    r"|(?:(?![\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])[\p{L}\p{N}\p{M}])+"
)


def shingles(text: str, size: int) -> frozenset[int]:
    """Hashes of every run of `size` units (words; characters in scripts without spaces) of the case-folded text.

    A text of fewer units is one shingle, so that it equals only itself. A text without letters and digits has none.
    """
    units = _UNIT.findall(unicodedata.normalize("NFKC", text).casefold())
    if not units:
        return frozenset()
    runs = range(max(1, len(units) - size + 1))
    return frozenset(zlib.crc32(" ".join(units[start : start + size]).encode(errors="replace")) for start in runs)


class NearDuplicates:
    """Texts seen so far. The first of several alike is the original, so the order of adding decides and nothing else."""

    def __init__(self, similarity: float = 0.8, shingle: int = 4) -> None:
        """`similarity` is the least Jaccard similarity of two duplicates, above 0 and at most 1; `shingle` counts units."""
        from datasketch import MinHashLSH

        if not 0 < similarity <= 1 or shingle < 1:
            raise ValueError(f"similarity={similarity} must be above 0 and at most 1, shingle={shingle} at least 1")
        self.similarity = similarity
        self.shingle = shingle
        # Candidates are looked for a little below, because a sketch only estimates.
        self._index = MinHashLSH(threshold=max(0.05, similarity - 0.1), num_perm=PERMUTATIONS)
        self._shingles: dict[Hashable, array[int]] = {}  # four bytes each; in a set a hundred
        self._order: dict[Hashable, int] = {}

    def add(self, name: Hashable, text: str) -> Hashable | None:
        """The name of the earliest original that `text` repeats, or None: then it is an original from now on.

        Text without letters and digits repeats nothing. Raises KeyError if an original has this name already.
        """
        if name in self._shingles:
            raise KeyError(f"{name!r} has been added already")
        own = shingles(text, self.shingle)
        if not own:
            return None
        sketch = self._sketch(own)
        candidates = sorted(self._index.query(sketch), key=self._order.__getitem__)
        for candidate in candidates:
            other = frozenset(self._shingles[candidate])
            if len(own & other) >= self.similarity * len(own | other):
                return candidate
        self._index.insert(name, sketch)
        self._shingles[name] = array("I", own)
        self._order[name] = len(self._order)
        return None

    def _sketch(self, own: frozenset[int]) -> MinHash:
        from datasketch import MinHash

        sketch = MinHash(num_perm=PERMUTATIONS, seed=_SEED, hashfunc=int)
        sketch.update_batch(sorted(own))
        return sketch


def originals(texts: Iterable[str], similarity: float = 0.8, shingle: int = 4) -> list[int]:
    """For each text the index of the earliest one that it repeats, its own where it repeats none."""
    seen = NearDuplicates(similarity, shingle)
    found = ((index, seen.add(index, text)) for index, text in enumerate(texts))
    return [index if original is None else int(str(original)) for index, original in found]
