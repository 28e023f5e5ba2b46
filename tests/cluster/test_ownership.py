"""What an endpoint owns goes with it; what was there before it is never touched."""

import json

import pytest

from tests.cluster.installation import GATEWAYS, SYSTEM, Installation, client, endpoint, until

pytestmark = pytest.mark.cluster

KINDS = ("deployments", "services", "serviceaccounts", "networkpolicies", "secrets", "pods", "poddisruptionbudgets")


def owned(installation: Installation, namespace: str) -> set[str]:
    """Everything of ours in the three namespaces that belongs to the namespace's endpoints and clients."""
    here = {
        f"{item['kind']}/{item['metadata']['name']}"
        for kind in KINDS
        for item in installation.objects(kind, namespace)
        if item["metadata"].get("labels", {}).get("nightlatch.dev/endpoint")
        or item["metadata"].get("labels", {}).get("nightlatch.dev/role")
    }
    elsewhere = {
        f"{item['kind']}/{item['metadata']['name']}"
        for other in (SYSTEM, GATEWAYS)
        for item in installation.objects("secrets", other)
        if f".{namespace}." in item["metadata"]["name"]
    }
    return here | elsewhere


def test_deleting_an_endpoint_removes_all_it_owned(installation: Installation):
    namespace = installation.namespace("owned")
    installation.apply(endpoint("one", namespace), client("bot", namespace, "one"))
    installation.ready("one", namespace)
    until(lambda: "Secret/bot-key" in owned(installation, namespace), "the key")
    assert {"Deployment/one", "Service/one", "Service/one-pods", "NetworkPolicy/one"} <= owned(installation, namespace)

    installation.delete("ie", "one", namespace)
    installation.delete("ic", "bot", namespace)

    until(lambda: not owned(installation, namespace), f"nothing left of {owned(installation, namespace)}")


def test_a_secret_that_was_there_before_is_never_overwritten(installation: Installation):
    namespace = installation.namespace("foreign")
    theirs = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bot-key", "namespace": namespace}}
    installation.apply({**theirs, "stringData": {"api-key": "mine"}})
    before = installation.get("secret", "bot-key", namespace)

    installation.apply(endpoint("one", namespace), client("bot", namespace, "one"))

    def refused() -> dict | None:
        found = (installation.get("ic", "bot", namespace) or {}).get("status", {}).get("conditions", [])
        return next((item for item in found if item["reason"] == "SecretConflict"), None)

    assert "bot-key" in until(refused, "a condition that names the conflict")["message"]
    installation.delete("ic", "bot", namespace, "--wait=true")
    assert installation.get("secret", "bot-key", namespace) == before


def test_a_service_that_was_there_before_is_never_overwritten(installation: Installation):
    namespace = installation.namespace("foreign-service")
    theirs = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "one", "namespace": namespace}}
    installation.apply({**theirs, "spec": {"ports": [{"port": 80}]}})
    before = installation.get("service", "one", namespace)

    installation.apply(endpoint("one", namespace))

    def told() -> dict | None:
        found = installation.status("one", namespace).get("conditions", [])
        return next((item for item in found if "Service" in item["message"] and item["status"] == "False"), None)

    assert "does not belong" in until(told, "a condition that names the Service")["message"]
    assert installation.get("service", "one", namespace) == before
    assert installation.get("deployment", "one", namespace) is None


def test_a_deployment_that_somebody_deletes_comes_back_asleep(installation: Installation):
    namespace = installation.namespace("restored")
    installation.apply(endpoint("one", namespace))
    installation.ready("one", namespace)
    first = installation.get("deployment", "one", namespace)["metadata"]["uid"]
    installation.delete("deployment", "one", namespace)

    def restored() -> dict | None:
        found = installation.get("deployment", "one", namespace)
        return found if found and found["metadata"]["uid"] != first else None

    assert until(restored, "a new Deployment")["spec"]["replicas"] == 0


