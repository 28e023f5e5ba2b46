"""The Kubernetes objects that run one endpoint, whole, and what must be so in each of them."""

from pathlib import Path
from typing import Any

import pytest

from nightlatch.api.endpoint import EnvVar, ModelSource, PvcSource, Resources, Runtime, Toleration, TopologySpread
from nightlatch.api.meta import NamespacedName
from nightlatch.planning.objects.cluster import ClusterSettings
from nightlatch.planning.objects.deployment import deployment
from nightlatch.planning.objects.network_policy import network_policy
from nightlatch.planning.objects.pod_disruption_budget import pod_disruption_budget
from nightlatch.planning.objects.service_account import service_account
from nightlatch.planning.objects.services import front_service, pods_service
from nightlatch.planning.workload import Workload

HERE = Path(__file__).parent
CLUSTER = ClusterSettings("registry.example/model-server:1", "nightlatch-gateway", "nightlatch-gateway")
GPU = Resources(requests={"cpu": "2"}, limits={"memory": "8Gi", "nvidia.com/gpu": "1"})


def workload(name: str, pvc: PvcSource, **changes: Any) -> Workload:
    members: dict[str, Any] = {
        "endpoint": NamespacedName("search", name),
        "uid": "0b1c",
        "model_name": name,
        "source": ModelSource(pvc=pvc),
        "digest": None,
        "runtime": Runtime(),
        "tls_secret": f"{name}-upstream-tls",
        "admit": "spiffe://nightlatch.example/gateway",
    }
    return Workload(**{**members, **changes})


CASES = {
    "plain": workload("minilm", PvcSource(claim_name="models")),
    "every-setting": workload(
        "large",
        PvcSource(claim_name="models", path="/large/v2/"),
        digest="sha256:" + "0" * 64,
        max_replicas=3,
        runtime=Runtime(
            args=("--max-queue=8",),
            env=(EnvVar(name="OMP_NUM_THREADS", value="2"),),
            resources=GPU,
            node_selector={"pool": "gpu"},
            tolerations=(Toleration(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule"),),
            image_pull_secrets=({"name": "registry"},),
            runtime_class_name="nvidia",
            priority_class_name="batch",
            pod_labels={"kueue.x-k8s.io/queue-name": "gpu", "app.kubernetes.io/name": "not-ours"},
            pod_annotations={"example.com/scrape": "true"},
            topology_spread=(
                TopologySpread(topology_key="topology.kubernetes.io/zone", when_unsatisfiable="DoNotSchedule"),
                TopologySpread(topology_key="kubernetes.io/hostname", max_skew=2),
            ),
            shared_memory="1Gi",
        ),
    ),
}
every_case = pytest.mark.parametrize("case", CASES)


def objects(case: str) -> list[dict[str, Any]]:
    given = CASES[case]
    return [
        service_account(given),
        network_policy(given, CLUSTER),
        pods_service(given),
        front_service(given, CLUSTER),
        pod_disruption_budget(given),
        deployment(given, CLUSTER),
    ]


def one(case: str, kind: str) -> dict[str, Any]:
    (found,) = (each for each in objects(case) if each["kind"] == kind)
    return found


def pod(case: str) -> dict[str, Any]:
    return one(case, "Deployment")["spec"]["template"]


@every_case
def test_an_endpoint_becomes_these_objects(golden, case):
    golden(HERE / f"{case}.yaml", *objects(case))


@every_case
def test_replicas_are_left_to_the_autoscaler(case):
    assert "replicas" not in one(case, "Deployment")["spec"]


@every_case
def test_the_pod_meets_the_restricted_standard(case):
    spec = pod(case)["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec)
    assert {kind for volume in spec["volumes"] for kind in volume} <= {
        "name",
        "secret",
        "emptyDir",
        "persistentVolumeClaim",
    }
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not any("hostPort" in port for port in container["ports"])


@every_case
def test_neither_pod_nor_account_carries_a_token(case):
    assert pod(case)["spec"]["automountServiceAccountToken"] is False
    assert one(case, "ServiceAccount")["automountServiceAccountToken"] is False
    assert pod(case)["spec"]["serviceAccountName"] == one(case, "ServiceAccount")["metadata"]["name"]


@every_case
def test_all_belong_to_the_endpoint_and_go_with_it(case):
    for each in objects(case):
        (owner,) = each["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("InferenceEndpoint", "0b1c", True)
        assert each["metadata"]["namespace"] == "search"


@every_case
def test_whatever_selects_pods_selects_these(case):
    labels = pod(case)["metadata"]["labels"].items()
    for each in objects(case):
        spec = each.get("spec", {})
        selector = spec.get("selector") or spec.get("podSelector")
        if selector:
            assert labels >= selector.get("matchLabels", selector).items(), each["kind"]


def test_labels_of_the_owner_are_added_and_ours_stay():
    labels = pod("every-setting")["metadata"]["labels"]
    assert labels["kueue.x-k8s.io/queue-name"] == "gpu"
    assert labels["app.kubernetes.io/name"] == "model-server"
    assert "kueue.x-k8s.io/queue-name" not in one("every-setting", "Deployment")["metadata"]["labels"]


@every_case
def test_only_gateways_reach_the_serving_port_and_nothing_leaves(case):
    policy = one(case, "NetworkPolicy")["spec"]
    serving = next(port for port in pod(case)["spec"]["containers"][0]["ports"] if port["name"] == "serving")
    (rule,) = (
        each for each in policy["ingress"] if serving["containerPort"] in [port["port"] for port in each["ports"]]
    )
    (peer,) = rule["from"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "nightlatch-gateway"}
    assert peer["podSelector"]["matchLabels"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []


@every_case
def test_the_model_is_mounted_read_only(case):
    (mount,) = (each for each in pod(case)["spec"]["containers"][0]["volumeMounts"] if each["name"] == "model")
    assert mount["readOnly"] is True
