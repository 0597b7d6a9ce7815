"""The page's files, read once and served from memory."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI
from starlette.responses import Response

_FILES = {
    "/": ("index.html", "text/html"),
    "/app.js": ("app.js", "text/javascript"),
    "/elements.js": ("elements.js", "text/javascript"),
    "/exchange.js": ("exchange.js", "text/javascript"),
    "/quote.js": ("quote.js", "text/javascript"),
    "/style.css": ("style.css", "text/css"),
    "/docs": ("docs.html", "text/html"),
    "/docs.js": ("docs.js", "text/javascript"),
}


def add_page(app: FastAPI) -> None:
    """Serve the page at / and the description of the API at /docs. Their links are relative, so that a prefix is no matter."""
    folder = files("aag_ray.serve") / "page"
    for path, (name, kind) in _FILES.items():
        _add(app, path, (folder / name).read_bytes(), kind)


def _add(app: FastAPI, path: str, body: bytes, kind: str) -> None:
    @app.get(path, include_in_schema=False)
    async def file() -> Response:
        return Response(body, media_type=kind, headers={"Cache-Control": "no-cache"})
