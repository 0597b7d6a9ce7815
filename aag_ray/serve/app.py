"""The served application: `serve run serve_config.yaml`, or `serve run aag_ray.serve.app:build key=value ...`."""

# Without `from __future__ import annotations`: Serve reads the builder's annotation to make the arguments typed.
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import BackpressureConfig
from ray.serve.handle import DeploymentHandle
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aag_ray.config import AppSection, ServeSection
from aag_ray.config.serve import LiveSection
from aag_ray.serve.deployments import WAITS, AnsweringDeployment, EngineDeployment, ExtractorDeployment, WebDeployment
from aag_ray.serve.handles import RemotePolicy
from aag_ray.serve.logs import log_with_serve
from aag_ray.serve.metrics import GatewayMeters

# So many times what the gateway answers and lets wait may come at once and be refused by itself; beyond that Serve refuses.
BURST = 8
# A stream breaks with the node that writes it. Beside the proxy on the head, the gateway is lost only when all is.
BESIDE_PROXY = WAITS | {"resources": {"node:__internal_head__": 0.001}}


@serve.deployment(name="gateway", ray_actor_options=BESIDE_PROXY)
@serve.ingress()
class GatewayDeployment:
    """The HTTP side. It bounds requests itself, and refuses in OpenAI's form, before Serve would."""

    def __init__(self, section: ServeSection, answering: DeploymentHandle[Any]) -> None:
        log_with_serve()
        self.section, self.policy = section, RemotePolicy(answering)

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """`user_config` is the section `LiveSection`: it changes from the next request on."""
        self.gateway.configure(LiveSection.model_validate(user_config))

    def __serve_build_asgi_app__(self) -> Any:
        from aag_ray.serve.gateway import build_gateway

        app = build_gateway(self.section, self.policy, observer=GatewayMeters())
        app.add_middleware(IdOfServe)
        self.gateway = app.state.gateway
        return app


class IdOfServe:
    """The request's id is the one that Serve logs it by, whatever it is: the client's, or one of Serve's own.

    Serve's proxy appends it to every response, so that the application's own header is left out.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def without(message: Message) -> None:
            if message["type"] == "http.response.start":
                del MutableHeaders(scope=message)["X-Request-Id"]
            await send(message)

        if scope["type"] == "http" and (identity := Headers(scope=scope).get("x-request-id")) is not None:
            scope.setdefault("state", {})["identity"] = identity
        await self.app(scope, receive, without)


def build(args: AppSection) -> Application:
    """gateway -> answering -> engine, web, extractor. Each scales by its own entry under `deployments` of the config file."""
    # Replicas run elsewhere. What is relative is relative to where this runs: the folder of `serve run` with an import path;
    # with a file, for which Serve builds the application in a task, the folder in which that node's Ray was started.
    section = args.model_copy(update={"runs": str(Path(args.runs).absolute())})
    answering = AnsweringDeployment.bind(
        section, EngineDeployment.bind(section), WebDeployment.bind(section), ExtractorDeployment.bind(section)
    )
    most = BURST * (section.endpoint.limits.in_flight + section.endpoint.limits.waiting)
    gateway = GatewayDeployment.options(
        max_ongoing_requests=most, max_queued_requests=most, backpressure_config=BackpressureConfig(retry_after_s=1.0)
    )
    return gateway.bind(section.endpoint, answering)
