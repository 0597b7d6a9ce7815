"""Markup that would cost a parser too much is refused before it is parsed."""

import pytest

from aag_ray.pages.limits import MAX_ATTRIBUTES, TooMuch, check_markup
from aag_ray.pages.page import PageOutcome


def check(html: str) -> None:
    check_markup(html, max_characters=5_000_000, max_nodes=200_000, max_depth=500)


HOSTILE = {
    "too long": ("x" * 5_000_001, PageOutcome.TOO_LARGE),
    "a million nodes": ("<p>x</p>" * 600_000, PageOutcome.TOO_MANY_NODES),
    "a million comments": ("<!--" * 1_000_000, PageOutcome.TOO_MANY_NODES),
    "deep divs": ("<div>" * 100_000, PageOutcome.TOO_DEEP),
    "deep divs and close tags of others": ("<div></x>" * 50_000, PageOutcome.TOO_DEEP),
    "deep spans": ("<span>" * 100_000, PageOutcome.TOO_DEEP),
    "deep svg": ("<svg>" + "<g>" * 100_000, PageOutcome.TOO_DEEP),
    "nested tables": ("<table><tr><td>" * 20_000, PageOutcome.TOO_DEEP),
    "a tag with a hundred thousand attributes": (
        "<div " + " ".join(f"a{number}" for number in range(100_000)) + ">",
        PageOutcome.TOO_LARGE,
    ),
    "attributes behind quoted angles": (
        "<div " + " ".join(f"a{number}='<>'" for number in range(1000)) + ">",
        PageOutcome.TOO_LARGE,
    ),
    "attributes after a script that compares": (
        "<script>if (a<b && c) x='\"'</script><div " + " ".join(f"a{number}" for number in range(1000)) + ">",
        PageOutcome.TOO_LARGE,
    ),
    "formatting left open before end tags of nothing": (
        "".join(f"<b id={number}>" for number in range(1500)) + "</p>" * 300_000,
        PageOutcome.TOO_MANY_NODES,
    ),
    "formatting made anew in every paragraph": (
        "<p>" + "".join(f"<b id={number}>" for number in range(2000)) + "</p>" + "<p>x</p>" * 1000 + "</b>" * 2000,
        PageOutcome.TOO_MANY_NODES,
    ),
}


@pytest.mark.parametrize(("html", "outcome"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_markup_is_refused(html: str, outcome: PageOutcome):
    with pytest.raises(TooMuch) as refused:
        check(html)
    assert refused.value.outcome is outcome
    assert "allowed" in str(refused.value) or str(MAX_ATTRIBUTES) in str(refused.value)


ORDINARY = {
    "nothing": "",
    "no markup": "a < b > c & d",
    "an unclosed tag": "<p class='x",
    "an unclosed comment": "<p>x<!-- y",
    "ten thousand paragraphs": "<p>x" * 10_000,
    "ten thousand rows": "<table>" + "<tr><td>x<td>y" * 10_000,
    "many options": "<select>" + "<option>x" * 20_000,
    "long attributes": f"<div class='{'nav ' * 100_000}' data-x='{'<' * 1000}'>x</div>",
    "four hundred attributes": "<div " + " ".join(f"a{number}=1" for number in range(400)) + ">",
    "a script full of angles": "<script>" + "if (a<b) c='<div x y z>';" * 2000 + "</script>",
    "a few forgotten closes": "<div><b>x" * 100 + "<p>y</p>" * 2000,
    "entities": "&amp;" * 500_000,
}


@pytest.mark.parametrize("html", ORDINARY.values(), ids=ORDINARY)
def test_what_people_write_passes(html: str):
    check(html)