@pytest.mark.parametrize(
    ("kind", "name"),
    [("service", "one"), ("service", "one-pods"), ("networkpolicy", "one"), ("serviceaccount", "one-model-server")],
)
def test_whatever_else_somebody_deletes_comes_back_at_once(installation: Installation, kind: str, name: str):
    namespace = installation.namespace("restored-too")
    installation.apply(endpoint("one", namespace))
    installation.ready("one", namespace)
    before = installation.get(kind, name, namespace)
    assert before
    installation.delete(kind, name, namespace)

    def restored() -> dict | None:
        found = installation.get(kind, name, namespace)
        return found if found and found["metadata"]["uid"] != before["metadata"]["uid"] else None

    after = until(restored, f"a new {kind}", timeout=10.0)
    assert after["metadata"]["labels"] == before["metadata"]["labels"]
    assert after.get("spec") == before.get("spec")


def test_a_service_that_somebody_gave_to_another_endpoint_is_taken_back(installation: Installation):
    namespace = installation.namespace("relabelled")
    installation.apply(endpoint("one", namespace))
    installation.ready("one", namespace)
    label = "nightlatch.dev/endpoint"
    installation.kubectl("label", "--overwrite", "service", "one-pods", "-n", namespace, f"{label}=two")

    def taken_back() -> bool:
        found = installation.get("service", "one-pods", namespace)
        return bool(found and found["metadata"]["labels"][label] == "one")

    until(taken_back, "the label as it was", timeout=10.0)


DOORS = {
    "to everybody": [{"op": "replace", "path": "/spec/ingress", "value": [{}]}],
    "on more ports": [{"op": "add", "path": "/spec/ingress/1/ports/0/endPort", "value": 65535}],
    "by selecting no pod": [
        {"op": "add", "path": "/spec/podSelector/matchExpressions", "value": [{"key": "x", "operator": "Exists"}]}
    ],
}


@pytest.mark.parametrize("how", DOORS)
def test_a_door_that_somebody_opened_is_shut_again(installation: Installation, how: str):
    namespace = installation.namespace("reopened")
    installation.apply(endpoint("one", namespace))
    installation.ready("one", namespace)
    before = installation.get("networkpolicy", "one", namespace)
    assert before
    patch = json.dumps(DOORS[how])
    installation.kubectl("patch", "networkpolicy", "one", "-n", namespace, "--type=json", "-p", patch)
    opened = installation.get("networkpolicy", "one", namespace)
    assert opened
    assert opened["metadata"]["generation"] > before["metadata"]["generation"]

    def shut() -> bool:
        found = installation.get("networkpolicy", "one", namespace)
        return bool(found and found["spec"] == before["spec"])

    until(shut, "the policy as it was", timeout=10.0)


def test_a_reconcile_that_finds_all_as_wanted_writes_nothing(installation: Installation):
    namespace = installation.namespace("calm")
    installation.apply(endpoint("one", namespace))
    installation.ready("one", namespace)
    look_again(installation, namespace)
    position = installation.audit_position()
    for _ in range(2):
        look_again(installation, namespace)
    assert {entry["verb"] for entry in asked(installation, namespace, position)} <= {"get", "list", "watch"}


def look_again(installation: Installation, namespace: str) -> None:
    """Make the operator reconcile the endpoint; reading the trust bundle is nearly the last that it does."""
    position = installation.audit_position()
    installation.kubectl("annotate", "--overwrite", "ie", "one", "-n", namespace, f"looked-at={position}")

    def trust_was_read() -> bool:
        return any(entry["objectRef"]["resource"] == "configmaps" for entry in asked(installation, namespace, position))

    until(trust_was_read, "a reconcile in the audit log")


def asked(installation: Installation, namespace: str, position: int) -> list[dict]:
    """What the operator asked the API server of the namespace since then."""
    return [
        entry
        for entry in installation.audited(position)
        if entry["user"]["username"] == f"system:serviceaccount:{SYSTEM}:nightlatch-operator"
        and entry.get("objectRef", {}).get("namespace") == namespace
    ]
