"""Cleaning of real pages: what is kept, what is removed, how fast, beside Lexbor's plain text and trafilatura.

    python benchmarks/clean.py [--pages ../shared/data/html_pages] [--part held-out] [--out benchmarks/results]

The folder holds `index.jsonl`, a row {"file", "with", "without"} for each page, and `pages.tar.gz`. Phrases are looked up with
white space folded and without characters that nobody sees (soft hyphens). Pages whose name hashes to an even number were used
for tuning; `held-out` is the other half. One process; each cleaner reads all pages in turn, and its speed is that of the best
of `--rounds` passes in processor time, decoding left out. `ours, tagged` goes all the way from HTML to tagged spans.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import regex


class RealPage(NamedTuple):
    """A page as text, with phrases that belong to its main text and phrases that do not."""

    html: str
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]


_UNSEEN = regex.compile(r"\p{Cf}")


def folded(text: str) -> str:
    return " ".join(_UNSEEN.sub("", text).split())


def held_out(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[-1] % 2 == 1


def read_pages(folder: Path, part: str) -> list[RealPage]:
    """The pages of a part, decoded as the fetcher decodes them."""
    from aag_ray.web.encoding import decode_page

    rows = {row["file"]: row for row in map(json.loads, (folder / "index.jsonl").read_text().splitlines())}
    pages = []
    with tarfile.open(folder / "pages.tar.gz") as archive:
        for member in archive:
            name, file = member.name.removeprefix("./"), archive.extractfile(member)
            if file is None or name not in rows or part not in ("all", "held-out" if held_out(name) else "tuning"):
                continue
            html = decode_page(file.read()).text
            with_, without = (tuple(map(folded, rows[name][key])) for key in ("with", "without"))
            pages.append(RealPage(html, with_, without))
    return pages


def cleaners() -> dict[str, Callable[[str], str]]:
    """Each a function from HTML to text."""
    import trafilatura
    from selectolax.lexbor import LexborHTMLParser

    from aag_ray.config import PagesSection
    from aag_ray.pages.blocks import read_page
    from aag_ray.pages.spans import split_spans
    from aag_ray.pages.tags import tagged

    by_trafilatura = PagesSection(cleaner="trafilatura")

    def ours(html: str) -> str:
        page = read_page(html).page
        return page.text if page else ""

    def ours_tagged(html: str) -> str:
        page = read_page(html).page
        if page is not None:
            tagged(page, split_spans(page))
        return page.text if page else ""

    def ours_by_trafilatura(html: str) -> str:
        page = read_page(html, config=by_trafilatura).page
        return page.text if page else ""

    def lexbor(html: str) -> str:
        body = LexborHTMLParser(html).body
        return body.text(separator=" ") if body else ""

    return {
        "ours": ours,
        "ours, tagged": ours_tagged,
        "Lexbor text": lexbor,
        "trafilatura": lambda html: trafilatura.extract(html, include_comments=False) or "",
        "trafilatura html2txt": lambda html: trafilatura.html2txt(html),
        "trafilatura baseline": lambda html: trafilatura.baseline(html)[1],
        "ours by trafilatura": ours_by_trafilatura,
    }


def offsets_exact(pages: Sequence[RealPage]) -> float:
    """Share of pages whose blocks and spans stand where they say, together hold every character and overlap nowhere."""
    from aag_ray.pages.blocks import read_page
    from aag_ray.pages.spans import split_spans

    exact = 0
    for real in pages:
        page = read_page(real.html).page
        parts = [(span.start, span.end) for span in split_spans(page)] if page else []
        text = page.text if page else ""
        ends = [0, *(end for _, end in parts)]
        starts = [*(start for start, _ in parts), len(text)]
        gaps = [text[end:start] for end, start in zip(ends, starts, strict=True)]
        ordered = all(end <= start for end, start in zip(ends, starts, strict=True))
        exact += ordered and not "".join(gaps).strip() and all(text[a:b] == text[a:b].strip() != "" for a, b in parts)
    return exact / len(pages)


def measure(pages: Sequence[RealPage], rounds: int) -> dict[str, dict[str, float]]:
    """A row for each cleaner. They take turns, so that what slows the machine for a while slows all of them."""
    seconds: dict[str, float] = {}
    texts: dict[str, list[str]] = {}
    for _ in range(rounds):
        for name, clean in cleaners().items():
            began = time.process_time()
            texts[name] = [clean(page.html) for page in pages]
            seconds[name] = min(seconds.get(name, float("inf")), time.process_time() - began)
    return {
        name: quality(pages, list(map(folded, texts[name]))) | {"pages_per_second": len(pages) / seconds[name]}
        for name in texts
    }


def quality(pages: Sequence[RealPage], texts: Sequence[str]) -> dict[str, float]:
    wanted = [phrase in text for page, text in zip(pages, texts, strict=True) for phrase in page.wanted]
    unwanted = [phrase not in text for page, text in zip(pages, texts, strict=True) for phrase in page.unwanted]
    return {"wanted_kept": sum(wanted) / len(wanted), "unwanted_removed": sum(unwanted) / len(unwanted)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(__file__).resolve().parents[2] / "shared" / "data" / "html_pages"
    parser.add_argument("--pages", type=Path, default=shared)
    parser.add_argument("--part", nargs="+", default=["tuning", "held-out"], choices=["tuning", "held-out", "all"])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()

    from aag_ray.evaluate.machine import describe_machine

    parts: dict[str, Any] = {}
    for part in options.part:
        pages = read_pages(options.pages, part)
        characters = sum(len(page.html) for page in pages) / len(pages)
        rows = measure(pages, options.rounds)
        rows["ours, tagged"]["offsets_exact"] = offsets_exact(pages)
        parts[part] = {"pages": len(pages), "characters_per_page": characters, "cleaners": rows}
        print(f"{part}: {len(pages)} pages, {characters:,.0f} characters each")
        print(f"{'':22}{'wanted kept':>13}{'unwanted removed':>18}{'pages/s':>9}{'offsets exact':>15}")
        for name, row in rows.items():
            exact = f"{row['offsets_exact']:15.1%}" if "offsets_exact" in row else ""
            print(f"{name:22}{row['wanted_kept']:13.1%}{row['unwanted_removed']:18.1%}{row['pages_per_second']:9.0f}{exact}")
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"clean-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps({"parts": parts, "machine": describe_machine()}, indent=2) + "\n")
    print(path)


if __name__ == "__main__":
    main()
