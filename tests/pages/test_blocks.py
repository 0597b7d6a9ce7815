"""HTML to a page, whole: limits as outcomes, exact offsets, and real pages where they are at hand."""

import hashlib
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aag_ray.config import PagesSection
from aag_ray.pages.blocks import read_page
from aag_ray.pages.page import Page, PageOutcome
from aag_ray.pages.spans import split_spans

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "html_pages"
FRAGMENTS = """
    <p> </p> <div> </div> <table> <tr> <td> <th> </table> <ul> <li> </ul> <pre> </pre> <br> <a/href=x> </a> <b> </b> <h1> </h1>
    <h2> <!-- --> <script> </script> <svg> </svg> <main> <article> <aside> <td/colspan=9e9> <caption> <p/hidden> & < >
"""
MARKUP = st.lists(st.sampled_from(FRAGMENTS.split()) | st.text(max_size=6), max_size=40).map("".join)


def assert_exact(page: Page) -> None:
    position = 0
    for block in page.blocks:
        assert position <= block.start < block.end
        assert not page.text[position : block.start].strip()
        assert page.text_of(block).strip() == page.text_of(block).strip("\n ")
        position = block.end
    assert position == len(page.text)


@given(MARKUP)
def test_any_markup_ends_as_an_outcome_with_exact_offsets(html: str):
    result = read_page(html, "https://a.example/")
    assert (result.page is not None) == (result.outcome is PageOutcome.OK)
    assert result.detail or result.page
    if result.page is not None:
        assert_exact(result.page)


@given(MARKUP)
def test_reading_twice_gives_the_same_page(html: str):
    assert read_page(html) == read_page(html)


@pytest.mark.parametrize(
    ("html", "outcome"),
    [
        ("<p>" + "x" * 3_000_000, PageOutcome.TOO_LARGE),
        ("x" * 5_000_001, PageOutcome.TOO_LARGE),
        ("<div>" * 100_000, PageOutcome.TOO_DEEP),
        ("<p>x</p>" * 600_000, PageOutcome.TOO_MANY_NODES),
        ("<div " + " a=1" * 100_000 + ">x", PageOutcome.TOO_LARGE),
        ("<p>" + "&amp;" * 900_000, PageOutcome.OK),
        ("<div class='" + "x " * 2_000_000 + "'>x</div>", PageOutcome.OK),
        ("<table>" + "<tr><td colspan=9007199254740991 rowspan=9007199254740991>x" * 1000 + "</table>", PageOutcome.OK),
        ("\ud800<p>half a pair</p>", PageOutcome.OK),
    ],
    ids=["text", "html", "depth", "nodes", "attributes", "entities", "attribute", "colspan", "surrogate"],
)
def test_bombs_end_as_outcomes(html: str, outcome: PageOutcome):
    result = read_page(html, "https://bomb.example/")
    assert result.outcome is outcome
    if outcome is not PageOutcome.OK:
        assert "https://bomb.example/" in result.detail


def real_pages() -> Iterator[tuple[dict[str, list[str]], str]]:
    if not SHARED.exists():
        pytest.skip("the real pages are not beside the repository: ../shared/data/html_pages")
    index = {row["file"]: row for row in map(json.loads, (SHARED / "index.jsonl").read_text().splitlines())}
    with tarfile.open(SHARED / "pages.tar.gz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            name = member.name.removeprefix("./")
            if file is not None and hashlib.sha256(name.encode()).digest()[-1] % 2 == 0:
                yield index[name], file.read().decode(errors="replace")


def test_real_pages_keep_what_is_wanted_and_lose_much_of_the_rest():
    kept = wanted = removed = unwanted = 0
    for row, html in real_pages():
        page = read_page(html).page
        text = " ".join(page.text.split()) if page else ""
        if page is not None:
            assert_exact(page)
            spans = split_spans(page)
            assert "".join("".join(page.text.split())) == "".join("".join(page.text[s.start : s.end].split()) for s in spans)
        kept += sum(" ".join(phrase.split()) in text for phrase in row["with"])
        removed += sum(" ".join(phrase.split()) not in text for phrase in row["without"])
        wanted, unwanted = wanted + len(row["with"]), unwanted + len(row["without"])
    assert kept / wanted >= 0.97
    assert removed / unwanted >= 0.782  # the best plain-text baseline of benchmarks/clean.py


def test_limits_of_a_section_are_what_counts():
    assert read_page("<p>12345678", "", PagesSection(max_characters=10)).outcome is PageOutcome.TOO_LARGE
    assert read_page("<p>12345678", "", PagesSection(max_text_characters=5)).outcome is PageOutcome.TOO_LARGE
    assert read_page("<p>12345678", "", PagesSection(max_characters=11)).outcome is PageOutcome.OK
