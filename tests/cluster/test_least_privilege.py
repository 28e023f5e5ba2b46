"""Least privilege: what each ServiceAccount may do, and what a stranger in the cluster cannot reach."""

import asyncio
import socket
import ssl

import pytest

from tests.cluster.installation import GATEWAYS, SYSTEM, Installation, client, endpoint, eventually

pytestmark = pytest.mark.cluster

WRITES = {"create", "update", "patch", "delete", "deletecollection", "*"}
# What every authenticated subject may: ask what it may do, which writes nothing, and read public trust anchors.
_EVERYBODY = {
    "selfsubjectreviews.authentication.k8s.io",
    "selfsubjectaccessreviews.authorization.k8s.io",
    "selfsubjectrulesreviews.authorization.k8s.io",
    "clustertrustbundles.certificates.k8s.io",
}


def rights(installation: Installation, account: str, of: str, namespace: str) -> dict[str, set[str]]:
    """`kubectl auth can-i --list` in a namespace: verbs by resource."""
    as_account = f"--as=system:serviceaccount:{of}:{account}"
    printed = installation.kubectl("auth", "can-i", "--list", "--no-headers", as_account, "-n", namespace)
    found: dict[str, set[str]] = {}
    for line in printed.splitlines():
        resource = line.split()[0]
        if not resource.startswith(("[", "/")) and resource not in _EVERYBODY:
            found.setdefault(resource, set()).update(line[line.rindex("[") + 1 : line.rindex("]")].split())
    return found


@pytest.mark.parametrize("namespace", [SYSTEM, GATEWAYS, "default", "kube-system"])
def test_the_gateway_can_write_nothing_anywhere(installation: Installation, namespace: str):
    found = rights(installation, "nightlatch-gateway", GATEWAYS, namespace)
    assert {resource: verbs for resource, verbs in found.items() if verbs & WRITES} == {}


@pytest.mark.parametrize("namespace", [SYSTEM, "default", "kube-system"])
def test_the_gateway_reads_no_secret_outside_its_namespace(installation: Installation, namespace: str):
    assert "secrets" not in rights(installation, "nightlatch-gateway", GATEWAYS, namespace)


def test_no_ca_key_lies_where_the_gateway_reads(installation: Installation):
    roles = {
        item["metadata"].get("labels", {}).get("nightlatch.dev/role")
        for item in installation.objects("secrets", GATEWAYS)
    }
    assert "ca" not in roles
    assert {"route-document", "issuer-document", "gateway-tls", "revocations"} >= {role for role in roles if role}


async def test_model_pods_hold_no_token_and_no_rights(installation: Installation):
    namespace = installation.namespace("rights")
    installation.apply(endpoint("one", namespace, idle_after="10m"), client("bot", namespace, "one"))
    installation.ready("one", namespace)
    assert (await installation.caller("bot", "one", namespace).embed("hello")).status_code == 200

    (pod,) = installation.pods("one", namespace)
    mounts = [mount for each in pod["spec"]["containers"] for mount in each.get("volumeMounts", [])]
    assert not [mount for mount in mounts if "serviceaccount" in mount["mountPath"]]
    found = rights(installation, "one-model-server", namespace, namespace)
    # Every ServiceAccount may read these, by a role of Kubernetes' own; they are public.
    found.pop("clustertrustbundles.certificates.k8s.io", None)
    assert found == {}


async def test_a_pod_is_reached_with_the_gateways_certificate_alone(installation: Installation):
    """From the node's network: no certificate, and a client certificate of the same CA that is not the gateway's."""
    namespace = installation.namespace("rights")
    installation.apply(endpoint("one", namespace, idle_after="10m"), client("bot", namespace, "one"))
    installation.ready("one", namespace)
    assert (await installation.caller("bot", "one", namespace).embed("hello")).status_code == 200
    (pod,) = await eventually(lambda: installation.pods("one", namespace), "a pod")
    address = pod["status"]["podIP"], 8443
    operators = installation.get("secret", "nightlatch-operator-tls", SYSTEM)

    assert not await asyncio.to_thread(answers, address, None)
    assert not await asyncio.to_thread(answers, address, operators)
    gateways = installation.get("secret", "nightlatch-gateway-client-tls", GATEWAYS)
    assert await asyncio.to_thread(answers, address, gateways)


def answers(address: tuple[str, int], secret: dict | None) -> bool:
    """Whether the serving port answers a request on a connection with the Secret's certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if secret:
        load(context, secret)
    try:
        with socket.create_connection(address, timeout=10) as plain, context.wrap_socket(plain) as tls:
            tls.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
            return tls.recv(16).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def load(context: ssl.SSLContext, secret: dict) -> None:
    import base64
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        for part in ("tls.crt", "tls.key"):
            file.write(base64.b64decode(secret["data"][part]))
        file.flush()
        context.load_cert_chain(file.name)
