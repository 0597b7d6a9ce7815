"""What a cleaned page is: its text, the blocks in it, and how cleaning ended.

Offsets are always counted in Python characters (code points) into `Page.text`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NamedTuple

BLOCK_GAP = "\n"


class PageOutcome(StrEnum):
    """How the cleaning of one page ended. Everything but OK says why there is no page."""

    OK = "ok"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    TOO_MANY_NODES = "too_many_nodes"
    TOO_DEEP = "too_deep"
    TIMED_OUT = "timed_out"
    FAILED = "failed"


class BlockKind(StrEnum):
    """What a block is on the page. A quotation is a paragraph, a definition a list item."""

    PARAGRAPH = "paragraph"
    HEADING = "heading"
    LIST_ITEM = "list_item"
    TABLE_ROW = "table_row"
    CODE = "code"
    CAPTION = "caption"


class Block(NamedTuple):
    """`Page.text[start:end]`, with the headings that stand above it, outermost first.

    `level` is 1 to 6 for a heading, the depth of nesting for a list item, and otherwise 0.
    """

    kind: BlockKind
    heading_path: tuple[str, ...]
    start: int
    end: int
    level: int = 0


class Piece(NamedTuple):
    """The text of a block to be, before it has a place on the page."""

    kind: BlockKind
    text: str
    level: int = 0


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a page says of itself. `date` is YYYY-MM-DD, `language` a BCP 47 tag; what is not said is ""."""

    title: str = ""
    date: str = ""
    language: str = ""
    canonical_url: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A cleaned page. Blocks are in order, never empty, never overlap, and only white space stands between them."""

    url: str
    title: str
    date: str
    language: str
    canonical_url: str
    text: str
    blocks: tuple[Block, ...]

    def text_of(self, block: Block) -> str:
        return self.text[block.start : block.end]

    def to_row(self) -> dict[str, Any]:
        """A plain mapping for a parquet table; the inverse of `from_row`."""
        blocks = [
            block._asdict() | {"kind": block.kind.value, "heading_path": list(block.heading_path)} for block in self.blocks
        ]
        return asdict(self) | {"blocks": blocks}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Page:
        known: dict[str, Any] = {name: row[name] for name in cls.__slots__}
        known["blocks"] = tuple(
            Block(BlockKind(block["kind"]), tuple(block["heading_path"]), block["start"], block["end"], block["level"])
            for block in row["blocks"]
        )
        return cls(**known)


@dataclass(frozen=True, slots=True)
class PageResult:
    """A page, or why there is none. `page` is set if and only if `outcome` is OK."""

    outcome: PageOutcome
    detail: str = ""
    page: Page | None = None


def assemble(pieces: Iterable[Piece], url: str, metadata: Metadata, longest: int) -> PageResult:
    """Lay pieces one under another, each below the headings before it.

    EMPTY if none of them holds text, TOO_LARGE if they are more than `longest` characters.
    """
    texts: list[str] = []
    blocks: list[Block] = []
    above: list[tuple[int, str]] = []
    path: tuple[str, ...] = ()
    position = 0
    for kind, text, level in pieces:
        if not text or text.isspace():
            continue
        if kind is BlockKind.HEADING:
            while above and above[-1][0] >= level:
                above.pop()
            path = tuple(heading for _, heading in above)
        blocks.append(Block(kind, path, position, position + len(text), level))
        texts.append(text)
        position += len(text) + len(BLOCK_GAP)
        if position > longest:
            return PageResult(PageOutcome.TOO_LARGE, f"{url or 'the page'}: its text is longer than {longest} characters")
        if kind is BlockKind.HEADING:
            above.append((level, text))
            path = (*path, text)
    if not blocks:
        return PageResult(PageOutcome.EMPTY, f"{url or 'the page'} holds no text that is its own")
    title = metadata.title or next((texts[i] for i, block in enumerate(blocks) if block.kind is BlockKind.HEADING), "")
    page = Page(url, title, metadata.date, metadata.language, metadata.canonical_url, BLOCK_GAP.join(texts), tuple(blocks))
    return PageResult(PageOutcome.OK, "", page)
