"""The served application: `serve run serve_config.yaml`, or `serve run aag_ray.serve.app:build key=value ...`."""

# Without `from __future__ import annotations`: Serve reads the builder's annotation to make the arguments typed.
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aag_ray.config import AppSection, ServeSection
from aag_ray.serve.deployments import WAITS, AnsweringDeployment, EngineDeployment, ExtractorDeployment, WebDeployment
from aag_ray.serve.handles import RemotePolicy
from aag_ray.serve.logs import log_with_serve

# A stream breaks with the node that writes it. Beside the proxy on the head, the gateway is lost only when all is.
BESIDE_PROXY = WAITS | {"resources": {"node:__internal_head__": 0.001}}


@serve.deployment(name="gateway", ray_actor_options=BESIDE_PROXY)
@serve.ingress()
class GatewayDeployment:
    """The HTTP side. It bounds requests itself, and refuses in OpenAI's form, before Serve would."""

    def __init__(self, section: ServeSection, answering: DeploymentHandle[Any]) -> None:
        log_with_serve()
        self.section, self.policy = section, RemotePolicy(answering)

    def __serve_build_asgi_app__(self) -> Any:
        from aag_ray.serve.gateway import build_gateway

        app = build_gateway(self.section, self.policy)
        app.add_middleware(RequestIdOnce)
        return app


class RequestIdOnce:
    """Leaves the header with the request's id to Serve's proxy, which appends it to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def without(message: Message) -> None:
            if message["type"] == "http.response.start":
                del MutableHeaders(scope=message)["X-Request-Id"]
            await send(message)

        await self.app(scope, receive, without)


def build(args: AppSection) -> Application:
    """gateway -> answering -> engine, web, extractor. Each scales by its own entry under `deployments` of the config file."""
    # Replicas run elsewhere: what is relative here is relative to where `serve run` was typed.
    section = args.model_copy(update={"runs": str(Path(args.runs).absolute())})
    answering = AnsweringDeployment.bind(
        section, EngineDeployment.bind(section), WebDeployment.bind(section), ExtractorDeployment.bind(section)
    )
    limits = section.endpoint.limits
    gateway = GatewayDeployment.options(max_ongoing_requests=limits.in_flight + limits.waiting + 16)
    return gateway.bind(section.endpoint, answering)
