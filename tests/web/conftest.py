"""A real server on loopback that says anything it is told to, and a resolver that answers as it is told."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.abc import AbstractResolver, ResolveResult

from aag_ray.config import FetchSection


@dataclass
class Asked:
    """One request as the server saw it, with the times of its first and last byte."""

    host: str
    path: str
    headers: dict[str, str]
    began: float
    ended: float = 0.0


Act = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


def http(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    fields = {"Content-Type": "text/html", "Content-Length": str(len(body)), "Connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in fields.items() if value]
    return "\r\n".join([f"HTTP/1.1 {status} Status", *lines, "", ""]).encode() + body


@dataclass
class Site:
    """Answers by path (or host + path). Everything it was asked stands in `seen`."""

    port: int = 0
    answers: dict[str, bytes | Act] = field(default_factory=dict)
    seen: list[Asked] = field(default_factory=list)
    default: bytes | Act = field(default_factory=lambda: http(404, b"nothing here"))

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def says(self, path: str, body: bytes = b"", status: int = 200, **headers: str) -> str:
        """Answer a path with a well-formed response. Headers are written with _ for -; "" leaves one out."""
        self.answers[path] = http(status, body, **headers)
        return self.url(path)

    def sends(self, path: str, raw: bytes) -> str:
        """Answer a path with these bytes, well formed or not."""
        self.answers[path] = raw
        return self.url(path)

    def does(self, path: str, act: Act) -> str:
        """Answer a path with whatever `act` writes until it ends or the client goes away."""
        self.answers[path] = act
        return self.url(path)

    def redirects(self, path: str, target: str, status: int = 302) -> str:
        return self.says(path, b"", status, Location=target)

    def paths(self) -> list[str]:
        return [asked.path for asked in self.seen]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
            asked = Asked(headers.get("host", "").partition(":")[0], head[0].split(" ")[1], headers, time.monotonic())
            self.seen.append(asked)
            answer = self.answers.get(asked.host + asked.path, self.answers.get(asked.path, self.default))
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                await answer(asked, writer)
            await writer.drain()
            asked.ended = time.monotonic()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, as a limit should make it do
        finally:
            writer.close()


@pytest_asyncio.fixture
async def site(bound: Callable[[], socket.socket]) -> AsyncIterator[Site]:
    """A server on a free port of 127.0.0.1."""
    made = Site()
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await made.serve(reader, writer)

    server = await asyncio.start_server(handle, sock=bound(), backlog=1024)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await server.wait_closed()


class Names(AbstractResolver):
    """Answers for names from a table: one list of addresses a call, the last one from then on. Others do not exist."""

    def __init__(self) -> None:
        self.table: dict[str, list[list[str]]] = {}
        self.calls: list[str] = []
        self.default: list[str] | None = None

    def says(self, name: str, *answers: list[str]) -> None:
        self.table[name] = list(answers)

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        self.calls.append(host)
        answers = self.table.get(host.removesuffix("."))
        if answers is None and self.default is None:
            raise OSError(socket.EAI_NONAME, "Name or service not known")
        addresses = self.default if answers is None else answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses or []
        ]

    async def close(self) -> None:
        pass


@pytest.fixture
def names() -> Names:
    return Names()


Configure = Callable[..., FetchSection]


@pytest.fixture
def configure() -> Configure:
    """A configuration for quick tests that opens a site: no robots.txt, no delay, small limits; sections laid over it."""

    def made(site: Site | None = None, **sections: dict[str, Any] | Any) -> FetchSection:
        values: dict[str, Any] = {
            "guard": {"allow": [f"127.0.0.0/8:{site.port}"] if site else []},
            "limits": {
                "header_bytes": 8192,
                "body_bytes": 100_000,
                "decompressed_bytes": 300_000,
                "seconds": 5.0,
                "header_seconds": 2.0,
                "slow_after_seconds": 0.2,
            },
            "politeness": {"robots": False, "delay_seconds": 0.0, "retries": 0, "backoff_seconds": 0.01},
        }
        for name, section in sections.items():
            values[name] = values.get(name, {}) | section if isinstance(section, dict) else section
        return FetchSection.model_validate(values)

    return made
