"""The Kubernetes manifests: valid by the schemas of their kinds, and in agreement with each other."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

MANIFESTS = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
KUBERNETES = "1.30"
"""The oldest release checked: sidecars (init containers that go on) are on by default from 1.29."""


def manifests() -> list[dict[str, Any]]:
    return [document for path in sorted(MANIFESTS.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())]


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = [document for document in manifests() if document["kind"] == kind]
    return found


def pods() -> dict[str, dict[str, Any]]:
    """The pod templates, by where they stand."""
    cluster = of_kind("RayCluster")["spec"]
    return {
        "aggregator": of_kind("StatefulSet")["spec"]["template"],
        "head": cluster["headGroupSpec"]["template"],
        "workers": cluster["workerGroupSpecs"][0]["template"],
    }


GROUP = {
    "type": "object",
    "additionalProperties": False,
    "required": ["rayStartParams", "template"],
    "properties": {
        "groupName": {"type": "string"},
        "replicas": {"type": "integer", "minimum": 0},
        "minReplicas": {"type": "integer", "minimum": 0},
        "maxReplicas": {"type": "integer", "minimum": 0},
        "rayStartParams": {"type": "object", "additionalProperties": {"type": "string"}},
        "template": {"type": "object"},
    },
}
SPECS: dict[str, dict[str, Any]] = {
    "RayCluster": {
        "type": "object",
        "additionalProperties": False,
        "required": ["headGroupSpec"],
        "properties": {
            "rayVersion": {"type": "string"},
            "headGroupSpec": GROUP,
            "workerGroupSpecs": {"type": "array", "items": {**GROUP, "required": [*GROUP["required"], "groupName"]}},
        },
    },
    "RayJob": {
        "type": "object",
        "additionalProperties": False,
        "required": ["entrypoint", "clusterSelector"],
        "properties": {
            "entrypoint": {"type": "string"},
            "clusterSelector": {"type": "object", "additionalProperties": {"type": "string"}},
            "submissionMode": {"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        },
    },
}
"""What of KubeRay's ray.io/v1 is used here, and how; no field beyond."""


def test_every_kind_is_there_once() -> None:
    kinds = sorted(document["kind"] for document in manifests())
    assert kinds == ["ConfigMap", "NetworkPolicy", "RayCluster", "RayJob", "Service", "StatefulSet"]


@pytest.mark.parametrize("document", manifests(), ids=lambda document: document["kind"])
def test_manifests_are_valid(document: dict[str, Any]) -> None:
    if document["kind"] in SPECS:
        assert document["apiVersion"] == "ray.io/v1"
        jsonschema.validate(document["spec"], SPECS[document["kind"]])
    else:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize("name", ["head", "workers"])
def test_the_pods_of_the_ray_cluster_are_valid(name: str) -> None:
    template = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": name}, "template": pods()[name]}
    kubernetes_validate.validate(template, KUBERNETES, strict=True)


@pytest.mark.parametrize("name", ["aggregator", "head", "workers"])
def test_no_pod_runs_as_root_or_holds_a_secret_in_its_manifest(name: str) -> None:
    spec = pods()[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True and spec["securityContext"]["runAsUser"] > 0
    assert spec["automountServiceAccountToken"] is False
    secrets = [volume["secret"]["secretName"] for volume in spec["volumes"] if "secret" in volume]
    assert secrets == ["embertrace-keys"]
    assert not any(document["kind"] == "Secret" for document in manifests())


def test_ray_pods_see_no_secret_but_their_own_key() -> None:
    for name in ("head", "workers"):
        (secret,) = [volume["secret"] for volume in pods()[name]["spec"]["volumes"] if "secret" in volume]
        assert [item["key"] for item in secret["items"]] == ["ray.key"]


def test_every_mount_has_its_volume() -> None:
    claims = {claim["metadata"]["name"] for claim in of_kind("StatefulSet")["spec"]["volumeClaimTemplates"]}
    for template in pods().values():
        spec = template["spec"]
        volumes = {volume["name"] for volume in spec["volumes"]} | claims
        for container in (*spec["containers"], *spec["initContainers"]):
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_the_aggregator_is_the_one_that_the_image_runs_on_a_volume() -> None:
    stateful = of_kind("StatefulSet")["spec"]
    (container,) = stateful["template"]["spec"]["containers"]
    assert container["command"][:3] == ["python", "-m", "aggregator"] and "--insecure-bind" not in container["command"]
    assert stateful["replicas"] == 1
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert container["command"][3].startswith(mounts["recordings"] + "/")
    assert container["command"][container["command"].index("--keys") + 1].startswith(mounts["keys"] + "/")
    assert container["readinessProbe"]["httpGet"]["path"] == "/healthz"
    assert "preStop" in container["lifecycle"]
    assert stateful["template"]["spec"]["terminationGracePeriodSeconds"] >= 30


def test_the_service_leads_to_the_aggregators_ports() -> None:
    service, stateful = of_kind("Service"), of_kind("StatefulSet")["spec"]
    labels = stateful["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items() and stateful["selector"]["matchLabels"] == labels
    (container,) = stateful["template"]["spec"]["containers"]
    offered = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == offered
    assert sorted(offered.values()) == [5557, 5558, 5559, 5560]


def test_ray_pods_trace_to_the_service_and_deliver_before_they_go() -> None:
    for name in ("head", "workers"):
        template = pods()[name]
        ray = template["spec"]["containers"][0]
        env = {variable["name"]: variable["value"] for variable in ray["env"]}
        assert env["EMBERTRACE_ENDPOINT"] == f"tcp://{of_kind('Service')['metadata']['name']}:5557"
        drain = next(c for c in template["spec"]["initContainers"] if c["name"] == "drain")
        assert drain["restartPolicy"] == "Always" and drain["env"] == ray["env"]
        assert "embertrace drain" in drain["command"][-1]
        assert "embertrace drain" in ray["lifecycle"]["preStop"]["exec"]["command"][-1]
        mounts = {mount["name"]: mount["mountPath"] for mount in ray["volumeMounts"]}
        assert mounts["spool"] == env["EMBERTRACE_SPOOL_DIR"] and env["EMBERTRACE_KEY"].startswith(mounts["key"])


def test_the_network_policy_lets_the_ray_pods_in_and_nothing_out() -> None:
    policy = of_kind("NetworkPolicy")["spec"]
    labels = of_kind("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["egress"] == [] and set(policy["policyTypes"]) == {"Ingress", "Egress"}
    clients, monitoring = policy["ingress"]
    allowed = clients["from"][0]["podSelector"]["matchLabels"]
    assert all(allowed.items() <= pods()[name]["metadata"]["labels"].items() for name in ("head", "workers"))
    (ports,) = clients["ports"]
    assert (ports["port"], ports["endPort"]) == (5557, 5559)
    assert monitoring["ports"][0]["port"] == 5560


def test_the_job_runs_its_program_on_the_cluster() -> None:
    job, cluster = of_kind("RayJob")["spec"], of_kind("RayCluster")
    assert job["clusterSelector"] == {"ray.io/cluster": cluster["metadata"]["name"]}
    config = of_kind("ConfigMap")
    (name,) = config["data"]
    ast.parse(config["data"][name])
    spec = pods()["head"]["spec"]
    mounted = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}["example"]
    assert job["entrypoint"] == f"python {mounted}/{name}"
    (volume,) = [volume for volume in spec["volumes"] if volume["name"] == "example"]
    assert volume["configMap"]["name"] == config["metadata"]["name"]
