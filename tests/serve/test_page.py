"""The page's files: complete, of this server alone, and without a way for text to become markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest

Serve = Callable[..., Any]
PAGE = files("aag_ray.serve") / "page"
SCRIPTS = ("app.js", "elements.js", "exchange.js", "quote.js", "docs.js")
NAMES = ("index.html", "style.css", "docs.html", *SCRIPTS)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/style.css", "text/css"),
        ("/docs", "text/html"),
        *((f"/{name}", "text/javascript") for name in SCRIPTS),
    ],
)
def test_every_file_is_served_as_what_it_is(serve: Serve, path: str, kind: str):
    response = serve().client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(kind)
    assert response.headers["x-content-type-options"] == "nosniff"


def test_the_policy_lets_nothing_in_from_elsewhere_and_no_text_become_markup(serve: Serve):
    policy = serve().client.get("/").headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert rules["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in policy


@pytest.mark.parametrize("name", NAMES)
def test_no_file_names_another_site_or_writes_markup(name: str):
    text = (PAGE / name).read_text()
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser", text)
    assert not re.search(r"<script(?![^>]*src=)|\son[a-z]+=|<style|style=", text)


def test_every_file_of_the_page_is_served(serve: Serve):
    client = serve().client
    for name in (each.name for each in PAGE.iterdir() if not each.name.endswith(".html")):
        assert client.get(f"/{name}").status_code == 200, name


@pytest.mark.parametrize(("document", "scripts"), [("index.html", SCRIPTS[:-1]), ("docs.html", SCRIPTS[-1:])])
def test_every_part_that_the_scripts_ask_for_is_on_the_page(document: str, scripts: tuple[str, ...]):
    html = (PAGE / document).read_text()
    script = "".join((PAGE / name).read_text() for name in scripts)
    asked = set(re.findall(r'byId\("([^"]+)"\)', script))
    assert asked
    assert asked <= set(re.findall(r'id="([^"]+)"', html))
    for name in re.findall(r'(?:part|box\.querySelector)\("\.([a-z-]+)', script):
        assert re.search(rf'class="[^"]*\b{name}\b', html), name


def test_without_the_page_there_is_only_the_api(serve: Serve):
    client = serve(page=False).client
    assert client.get("/").status_code == 404
    assert client.get("/openapi.json").status_code == 200
