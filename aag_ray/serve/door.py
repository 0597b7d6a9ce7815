"""What every request passes before anything reads it: a request id, the client's key, and the limits of its body.

What nobody expected ends here too, so that its reply is as every other: in OpenAI's form, with the request's id.
"""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aag_ray.config import ApiLimitsSection
from aag_ray.serve.errors import ApiError, fault_of_server, stopping
from aag_ray.serve.keys import Keyring
from aag_ray.serve.observer import Observer

log = logging.getLogger(__name__)
GUARDED = "/v1/"
_IDENTITY = re.compile(r"[A-Za-z0-9._-]{1,100}")
LONGEST_IDENTITY = 200  # one in front takes any, and every event of a stream holds it
# The page loads its own files and talks to its own server; nothing else, and no text ever becomes markup.
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Door:
    """ASGI middleware. The request's id is in `scope["state"]["identity"]`, the client's name in `["client"]`.

    Bodies are read whole, up to `body_bytes` and within `body_seconds`: 413 and 408 end the rest. With `hosts`, so does 421
    for a request that addresses the server by another name. A server in front may have given the request its id already.
    """

    def __init__(
        self,
        app: ASGIApp,
        keyring: Keyring,
        limits: ApiLimitsSection,
        hosts: Collection[str] = (),
        observer: Observer | None = None,
    ) -> None:
        self.app, self.keyring, self.limits, self.hosts = app, keyring, limits, hosts
        self.observer = observer or Observer()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        state = scope.setdefault("state", {})
        identity = state.setdefault("identity", given if _IDENTITY.fullmatch(given) else uuid.uuid4().hex)
        begun = False

        async def marked(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                marks = MutableHeaders(scope=message)
                marks["X-Request-Id"] = identity
                for name, value in SECURITY.items():
                    marks.setdefault(name, value)
                if message["status"] >= 400:
                    self.observer.refused(message["status"])
            await send(message)

        try:
            if len(identity) > LONGEST_IDENTITY:
                raise ApiError(400, f"X-Request-Id has more than {LONGEST_IDENTITY} characters", code="invalid_value")
            if self.hosts and (name := _addressed(headers.get("host", ""))) not in self.hosts:
                known = f"this server is not called {name!r}; endpoint.hosts lists its names"
                raise ApiError(421, known, code="misdirected_request")
            if _path(scope).startswith(GUARDED):
                state["client"] = self.keyring.admit(headers.get("authorization"))
            body = await self._body(headers, receive)
        except ApiError as refusal:
            log.info("refused %s: %s", scope["path"], refusal, extra={"request_id": identity})
            await refusal.response(scope, receive, marked)
            return
        try:
            await self.app(scope, _replaying(body, receive), marked)
        except Exception:
            log.exception("while serving %s", scope["path"], extra={"request_id": identity})
            if begun:
                raise
            await fault_of_server().response(scope, receive, marked)
        except asyncio.CancelledError:
            if not begun:
                await stopping().response(scope, receive, marked)
            raise

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        most, claimed = self.limits.body_bytes, headers.get("content-length", "0")
        refusal = ApiError(413, f"the body is larger than {most} bytes", code="request_too_large")
        if claimed.isdecimal() and int(claimed) > most:
            raise refusal
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while True:
                    message = await receive()
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise refusal
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            late = f"the body did not come within {self.limits.body_seconds:g} s"
            raise ApiError(408, late, code="request_timeout") from None


def _path(scope: Scope) -> str:
    """The path below the prefix that the application is mounted at."""
    root = scope.get("root_path", "")
    return scope["path"].removeprefix(root) if root else scope["path"]


def _addressed(host: str) -> str:
    """The name or address in a Host header, in lower case, without port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return host


def _replaying(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay
