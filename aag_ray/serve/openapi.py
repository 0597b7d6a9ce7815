"""The application's own description: what `/openapi.json` says beyond what FastAPI finds by itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi


def describe(app: FastAPI, *, needs_key: bool) -> None:
    """Wrong bodies end in 400, never in FastAPI's 422; with keys, everything below /v1/ needs one."""

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _schema(app, needs_key)
        return app.openapi_schema

    app.openapi = schema


def _schema(app: FastAPI, needs_key: bool) -> dict[str, Any]:
    made = get_openapi(title=app.title, version=app.version, routes=app.routes)
    for path, operations in made["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            if needs_key and path.startswith("/v1/"):
                operation["security"] = [{"key": []}]
    schemas = made.get("components", {}).get("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    if needs_key:
        made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return made
