"""The served application: `serve run serve_config.yaml`, or `serve run aag_ray.serve.app:build key=value ...`."""

# Without `from __future__ import annotations`: Serve reads the builder's annotation to make the arguments typed.
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle

from aag_ray.config import AppSection, ServeSection
from aag_ray.serve.deployments import WAITS, AnsweringDeployment, EngineDeployment, ExtractorDeployment, WebDeployment
from aag_ray.serve.handles import RemotePolicy


@serve.deployment(name="gateway", ray_actor_options=WAITS)
@serve.ingress()
class GatewayDeployment:
    """The HTTP side. It bounds requests itself, and refuses in OpenAI's form, before Serve would."""

    def __init__(self, section: ServeSection, answering: DeploymentHandle[Any]) -> None:
        self.section, self.policy = section, RemotePolicy(answering)

    def __serve_build_asgi_app__(self) -> Any:
        from aag_ray.serve.gateway import build_gateway

        return build_gateway(self.section, self.policy)


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
