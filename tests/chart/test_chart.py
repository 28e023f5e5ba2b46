"""What the chart installs holds to the rulings on privilege, namespaces and pods."""

import json
import subprocess
from datetime import timedelta

import pytest

from nightlatch.api.validation.allowed import Allowed
from nightlatch.controller.cluster.config import ClusterConfig
from nightlatch.planning.settings import Settings
from tests.chart.conftest import CHART, NAMESPACE, tool

# The first run on a machine compiles Helm, perhaps behind another build that holds the lock.
pytestmark = pytest.mark.timeout(1800)

WRITES = {"create", "update", "patch", "delete", "deletecollection", "*"}
GATEWAY = "nightlatch-gateway"


def rules_of(objects: list[dict], account: str, namespace: str | None = None) -> list[dict]:
    """Rules bound to a ServiceAccount; in one namespace, or (None) in all of them."""
    bindings = [obj for obj in objects if obj["kind"] in {"RoleBinding", "ClusterRoleBinding"}]
    bound = [obj for obj in bindings if any(subject["name"] == account for subject in obj["subjects"])]
    names = {
        (obj["roleRef"]["kind"], obj["roleRef"]["name"], obj["metadata"].get("namespace"))
        for obj in bound
        if obj["metadata"].get("namespace") == namespace
    }
    roles = [
        obj for obj in objects if (obj["kind"], obj["metadata"]["name"], obj["metadata"].get("namespace")) in names
    ]
    return [rule for role in roles for rule in role["rules"]]


def pods_of(objects: list[dict]) -> list[dict]:
    return [obj["spec"]["template"]["spec"] for obj in objects if obj["kind"] == "Deployment"]


def test_helm_lint_finds_nothing(helm):
    done = subprocess.run([helm, "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_helm_unittest_passes():
    done = subprocess.run([tool("helm-unittest"), str(CHART)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("settings", [(), ("watchNamespaces={search,ml}",)], ids=["all namespaces", "some namespaces"])
def test_the_gateway_has_no_write_verb_at_all(render, settings):
    objects = render(*settings)
    namespaces = {None, *(obj["metadata"].get("namespace") for obj in objects)}
    rules = [rule for namespace in namespaces for rule in rules_of(objects, GATEWAY, namespace)]
    assert rules
    assert not [rule for rule in rules if WRITES & set(rule["verbs"])]


def test_the_gateway_reads_secrets_in_its_own_namespace_alone(render):
    objects = render()
    reading = {
        namespace
        for namespace in {None, *(obj["metadata"].get("namespace") for obj in objects)}
        for rule in rules_of(objects, GATEWAY, namespace)
        if "secrets" in rule["resources"]
    }
    assert reading == {GATEWAY}


def test_no_ca_key_can_lie_where_the_gateway_reads(helm):
    command = [helm, "template", "x", str(CHART), "--namespace", NAMESPACE, "--set", f"gateway.namespace={NAMESPACE}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "choose another" in done.stderr


def test_namespaced_mode_grants_nothing_cluster_wide(render):
    kinds = {obj["kind"] for obj in render("watchNamespaces={search}", "crds.enabled=false")}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding"}


@pytest.mark.parametrize(
    ("settings", "verbs"),
    [((), {"list", "watch"}), (("watchNamespaces={search}",), {"get"})],
    ids=["all namespaces", "some namespaces"],
)
def test_the_operator_reads_the_labels_of_the_namespaces_it_serves(render, settings, verbs):
    rules = rules_of(render(*settings), "nightlatch-operator", "search" if settings else None)
    (rule,) = [rule for rule in rules if "namespaces" in rule["resources"]]
    assert set(rule["verbs"]) == verbs


def configuration(objects: list[dict]) -> dict:
    (found,) = [obj for obj in objects if obj["kind"] == "ConfigMap" and "operator.json" in obj["data"]]
    return json.loads(found["data"]["operator.json"])


def test_how_long_a_roll_over_takes_is_the_same_in_the_chart_and_in_the_code(render):
    default = ClusterConfig(**configuration(render())).settings()
    assert (default.callers_take, default.reissue_over) == (Settings("Cluster").callers_take, timedelta(minutes=10))
    given = ClusterConfig(**configuration(render("pki.callersTake=1h", "pki.reissueOver=30s"))).settings()
    assert (given.callers_take, given.reissue_over) == (timedelta(hours=1), timedelta(seconds=30))


def test_what_endpoints_may_ask_for_is_the_same_in_the_chart_and_in_the_code(render):
    operator = configuration(render())
    chart = (operator[f"allowed_{each}"] for each in ("tolerations", "runtime_classes", "priority_classes"))
    assert Allowed(*map(tuple, chart)) == Allowed()


def test_the_operator_may_use_cert_manager_only_where_it_is_enabled(render):
    def rights(*settings):
        rules = rules_of(render(*settings), "nightlatch-operator", "search" if len(settings) > 1 else None)
        return {
            resource: set(rule["verbs"])
            for rule in rules
            if "cert-manager.io" in rule["apiGroups"]
            for resource in rule["resources"]
        }

    enabled = {
        "certificates": {"get", "list", "watch", "create", "patch", "delete"},
        "certificates/status": {"patch"},
    }
    assert rights() == {}
    assert rights("certManager.enabled=true") == enabled
    assert rights("certManager.enabled=true", "watchNamespaces={search}") == enabled


def test_no_rule_has_a_wildcard(render):
    rules = [rule for obj in render() if obj["kind"] in {"Role", "ClusterRole"} for rule in obj["rules"]]
    assert not [rule for rule in rules if "*" in rule["verbs"] + rule["resources"] + rule["apiGroups"]]


def test_every_pod_meets_the_restricted_standard(render):
    pods = pods_of(render())
    assert len(pods) == 2
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}


def test_envoy_has_no_token_and_no_api_access(render):
    gateway = next(pod for pod in pods_of(render()) if pod["serviceAccountName"] == GATEWAY)
    envoy = next(container for container in gateway["containers"] if container["name"] == "envoy")
    assert gateway["automountServiceAccountToken"] is False
    assert "token" not in [mount["name"] for mount in envoy["volumeMounts"]]


def test_a_gateway_that_drains_tells_every_connection_at_once(render):
    """`tests/embedded/test_gateway_drain.py` shows that Envoy then does."""
    gateway = next(pod for pod in pods_of(render()) if pod["serviceAccountName"] == GATEWAY)
    envoy = next(container for container in gateway["containers"] if container["name"] == "envoy")
    assert "--drain-strategy immediate" in " ".join(envoy["args"])


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("gateway.replicas=0", "replicas"),
        ("gateway.service.type=Ingress", "type"),
        ("trustDomain=UPPER", "trustDomain"),
        ("gatewy.replicas=3", "gatewy"),
        ("gateway.maxStalenessSeconds=soon", "maxStalenessSeconds"),
        ("gateway.maxHeldRequests=0", "maxHeldRequests"),
        ("gateway.maxHeldBytes=1", "maxHeldBytes"),
        ("pki.callersTake=1d", "callersTake"),
        ("modelServer.allowedTolerations=all", "allowedTolerations"),
        ("networkPolicies.metricsFrom[0].podSelektor.matchLabels.app=prometheus", "podSelektor"),
    ],
)
def test_a_wrong_value_is_named(helm, setting, says):
    command = [helm, "template", "x", str(CHART), "--namespace", NAMESPACE, "--set", setting]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert says in done.stderr
