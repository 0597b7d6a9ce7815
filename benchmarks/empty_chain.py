"""Three deployments that do nothing, called as gateway, answering and engine are: whole, and there as a stream of two lists."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from ray import serve
from ray.serve import Application
from starlette.requests import Request

WAITS = {"num_cpus": 0}


@serve.deployment(ray_actor_options=WAITS)
class Engine:
    async def recall(self, body: Any) -> AsyncGenerator[list[Any], None]:
        yield [body]
        yield [body]


@serve.deployment(ray_actor_options=WAITS)
class Answering:
    def __init__(self, engine: Any) -> None:
        self.engine = engine

    async def whole(self, body: Any) -> list[Any]:
        return [some async for some in self.engine.recall.options(stream=True).remote(body)]


@serve.deployment(ray_actor_options=WAITS)
class Gateway:
    def __init__(self, answering: Any) -> None:
        self.answering = answering

    async def __call__(self, request: Request) -> list[Any]:
        return await self.answering.whole.remote(await request.json())


def empty_chain() -> Application:
    """The application; POST any JSON to it."""
    return Gateway.bind(Answering.bind(Engine.bind()))
