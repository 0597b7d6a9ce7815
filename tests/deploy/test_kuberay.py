"""The KubeRay manifests, as far as a machine without Kubernetes can tell: fields, versions, Serve's schema, ports, token."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.serve.schema import ServeDeploySchema

from aag_ray.config import AppSection, TrainAagConfig
from aag_ray.settings import load_config

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
# Fields of KubeRay's API, ray.io/v1 (ray-project.github.io/kuberay/reference/api), and of the parts of Kubernetes used here.
FIELDS = {
    "RayService": {"apiVersion", "kind", "metadata", "spec"},
    "RayJob": {"apiVersion", "kind", "metadata", "spec"},
    "RayServiceSpec": {"serveConfigV2", "rayClusterConfig", "serveService", "upgradeStrategy", "excludeHeadPodFromServeSvc"},
    "RayJobSpec": {
        *("entrypoint", "rayClusterSpec", "runtimeEnvYAML", "submissionMode", "shutdownAfterJobFinishes", "suspend"),
        *("ttlSecondsAfterFinished", "activeDeadlineSeconds", "backoffLimit", "submitterPodTemplate", "submitterConfig"),
        *("clusterSelector", "jobId", "metadata", "entrypointNumCpus", "entrypointNumGpus", "entrypointResources"),
    },
    "RayClusterSpec": {
        *("rayVersion", "headGroupSpec", "workerGroupSpecs", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions"),
        *("gcsFaultToleranceOptions", "headServiceAnnotations", "suspend", "managedBy"),
    },
    "AuthOptions": {"mode", "secretName"},
    "AutoscalerOptions": {"idleTimeoutSeconds", "upscalingMode", "resources", "version", "image", "env"},
    "HeadGroupSpec": {"template", "headService", "enableIngress", "rayStartParams", "serviceType"},
    "WorkerGroupSpec": {
        *("groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template", "numOfHosts"),
        *("idleTimeoutSeconds", "scaleStrategy", "suspend"),
    },
    "PodTemplateSpec": {"metadata", "spec"},
    "PodSpec": {"containers", "initContainers", "volumes", "tolerations", "nodeSelector", "serviceAccountName", "affinity"},
    "Container": {
        *("name", "image", "workingDir", "env", "envFrom", "volumeMounts", "ports", "resources", "command", "args"),
        *("readinessProbe", "livenessProbe", "securityContext", "imagePullPolicy"),
    },
    "Probe": {"exec", "httpGet", "initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold"},
}


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / name).read_text())


def cluster_of(manifest: dict[str, Any]) -> dict[str, Any]:
    spec = manifest["spec"]
    return spec["rayClusterConfig"] if manifest["kind"] == "RayService" else spec["rayClusterSpec"]


def groups_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = cluster_of(manifest)
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def container_of(group: dict[str, Any]) -> dict[str, Any]:
    (container,) = group["template"]["spec"]["containers"]
    return container


@pytest.fixture(params=["rayservice.yaml", "rayjob.yaml"])
def manifest(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(request.param)


def test_every_field_is_one_of_kuberays(manifest: dict[str, Any]):
    cluster = cluster_of(manifest)
    assert manifest["apiVersion"] == "ray.io/v1"
    parts = [(manifest["kind"], manifest), (f"{manifest['kind']}Spec", manifest["spec"]), ("RayClusterSpec", cluster)]
    parts += [("AuthOptions", cluster["authOptions"]), ("AutoscalerOptions", cluster["autoscalerOptions"])]
    parts += [("HeadGroupSpec", cluster["headGroupSpec"])]
    parts += [("WorkerGroupSpec", group) for group in cluster["workerGroupSpecs"]]
    for group in groups_of(manifest):
        container = container_of(group)
        parts += [("PodTemplateSpec", group["template"]), ("PodSpec", group["template"]["spec"])]
        parts += [("Container", container), ("Probe", container["readinessProbe"])]
    for name, part in parts:
        assert set(part) <= FIELDS[name], name


def test_versions_are_the_pins(manifest: dict[str, Any]):
    assert cluster_of(manifest)["rayVersion"] == ray.__version__
    assert re.search(rf"^ray(\[.*\])?=={re.escape(ray.__version__)}$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    image = (DEPLOY / "Dockerfile").read_text()
    assert f"FROM rayproject/ray:{ray.__version__}-py311\n" in image
    installs = [line for line in image.splitlines() if "pip install" in line]
    assert installs
    assert all("-c constraints.txt" in line for line in installs)
    assert (
        len({container_of(group)["image"] for name in ("rayservice.yaml", "rayjob.yaml") for group in groups_of(read(name))})
        == 1
    )


def test_the_token_is_asked_for_and_stands_in_no_file(manifest: dict[str, Any]):
    assert cluster_of(manifest)["authOptions"] == {"mode": "token", "secretName": "aag-ray-token"}
    for file in DEPLOY.glob("*.yaml"):
        assert not any(each and each.get("kind") == "Secret" for each in yaml.safe_load_all(file.read_text())), file


def test_no_port_is_opened_to_the_outside(manifest: dict[str, Any]):
    assert cluster_of(manifest)["headGroupSpec"]["serviceType"] == "ClusterIP"
    for file in DEPLOY.glob("*ray*.yaml"):
        text = file.read_text()
        assert not re.search(r"NodePort|LoadBalancer|hostPort|hostNetwork|enableIngress|kind: (Ingress|HTTPRoute)", text), file


def test_the_network_policy_lets_in_the_namespace_and_the_operator_alone():
    volume, policy = yaml.safe_load_all((DEPLOY / "kuberay_shared.yaml").read_text())
    assert volume["spec"]["accessModes"] == ["ReadWriteMany"]
    here, operator = policy["spec"]["ingress"]
    assert here == {"from": [{"podSelector": {}}]}
    assert [port["port"] for port in operator["ports"]] == [8265]


def test_all_nodes_share_the_runs(manifest: dict[str, Any]):
    volume = next(yaml.safe_load_all((DEPLOY / "kuberay_shared.yaml").read_text()))
    for group in groups_of(manifest):
        (mounted,) = group["template"]["spec"]["volumes"]
        assert mounted["persistentVolumeClaim"]["claimName"] == volume["metadata"]["name"]
        assert container_of(group)["volumeMounts"] == [{"name": mounted["name"], "mountPath": "/shared"}]
    assert volume["metadata"]["namespace"] == manifest["metadata"]["namespace"]


def test_keys_come_from_a_secret_that_need_not_be_there():
    for group in groups_of(read("rayservice.yaml")):
        assert container_of(group)["envFrom"] == [{"secretRef": {"name": "aag-ray-keys", "optional": True}}]


def test_nodes_say_what_they_need_and_when_they_are_ready(manifest: dict[str, Any]):
    for group in groups_of(manifest):
        container = container_of(group)
        requests, limits = container["resources"]["requests"], container["resources"]["limits"]
        assert {"cpu", "memory"} <= set(requests) <= set(limits)
        assert requests["memory"] == limits["memory"], "memory that is not there when it is needed ends the pod"
        assert "local_raylet_healthz" in container["readinessProbe"]["exec"]["command"][-1]


def test_the_head_does_no_work_and_some_workers_have_gpus(manifest: dict[str, Any]):
    head, *workers = groups_of(manifest)
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert any("nvidia.com/gpu" in container_of(group)["resources"]["limits"] for group in workers)
    for group in groups_of(manifest):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values()), "KubeRay takes strings alone"


def test_serve_accepts_the_application():
    config = yaml.safe_load(read("rayservice.yaml")["spec"]["serveConfigV2"])
    schema = ServeDeploySchema.model_validate(config)
    assert schema.applications[0].import_path == "aag_ray.serve.app:build"
    AppSection.model_validate(config["applications"][0]["args"])
    config["applications"][0]["deployments"][0]["num_replicas"] = -1
    with pytest.raises(ValueError, match="num_replicas"):
        ServeDeploySchema.model_validate(config)


def test_the_application_is_that_of_serve_config_but_for_what_a_cluster_changes():
    there = yaml.safe_load(read("rayservice.yaml")["spec"]["serveConfigV2"])
    here = yaml.safe_load((ROOT / "serve_config.yaml").read_text())
    (served,), (own,) = there["applications"], here["applications"]
    assert own["args"]["endpoint"].pop("hosts")  # a service in a cluster has names that only the cluster knows
    assert there["logging_config"] == here["logging_config"]
    assert served["args"] | {"runs": own["args"]["runs"]} == own["args"]
    engine = next(each for each in served["deployments"] if each["name"] == "engine")
    assert engine["ray_actor_options"].pop("num_gpus") == 1
    assert served["deployments"] == own["deployments"]


def test_the_entrypoint_is_a_job_with_settings_that_it_takes():
    program, script, option, config, *settings = shlex.split(read("rayjob.yaml")["spec"]["entrypoint"])
    assert (program, option) == ("python", "--config")
    assert (ROOT / script).is_file()
    loaded = load_config(TrainAagConfig, ROOT / config, settings)
    assert str(loaded.run.root) == "/shared/runs"
    (workers,) = cluster_of(read("rayjob.yaml"))["workerGroupSpecs"]
    limits = container_of(workers)["resources"]["limits"]
    assert loaded.cluster.workers == int(limits["nvidia.com/gpu"])
    assert loaded.cluster.workers * loaded.cluster.cpus_per_worker <= int(limits["cpu"])
