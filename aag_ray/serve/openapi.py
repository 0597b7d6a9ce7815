"""The application's own description: what `/openapi.json` says beyond what FastAPI finds by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi


def describe(app: FastAPI, *, needs_key: bool, modes: Callable[[], Sequence[str]]) -> None:
    """Wrong bodies end in 400, never in FastAPI's 422; with keys, everything below /v1/ needs one. Models are the `modes` of
    the moment."""

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _schema(app, needs_key)
        for place in _models(app.openapi_schema):
            place["enum"] = list(modes())
        return app.openapi_schema

    app.openapi = schema


def _models(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The places where a client names a model."""
    bodies = [schema["components"]["schemas"][name]["properties"]["model"] for name in ("ChatRequest", "ResponsesRequest")]
    return [*bodies, schema["paths"]["/v1/models/{model}"]["get"]["parameters"][0]["schema"]]


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
