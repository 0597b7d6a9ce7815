"""What a page says of itself."""

import pytest

from aag_ray.pages.blocks import read_page
from aag_ray.pages.metadata import day
from aag_ray.pages.page import Page


def page_with(head: str, attributes: str = "", url: str = "https://a.example/dir/page?x=1") -> Page:
    page = read_page(f"<html {attributes}><head>{head}</head><body><p>Some text.</p></body></html>", url).page
    assert page is not None
    return page


@pytest.mark.parametrize(
    ("head", "title"),
    [
        ("<title> A  title\n</title>", "A title"),
        ("<title>A title | Site</title><meta property=og:title content='A title'>", "A title"),
        ("<title>A &amp; B</title>", "A & B"),
        ("<title></title>", ""),
        ("", ""),
    ],
)
def test_title(head: str, title: str):
    assert page_with(head).title == title


@pytest.mark.parametrize(
    ("head", "date"),
    [
        ("<meta property='article:published_time' content='2024-05-06T10:00:00+02:00'>", "2024-05-06"),
        ("<meta name=date content='06.05.2024'><meta name=last-modified content='2025-01-01'>", "2024-05-06"),
        ('<script type="application/ld+json">{"@type": "Article", "datePublished": "2023-12-31"}</script>', "2023-12-31"),
        ("<meta name=date content='2024-13-45'>", ""),
        ("<meta name=date content='soon'>", ""),
    ],
)
def test_date(head: str, date: str):
    assert page_with(head).date == date


@pytest.mark.parametrize(
    ("attributes", "head", "language"),
    [
        ("lang=de-DE", "", "de-DE"),
        ("lang=en_US", "", "en-US"),
        ("", "<meta http-equiv=content-language content=fr>", "fr"),
        ("", "<meta property=og:locale content=pt_BR>", "pt-BR"),
        ("lang='{{ lang }}'", "", ""),
    ],
)
def test_language(attributes: str, head: str, language: str):
    assert page_with(head, attributes).language == language


@pytest.mark.parametrize(
    ("href", "address"),
    [
        ("https://b.example/c", "https://b.example/c"),
        ("../c", "https://a.example/c"),
        ("//b.example/c", "https://b.example/c"),
        ("javascript:alert(1)", ""),
        ("file:///etc/passwd", ""),
        ("http://[broken", ""),
        ("", ""),
    ],
)
def test_canonical_url(href: str, address: str):
    assert page_with(f"<link rel=canonical href='{href}'>").canonical_url == address


@pytest.mark.parametrize(
    ("text", "found"), [("20240506", "2024-05-06"), ("am 6.5.2024 um 8", "2024-05-06"), ("12024-05-06", ""), ("", "")]
)
def test_day(text: str, found: str):
    assert day(text) == found
