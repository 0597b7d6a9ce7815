"""Errors in OpenAI's form: `{"error": {"message", "type", "code", "param"}}`, with a status that clients know how to treat."""

from __future__ import annotations

import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from aag_ray.answer.event import Failed
from aag_ray.serve.schemas import UNSUPPORTED

_BRANCHES = frozenset(("str", "int", "float", "bool", "dict", "list"))
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ErrorBody(BaseModel):
    """What went wrong. `param` names the field of the request, `code` the kind of error for programs."""

    message: str
    type: str
    code: str | None = None
    param: str | None = None


class ErrorReply(BaseModel):
    error: ErrorBody


class ApiError(Exception):
    """A request ends here with a status. `retry_after` is in seconds."""

    def __init__(
        self, status: int, message: str, *, code: str, param: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param, self.retry_after = status, code, param, retry_after

    @property
    def body(self) -> dict[str, Any]:
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return ErrorReply(error=ErrorBody(message=str(self), type=kind, code=self.code, param=self.param)).model_dump()

    @property
    def response(self) -> JSONResponse:
        headers = {"Retry-After": str(max(1, math.ceil(self.retry_after)))} if self.retry_after is not None else {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(self.body, self.status, headers)


def from_failed(failed: Failed) -> ApiError:
    """The error of an answer that did not come to its end."""
    if failed.retry_after is not None:
        return ApiError(503, failed.message, code=failed.code, retry_after=failed.retry_after)
    return ApiError(500, "the answer could not be made; the log has the reason", code=failed.code)


def fault_of_server() -> ApiError:
    """For whatever nobody expected: its own message stays in the log."""
    return ApiError(500, "a fault of the server; the log has the reason", code="internal")


def stopping() -> ApiError:
    """For an answer that was being made when the server was told to stop."""
    return ApiError(503, "the server is stopping; ask again", code="stopping", retry_after=1.0)


def add_error_handlers(app: FastAPI) -> None:
    """What ends a request here ends in this form: wrong bodies and unknown paths. Faults end at the door."""

    @app.exception_handler(ApiError)
    async def own(_: Request, error: ApiError) -> Response:
        return error.response

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return invalid_request(error).response

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed", 400: "invalid_request"}.get(error.status_code, "http_error")
        message = f"{request.method} {request.url.path}: {error.detail}"
        response = ApiError(error.status_code, message, code=code).response
        response.headers.update(error.headers or {})
        return response


def invalid_request(error: RequestValidationError) -> ApiError:
    """400 with the first wrong field, what it held and what is allowed."""
    # Of the branches of a union, the one that was followed furthest is what the client meant.
    problem = max(error.errors(), key=lambda each: len(each["loc"]))
    place = [str(part) for part in problem["loc"] if part not in ("body", "path", "query")]
    if problem["type"] == "json_invalid":
        return ApiError(
            400, f"the body is not JSON: {problem.get('ctx', {}).get('error', problem['msg'])}", code="invalid_json"
        )
    name = _spelt(place) or None
    if problem["type"] in ("extra_forbidden", UNSUPPORTED):
        return ApiError(400, f"unknown or unsupported parameter: {name}", code="unknown_parameter", param=name)
    if problem["type"] == "missing":
        return ApiError(400, f"missing parameter: {name or 'the body'}", code="missing_required_parameter", param=name)
    given = repr(problem["input"])
    shown = given if len(given) <= 80 else given[:77] + "..."
    return ApiError(400, f"{name or 'the body'}: {problem['msg']}, not {shown}", code="invalid_value", param=name)


def _spelt(place: list[str]) -> str:
    """`messages[0].content`; names of union branches, which are no fields, are left out."""
    text = ""
    for part in place:
        if part.isdecimal():
            text += f"[{part}]"
        elif part.replace("_", "").isalnum() and part.islower() and part not in _BRANCHES:
            text += f".{part}" if text else part
    return text
